"""The plugin, which contributes the queriers `agent-device` and `process`."""

from __future__ import annotations

import attrs

from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers.container import DEVICE_METRIC_LABEL, DEVICE_SERIES, PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore_agent.counters import UNITS
from statcore_agent.device import AgentDeviceMetricQuerier
from statcore_agent.process import ProcessMetricQuerier

STATCORE_PLUGIN_API = 1


@hookimpl
def statcore_queriers() -> list[QuerierSpec]:
    """Contribute both kinds, with the series by which their metrics are listed, and units."""
    device, process = QuerierSpec.of(AgentDeviceMetricQuerier), QuerierSpec.of(ProcessMetricQuerier)
    return [
        attrs.evolve(device, series=DEVICE_SERIES, metric_label=DEVICE_METRIC_LABEL, units=UNITS),
        attrs.evolve(process, series=PROCESS_SERIES, metric_label=PROCESS_METRIC_LABEL, units=UNITS),
    ]
