"""The plugin that statcore itself contributes: the container querier."""

from __future__ import annotations

from statcore.plugins.hooks import API_VERSION, QuerierSpec, hookimpl
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, UNITS, ContainerMetricQuerier

STATCORE_PLUGIN_API = API_VERSION


@hookimpl
def statcore_queriers() -> list[QuerierSpec]:
    """Contribute the kind `container`."""
    return [
        QuerierSpec(
            name="container",
            summary="containers (kernels), by kernel, session, agent, user or project",
            querier=ContainerMetricQuerier,
            series=CONTAINER_SERIES,
            metric_label=CONTAINER_METRIC_LABEL,
            units=UNITS,
        )
    ]
