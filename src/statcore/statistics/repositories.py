"""The factory that a manager's dependency injection calls."""

from __future__ import annotations

from typing import Self

import attrs

from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.stateful_source import StatisticsStatefulSource


@attrs.frozen(kw_only=True)
class StatisticsRepositories:
    """The repositories of this layer."""

    repository: StatisticsRepository

    @classmethod
    def create(cls, store: StatisticsPort, *, kernels: KernelStatisticsPort | None = None) -> Self:
        """Build them over a store, which stays the caller's to close; `kernels` is as in `StatisticsStatefulSource`."""
        return cls(repository=StatisticsRepository(StatisticsStatefulSource(store, kernels=kernels)))
