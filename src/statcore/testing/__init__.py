"""Shipped with statcore for whoever writes an adapter or a querier: conformance checks, test data, real servers.

- `conformance`: pytest classes to subclass, one per port and one for queriers; needs pytest.
- `statistics`, `metrics`, `inventory`: the same checks as plain async functions, for any other test runner;
  `querier_checks`: likewise, as plain functions.
- `strategies`: Hypothesis strategies for the model; needs hypothesis.
- `servers`: a real Valkey or Prometheus for the length of a `with`.

This module imports none of them.
"""
