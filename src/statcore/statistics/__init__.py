"""Batched reads: live statistics from any store, and utilization from any metric backend."""

from statcore.statistics.clients import ClientStatistics, StatisticsClient
from statcore.statistics.repository import StatisticsRepositories, StatisticsRepository
from statcore.statistics.sessions import SessionStatistics, session_entry, sum_kernels
from statcore.statistics.stateful_source import StatisticsStatefulSource
from statcore.statistics.utilization import UtilizationSource

__all__ = [
    "ClientStatistics",
    "SessionStatistics",
    "StatisticsClient",
    "StatisticsRepositories",
    "StatisticsRepository",
    "StatisticsStatefulSource",
    "UtilizationSource",
    "session_entry",
    "sum_kernels",
]
