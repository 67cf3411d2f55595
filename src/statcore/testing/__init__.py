"""Shipped for authors of adapters and queriers: conformance checks, test data, real servers.

- `conformance`: pytest classes to subclass, for stores with their sinks, metric backends, inventories and queriers; needs
  pytest.
- `statistics`, `metrics`, `inventory`: the same checks as plain async functions, for any other test runner.
- `querier_checks`: the same checks of queriers as plain functions.
- `strategies`: Hypothesis strategies for the model and for hostile texts; needs hypothesis.
- `servers`: a real Valkey, Prometheus or VictoriaMetrics for the length of a `with`, and what a server itself answers.
- `simulation`: clients and servers on a virtual clock and a network in memory that fails by a seed; a simulated Valkey,
  cluster, sentinels and Prometheus.
- `cancellation`: cancels a call after delays that grow, on a real event loop.
- `queriers`: a querier that answers what a test gives it.
- `fixtures`: pytest fixtures for tests that need such servers; needs pytest.

This module imports none of them.
"""
