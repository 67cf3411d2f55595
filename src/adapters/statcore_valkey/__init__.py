"""Live statistics in Valkey or Redis. Names are loaded on first use, so that discovering the plugin imports no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore_valkey.options import ValkeyOptions
    from statcore_valkey.sink import ValkeyStatisticsSink
    from statcore_valkey.statistics import ValkeyStatistics
else:
    __getattr__, __dir__ = on_demand(
        __name__, {"options": "ValkeyOptions", "sink": "ValkeyStatisticsSink", "statistics": "ValkeyStatistics"}
    )

__all__ = ["ValkeyOptions", "ValkeyStatistics", "ValkeyStatisticsSink"]
