"""Repository of live statistics: the public API of batched reads, and the factory that builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, overload
from uuid import UUID

import attrs

from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort
from statcore.statistics.clients import StatisticsClient, store_from
from statcore.statistics.stateful_source import StatisticsStatefulSource


@attrs.frozen(init=False)
class StatisticsRepository:
    """Batched reads for GraphQL loaders, services and the CLI.

    Each method returns one entry per id, in order, and None for an id without an entry. It raises `InputError` for an id
    that is not a UUID, or an agent id that is not text, before anything is read; `ProtocolError` if the store does not
    answer one entry per id; and the errors of `StatisticsPort`.

    Args:
        source: the source of the entries.
        valkey_stat, valkey_live: instead of a source, the two clients that `ClientStatistics` reads through.

    Raises:
        InputError: there is neither a source nor both clients.
    """

    source: StatisticsStatefulSource

    @overload
    def __init__(self, source: StatisticsStatefulSource) -> None: ...
    @overload
    def __init__(self, *, valkey_stat: StatisticsClient, valkey_live: StatisticsClient) -> None: ...
    def __init__(
        self,
        source: StatisticsStatefulSource | None = None,
        *,
        valkey_stat: StatisticsClient | None = None,
        valkey_live: StatisticsClient | None = None,
    ) -> None:
        """Read through a source, or through the two clients of the proposals."""
        if source is None or valkey_stat is not None or valkey_live is not None:
            store = store_from(None if source is None else source.store, valkey_stat, valkey_live)
            source = StatisticsStatefulSource(store)
        self.__attrs_init__(source)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - made by attrs

    async def get_kernel_statistics_batch(self, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each kernel or session."""
        return await self.source.read_kernel_statistics_batch(session_ids)

    async def get_kernel_statistics_columns(
        self, session_ids: Sequence[UUID | str], fields: Sequence[str]
    ) -> StatisticsColumns:
        """Return some fields of each session or kernel as columns, such as `["cpu_util.pct", "mem.current"]`."""
        return await self.source.read_kernel_statistics_columns(session_ids, fields)

    async def get_inference_metrics_batch(self, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{"requests": int, "last_response_ms": int}` of each session; zeros are *incomplete* when not real."""
        return await self.source.read_inference_metrics_batch(session_ids)

    async def get_endpoint_statistics_batch(self, endpoint_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each inference endpoint."""
        return await self.source.read_endpoint_statistics_batch(endpoint_ids)

    async def get_replica_statistics_batch(
        self, endpoint_replica_ids: Sequence[tuple[UUID | str, UUID | str]]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each (endpoint, replica) pair."""
        return await self.source.read_replica_statistics_batch(endpoint_replica_ids)

    async def get_agent_statistics_batch(self, agent_ids: Sequence[str]) -> StatisticsBatch:
        """Return `{"node": {metric: …}, "devices": {metric: {device: …}}}` of each agent."""
        return await self.source.read_agent_statistics_batch(agent_ids)


@attrs.frozen(kw_only=True)
class StatisticsRepositories:
    """Factory and holder of the repositories of live statistics."""

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
        """Build over a store or two clients, which the caller closes; the arguments are as in `StatisticsStatefulSource`.

        Raises:
            InputError: there is neither a store nor both clients.
        """
        store = store_from(store, valkey_stat, valkey_live)
        return cls(repository=StatisticsRepository(StatisticsStatefulSource(store, kernels=kernels)))
