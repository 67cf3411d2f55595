"""Batched reads: live statistics whatever the store, and utilization whatever the metric backend."""

from statcore.statistics.repositories import StatisticsRepositories
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.stateful_source import StatisticsStatefulSource
from statcore.statistics.utilization import UtilizationSource

__all__ = ["StatisticsRepositories", "StatisticsRepository", "StatisticsStatefulSource", "UtilizationSource"]
