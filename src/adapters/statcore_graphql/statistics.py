"""The batch functions of the loaders of live statistics: they take a context and ids.

Each returns one entry per id, in order, and None for an id without an entry. Each raises `InputError` for an id that is not
a UUID, or an agent id that is not text, and the errors of `StatisticsPort` if the store fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import attrs

from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import Problem
from statcore.ports import InventoryPort
from statcore.services.listing import kernels_of_replicas
from statcore.statistics import SessionStatistics, StatisticsRepository
from statcore_graphql.request_loaders import HasLoaders


class HasStatisticsRepository(Protocol):
    """The part of a request's context that live statistics are read from."""

    @property
    def statistics_repository(self) -> StatisticsRepository:
        """Reads live statistics."""
        ...


class HasInventory(HasStatisticsRepository, HasLoaders, Protocol):
    """The part of a request's context that statistics of sessions and endpoints are read from."""

    @property
    def inventory(self) -> InventoryPort:
        """Knows which kernels a session has."""
        ...


class KernelStatistics:
    """Statistics of kernels, and of sessions, which are combined from the statistics of their kernels."""

    @classmethod
    async def batch_load_by_kernel(cls, ctx: HasStatisticsRepository, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` per kernel or session, as it is stored."""
        return await ctx.statistics_repository.get_kernel_statistics_batch(session_ids)

    @classmethod
    async def batch_load_by_session(cls, ctx: HasInventory, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` per session, combined from its kernels.

        Raises:
            StatcoreError: the inventory failed, as `InventoryPort` says.
        """
        return await SessionStatistics(ctx.statistics_repository, ctx.inventory).get_session_statistics_batch(session_ids)

    @classmethod
    async def batch_load_inference_metrics_by_kernel(
        cls, ctx: HasStatisticsRepository, session_ids: Sequence[UUID | str]
    ) -> StatisticsBatch:
        """Return `{"requests": int, "last_response_ms": int}` per session; zeros are *incomplete* when not real."""
        return await ctx.statistics_repository.get_inference_metrics_batch(session_ids)


class EndpointStatistics:
    """Statistics of inference endpoints."""

    @classmethod
    async def batch_load_by_endpoint(
        cls, ctx: HasStatisticsRepository, endpoint_ids: Sequence[UUID | str]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` per endpoint."""
        return await ctx.statistics_repository.get_endpoint_statistics_batch(endpoint_ids)

    @classmethod
    async def batch_load_kernels_by_endpoint(
        cls, ctx: HasInventory, endpoints: Sequence[tuple[str, tuple[str, ...]]]
    ) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` per endpoint, combined from the kernels of its replicas.

        It is *incomplete* if the inventory does not know the session of a replica, and then empty if there is nothing else.

        Args:
            ctx: the request's context.
            endpoints: pairs of an endpoint and the sessions of its replicas.

        Raises:
            LimitError: the kernels are more ids than the request may load.
            StatcoreError: the inventory failed, as `InventoryPort` says.
        """
        found = await kernels_of_replicas(ctx.inventory, dict(endpoints))
        kernels_of = {endpoint_id: [kernel.kernel_id for kernel in of.kernels] for endpoint_id, of in found.items()}
        ctx.loaders.count(sum(map(len, kernels_of.values())))
        batch = await SessionStatistics(ctx.statistics_repository, ctx.inventory).read(kernels_of)
        entries, problems = list(batch), dict(batch.problems)
        for position, of in enumerate(found.values()):
            if of.problem is None:
                continue
            problem = problems.get(position)
            if problem is None:
                entries[position] = {} if entries[position] is None else entries[position]
                problems[position] = of.problem
            else:
                kind = problem.kind if entries[position] is None else of.problem.kind
                message = f"{of.problem.message}; {problem.message}"
                problems[position] = Problem(kind, message=message, key=of.problem.key)
        return attrs.evolve(batch, entries=entries, problems=problems)


class ReplicaStatistics:
    """Statistics of replicas of inference endpoints."""

    @classmethod
    async def batch_load_by_replica(
        cls, ctx: HasStatisticsRepository, endpoint_replica_ids: Sequence[tuple[UUID | str, UUID | str]]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` per (endpoint, replica) pair."""
        return await ctx.statistics_repository.get_replica_statistics_batch(endpoint_replica_ids)


class AgentStatistics:
    """Statistics of agents and their devices."""

    @classmethod
    async def batch_load_by_agent(cls, ctx: HasStatisticsRepository, agent_ids: Sequence[str]) -> StatisticsBatch:
        """Return `{"node": {metric: …}, "devices": {metric: {device: …}}}` per agent."""
        return await ctx.statistics_repository.get_agent_statistics_batch(agent_ids)
