"""What loaders of live statistics call: coroutines of a context and ids, with no I/O of their own and no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from statcore.model.batch import StatisticsBatch
from statcore.ports import InventoryPort
from statcore.statistics import SessionStatistics, StatisticsRepository


class HasStatisticsRepository(Protocol):
    """The part of a request's context that is needed here."""

    @property
    def statistics_repository(self) -> StatisticsRepository:
        """Where the statistics are read."""
        ...


class HasInventory(HasStatisticsRepository, Protocol):
    """The part of a request's context that sessions need."""

    @property
    def inventory(self) -> InventoryPort:
        """Which kernels a session has."""
        ...


class KernelStatistics:
    """Statistics of kernels, and of the sessions that they are put together to."""

    @classmethod
    async def batch_load_by_kernel(cls, ctx: HasStatisticsRepository, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each kernel, or what is stored for a session, in order, or None."""
        return await ctx.statistics_repository.get_kernel_statistics_batch(session_ids)

    @classmethod
    async def batch_load_by_session(cls, ctx: HasInventory, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each session, its kernels' put together, in order, or None."""
        return await SessionStatistics(ctx.statistics_repository, ctx.inventory).get_session_statistics_batch(session_ids)

    @classmethod
    async def batch_load_inference_metrics_by_kernel(
        cls, ctx: HasStatisticsRepository, session_ids: Sequence[UUID | str]
    ) -> StatisticsBatch:
        """Return `{"requests": int, "last_response_ms": int}` of each session, in order."""
        return await ctx.statistics_repository.get_inference_metrics_batch(session_ids)


class EndpointStatistics:
    """Statistics of inference endpoints."""

    @classmethod
    async def batch_load_by_endpoint(
        cls, ctx: HasStatisticsRepository, endpoint_ids: Sequence[UUID | str]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each endpoint, in order, None where there is none."""
        return await ctx.statistics_repository.get_endpoint_statistics_batch(endpoint_ids)


class ReplicaStatistics:
    """Statistics of replicas of inference endpoints."""

    @classmethod
    async def batch_load_by_replica(
        cls, ctx: HasStatisticsRepository, endpoint_replica_ids: Sequence[tuple[UUID | str, UUID | str]]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each (endpoint, replica) pair, in order, None where there is none."""
        return await ctx.statistics_repository.get_replica_statistics_batch(endpoint_replica_ids)


class AgentStatistics:
    """Statistics of agents and their devices."""

    @classmethod
    async def batch_load_by_agent(cls, ctx: HasStatisticsRepository, agent_ids: Sequence[str]) -> StatisticsBatch:
        """Return `{"node": {metric: …}, "devices": {metric: {device: …}}}` of each agent, in order, or None."""
        return await ctx.statistics_repository.get_agent_statistics_batch(agent_ids)
