"""The factory that a manager's dependency injection calls."""

from __future__ import annotations

from typing import Self, overload

import attrs

from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort
from statcore.statistics.clients import StatisticsClient, store_from
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.stateful_source import StatisticsStatefulSource


@attrs.frozen(kw_only=True)
class StatisticsRepositories:
    """The repositories of this layer."""

    repository: StatisticsRepository

    @overload
    @classmethod
    def create(cls, store: StatisticsPort, *, kernels: KernelStatisticsPort | None = None) -> Self: ...
    @overload
    @classmethod
    def create(
        cls,
        *,
        valkey_stat: StatisticsClient,
        valkey_live: StatisticsClient,
        kernels: KernelStatisticsPort | None = None,
    ) -> Self: ...
    @classmethod
    def create(
        cls,
        store: StatisticsPort | None = None,
        *,
        valkey_stat: StatisticsClient | None = None,
        valkey_live: StatisticsClient | None = None,
        kernels: KernelStatisticsPort | None = None,
    ) -> Self:
        """Build over a store or two clients, which stay the caller's to close; arguments as `StatisticsStatefulSource`.

        Raises:
            InputError: there is neither a store nor both clients.
        """
        store = store_from(store, valkey_stat, valkey_live)
        return cls(repository=StatisticsRepository(StatisticsStatefulSource(store, kernels=kernels)))
