"""Utilization from Prometheus. Names are loaded on first use, so that discovering the plugin imports no driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from statcore.imports import on_demand
from statcore.model.results import MatrixResult as PrometheusQueryRangeResponse

if TYPE_CHECKING:
    from statcore_prometheus.client import PrometheusClient
    from statcore_prometheus.options import PrometheusOptions

__all__ = ["PrometheusClient", "PrometheusOptions", "PrometheusQueryRangeResponse"]

__getattr__: Callable[[str], Any] = on_demand(__name__, {"PrometheusClient": "client", "PrometheusOptions": "options"})
