"""Live statistics in Valkey or Redis. Names are loaded on first use, so that discovering the plugin imports no driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore_valkey.options import ValkeyOptions
    from statcore_valkey.sink import ValkeyStatisticsSink
    from statcore_valkey.statistics import ValkeyStatistics

__all__ = ["ValkeyOptions", "ValkeyStatistics", "ValkeyStatisticsSink"]

__getattr__: Callable[[str], Any] = on_demand(
    __name__, {"ValkeyOptions": "options", "ValkeyStatistics": "statistics", "ValkeyStatisticsSink": "sink"}
)
