"""Stores of live statistics confined to a scope: a store is asked only for ids that the scope allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TypeVar

import attrs

from statcore.errors import ProtocolError
from statcore.model.batch import StatisticsBatch
from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort
from statcore.scopes.owners import Owners

_Id = TypeVar("_Id", bound=Hashable)


@attrs.frozen(eq=False)
class ConfinedKernelStatistics:
    """A `KernelStatisticsPort` that answers for kernels and sessions of a scope only; another id has no entry.

    Args:
        source: the source of the entries.
        owners: which ids are allowed.
    """

    source: KernelStatisticsPort
    owners: Owners

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the entries of allowed kernels and sessions; of a session, all kernels must be allowed."""
        allowed = await self.owners.kernels_and_sessions(ids)
        return await _fetch_allowed(self.source.fetch_kernel_statistics, ids, allowed.__contains__)


@attrs.frozen(eq=False)
class ConfinedStatistics:
    """A `StatisticsPort` that answers for objects of a scope only.

    An id that is not allowed gets the answer of an id that nobody has: no entry and no problem. The inventory is asked for
    both alike, and the store for neither. If the inventory fails, its error is raised and nothing is read.

    Args:
        store: the store; the caller closes it.
        owners: which ids are allowed.
    """

    store: StatisticsPort
    owners: Owners

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the entries of allowed kernels and sessions; of a session, all kernels must be allowed."""
        return await ConfinedKernelStatistics(self.store, self.owners).fetch_kernel_statistics(ids)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the activity of allowed sessions."""
        allowed = await self.owners.sessions(session_ids)
        return await _fetch_allowed(self.store.fetch_inference_metrics, session_ids, allowed.__contains__)

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the entries of allowed inference endpoints."""
        allowed = await self.owners.endpoints(endpoint_ids)
        return await _fetch_allowed(self.store.fetch_endpoint_statistics, endpoint_ids, allowed.__contains__)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch the entries of the replicas of allowed endpoints."""
        allowed = await self.owners.endpoints([endpoint_id for endpoint_id, _ in pairs])
        return await _fetch_allowed(self.store.fetch_replica_statistics, pairs, lambda pair: pair[0] in allowed)

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the entries of allowed agents."""
        allowed = await self.owners.agents(agent_ids)
        return await _fetch_allowed(self.store.fetch_agent_statistics, agent_ids, allowed.__contains__)

    async def ping(self) -> None:
        """Return when the store answers; raise as a fetch would when it does not."""
        await self.store.ping()

    async def aclose(self) -> None:
        """Do nothing: the store belongs to the caller."""


async def _fetch_allowed(
    fetch: Callable[[Sequence[_Id]], Awaitable[StatisticsBatch]], ids: Sequence[_Id], is_allowed: Callable[[_Id], bool]
) -> StatisticsBatch:
    """Return the batch of all ids, of which only the allowed ones are fetched."""
    positions = [position for position, id_ in enumerate(ids) if is_allowed(id_)]
    batch = await fetch([ids[position] for position in positions])
    if len(batch) != len(positions):
        raise ProtocolError(f"the store answered {len(batch)} entries for {len(positions)} ids")
    if len(positions) == len(ids):
        return batch
    nothing = StatisticsBatch([None])
    place_of = {position: place for place, position in enumerate(positions)}
    return StatisticsBatch.join([batch, nothing]).select(place_of.get(position, len(batch)) for position in range(len(ids)))
