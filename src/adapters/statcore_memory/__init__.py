"""Statistics, metrics and inventory in this process: the default store and backend, and a verified fake for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore_memory.inventory import MemoryInventory
    from statcore_memory.metrics import MemoryMetrics
    from statcore_memory.statistics import MemoryStatistics

__all__ = ["MemoryInventory", "MemoryMetrics", "MemoryStatistics"]

__getattr__: Callable[[str], Any] = on_demand(
    __name__, {"MemoryInventory": "inventory", "MemoryMetrics": "metrics", "MemoryStatistics": "statistics"}
)
