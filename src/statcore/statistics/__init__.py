"""Batched reads: live statistics from any store, and utilization from any metric backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.statistics.clients import ClientStatistics, StatisticsClient
    from statcore.statistics.repository import StatisticsRepositories, StatisticsRepository
    from statcore.statistics.sessions import SessionStatistics, session_entry, sum_kernels
    from statcore.statistics.stateful_source import StatisticsStatefulSource
    from statcore.statistics.utilization import UtilizationSource
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "clients": "ClientStatistics StatisticsClient",
            "repository": "StatisticsRepositories StatisticsRepository",
            "sessions": "SessionStatistics session_entry sum_kernels",
            "stateful_source": "StatisticsStatefulSource",
            "utilization": "UtilizationSource",
        },
    )

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
