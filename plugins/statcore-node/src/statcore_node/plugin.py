"""The plugin, which contributes the querier `node`."""

from __future__ import annotations

import attrs

from statcore.plugins import QuerierSpec, hookimpl
from statcore_node.metrics import METRICS
from statcore_node.querier import NodeMetricQuerier

STATCORE_PLUGIN_API = 1


@hookimpl
def statcore_queriers() -> list[QuerierSpec]:
    """Contribute the kind `node`, with the units of its metrics."""
    units = {str(name): metric.unit for name, metric in METRICS.items()}
    return [attrs.evolve(QuerierSpec.of(NodeMetricQuerier), units=units)]
