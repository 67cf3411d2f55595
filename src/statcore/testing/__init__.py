"""Shipped with statcore for whoever writes an adapter or a querier: conformance checks and test data."""
