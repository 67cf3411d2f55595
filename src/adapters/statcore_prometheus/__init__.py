"""Utilization from Prometheus; the names are loaded when first asked for, so that finding the plugin needs no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statcore_prometheus.client import PrometheusClient
    from statcore_prometheus.options import PrometheusOptions

__all__ = ["PrometheusClient", "PrometheusOptions"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    """Load a public name."""
    from importlib import import_module  # noqa: PLC0415 - only this needs it

    homes = {"PrometheusClient": "client", "PrometheusOptions": "options"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes[name]}"), name)
