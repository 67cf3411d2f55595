"""Batched reads of live statistics, whatever the store."""

from statcore.statistics.repositories import StatisticsRepositories
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.stateful_source import StatisticsStatefulSource

__all__ = ["StatisticsRepositories", "StatisticsRepository", "StatisticsStatefulSource"]
