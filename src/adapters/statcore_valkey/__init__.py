"""Live statistics in Valkey or Redis; the names are loaded when first asked for, so finding the plugin needs no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statcore_valkey.options import ValkeyOptions
    from statcore_valkey.sink import ValkeyStatisticsSink
    from statcore_valkey.statistics import ValkeyStatistics

__all__ = ["ValkeyOptions", "ValkeyStatistics", "ValkeyStatisticsSink"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    """Load a public name."""
    from importlib import import_module  # noqa: PLC0415 - only this needs it

    homes = {"ValkeyOptions": "options", "ValkeyStatistics": "statistics", "ValkeyStatisticsSink": "sink"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes[name]}"), name)
