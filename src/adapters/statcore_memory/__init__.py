"""Statistics, metrics and inventory in this process: the default store and backend, and a verified fake for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore_memory.inventory import MemoryInventory
    from statcore_memory.metrics import MemoryMetrics
    from statcore_memory.statistics import MemoryStatistics
else:
    __getattr__, __dir__ = on_demand(
        __name__, {"inventory": "MemoryInventory", "metrics": "MemoryMetrics", "statistics": "MemoryStatistics"}
    )

__all__ = ["MemoryInventory", "MemoryMetrics", "MemoryStatistics"]
