"""The plugin, which contributes the querier `inference`."""

from __future__ import annotations

import attrs

from statcore.plugins import QuerierSpec, hookimpl
from statcore_vllm.metrics import METRICS
from statcore_vllm.querier import InferenceMetricQuerier

STATCORE_PLUGIN_API = 1


@hookimpl
def statcore_queriers() -> list[QuerierSpec]:
    """Contribute the kind `inference`, with the units of its metrics."""
    units = {str(name): metric.unit for name, metric in METRICS.items()}
    return [attrs.evolve(QuerierSpec.of(InferenceMetricQuerier), units=units)]
