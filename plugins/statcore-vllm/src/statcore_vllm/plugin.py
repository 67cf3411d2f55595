"""The plugin, which contributes the querier `inference`."""

from __future__ import annotations

from statcore.plugins import hookimpl
from statcore_vllm.querier import InferenceMetricQuerier

STATCORE_PLUGIN_API = 1


@hookimpl
def statcore_queriers() -> list[type[InferenceMetricQuerier]]:
    """Contribute the kind `inference`."""
    return [InferenceMetricQuerier]
