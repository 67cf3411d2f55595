"""Utilization from Prometheus. Names are loaded on first use, so that discovering the plugin imports no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand
from statcore.model.results import MatrixResult as PrometheusQueryRangeResponse

if TYPE_CHECKING:
    from statcore_prometheus.client import PrometheusClient
    from statcore_prometheus.options import PrometheusOptions
else:
    __getattr__, __dir__ = on_demand(__name__, {"client": "PrometheusClient", "options": "PrometheusOptions"})

__all__ = ["PrometheusClient", "PrometheusOptions", "PrometheusQueryRangeResponse"]
