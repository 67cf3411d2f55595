"""The plugin, which contributes the querier `node`."""

from __future__ import annotations

from statcore.plugins import hookimpl
from statcore_node.querier import NodeMetricQuerier

STATCORE_PLUGIN_API = 1


@hookimpl
def statcore_queriers() -> list[type[NodeMetricQuerier]]:
    """Contribute the kind `node`."""
    return [NodeMetricQuerier]
