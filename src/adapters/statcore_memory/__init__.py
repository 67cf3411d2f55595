"""Statistics, metrics and inventory in this process: the embedded default, and the fake that tests can trust."""

from statcore_memory.inventory import MemoryInventory
from statcore_memory.metrics import MemoryMetrics
from statcore_memory.statistics import MemoryStatistics

__all__ = ["MemoryInventory", "MemoryMetrics", "MemoryStatistics"]
