"""The factory that a manager's dependency injection calls."""

from __future__ import annotations

from typing import Self

import attrs

from statcore.ports.statistics import StatisticsPort
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.stateful_source import StatisticsStatefulSource


@attrs.frozen(kw_only=True)
class StatisticsRepositories:
    """The repositories of this layer."""

    repository: StatisticsRepository

    @classmethod
    def create(cls, store: StatisticsPort) -> Self:
        """Build them over a store, which stays the caller's to close."""
        return cls(repository=StatisticsRepository(StatisticsStatefulSource(store)))
