"""Batched reads of live statistics: checks the ids, fetches each id once, and returns one entry per id, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, TypeVar, overload
from uuid import UUID

import attrs

from statcore.concurrency import in_turns, run_concurrently
from statcore.errors import ProtocolError
from statcore.model.batch import StatisticsBatch, StatisticsColumns, check_fields
from statcore.model.text import check_text, id_text, id_texts
from statcore.model.validation import check_count
from statcore.ports.capabilities import as_port
from statcore.ports.statistics import ColumnarStatisticsPort, KernelStatisticsPort, StatisticsPort
from statcore.statistics.clients import StatisticsClient, store_from

_IDS_PER_TURN: Final = 1_000

_Id = TypeVar("_Id", bound=Hashable)


@attrs.frozen(init=False)
class StatisticsStatefulSource:
    """Reads statistics from a store; each distinct id is fetched once.

    Each method returns one entry per id, in order, and None for an id without an entry. It raises `InputError` for an id
    that is not a UUID, or an agent id that is not text, before anything is read; `ProtocolError` if the store does not
    answer one entry per id; and the errors of `StatisticsPort`.

    Args:
        store: where the statistics are; the caller closes it.
        valkey_stat, valkey_live: instead of a store, the two clients that `ClientStatistics` reads through.
        chunk_size: how many ids one call of the store has at most; chunks are then fetched concurrently. By default a call
            has all ids, and the store itself splits them as its server needs it.
        kernels: the source of kernels' statistics, by default the store. Another source may know no sessions, and have no
            entry under the id of a session.

    Raises:
        InputError: there is neither a store nor both clients, or `chunk_size` is not a whole number of at least 1.
    """

    store: StatisticsPort
    chunk_size: int | None = attrs.field(validator=attrs.validators.optional(check_count))
    kernels: KernelStatisticsPort | None

    @overload
    def __init__(
        self, store: StatisticsPort, *, chunk_size: int | None = None, kernels: KernelStatisticsPort | None = None
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        valkey_stat: StatisticsClient,
        valkey_live: StatisticsClient,
        chunk_size: int | None = None,
        kernels: KernelStatisticsPort | None = None,
    ) -> None: ...
    def __init__(
        self,
        store: StatisticsPort | None = None,
        *,
        valkey_stat: StatisticsClient | None = None,
        valkey_live: StatisticsClient | None = None,
        chunk_size: int | None = None,
        kernels: KernelStatisticsPort | None = None,
    ) -> None:
        """Read from a store, or through the two clients of the proposals."""
        self.__attrs_init__(store_from(store, valkey_stat, valkey_live), chunk_size, kernels)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - made by attrs

    async def read_kernel_statistics_batch(self, session_ids_or_kernel_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each kernel or session."""
        ids = await _in_text(session_ids_or_kernel_ids)
        if self.kernels is None:
            return await self._read(self.store.fetch_kernel_statistics, ids)
        return await _fetch(self.kernels.fetch_kernel_statistics, ids)  # in one call, so that all are of one moment

    async def read_kernel_statistics_columns(
        self, session_ids_or_kernel_ids: Sequence[UUID | str], fields: Sequence[str]
    ) -> StatisticsColumns:
        """Return some fields of each kernel or session as columns, as `StatisticsBatch.columns` does, only faster.

        Raises:
            InputError: besides, a field is not text or is empty, or is named twice.
        """
        check_fields(fields)
        store = as_port(self.store if self.kernels is None else self.kernels, ColumnarStatisticsPort)
        if self.chunk_size is not None or store is None:
            return await (await self.read_kernel_statistics_batch(session_ids_or_kernel_ids)).columns(*fields)
        ids = await _in_text(session_ids_or_kernel_ids)
        distinct = list(dict.fromkeys(ids))
        columns = await store.fetch_kernel_columns(distinct, fields)
        if list(columns) != list(fields) or any(len(column) != len(distinct) for column in columns.values()):
            raise ProtocolError(f"the store did not answer the columns {list(fields)} of {len(distinct)} ids")
        if len(distinct) == len(ids):
            return columns
        position_of = {id_: position for position, id_ in enumerate(distinct)}
        return columns.select(position_of[id_] for id_ in ids)

    async def read_inference_metrics_batch(self, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{"requests": int, "last_response_ms": int}` of each session; zeros are *incomplete* when not real."""
        return await self._read(self.store.fetch_inference_metrics, await _in_text(session_ids))

    async def read_endpoint_statistics_batch(self, endpoint_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each inference endpoint."""
        return await self._read(self.store.fetch_endpoint_statistics, await _in_text(endpoint_ids))

    async def read_replica_statistics_batch(
        self, endpoint_replica_pairs: Sequence[tuple[UUID | str, UUID | str]]
    ) -> StatisticsBatch:
        """Return `{metric: InferenceValue map}` of each (endpoint, replica) pair."""
        pairs = [(id_text(endpoint), id_text(replica)) for endpoint, replica in endpoint_replica_pairs]
        return await self._read(self.store.fetch_replica_statistics, pairs)

    async def read_agent_statistics_batch(self, agent_ids: Sequence[str]) -> StatisticsBatch:
        """Return `{"node": {metric: …}, "devices": {metric: {device: …}}}` of each agent."""
        agents = [check_text(agent, what="an agent id") for agent in agent_ids]
        return await self._read(self.store.fetch_agent_statistics, agents)

    async def _read(
        self, fetch: Callable[[Sequence[_Id]], Awaitable[StatisticsBatch]], ids: Sequence[_Id]
    ) -> StatisticsBatch:
        if not ids:
            return StatisticsBatch()
        distinct = list(dict.fromkeys(ids))
        size = self.chunk_size or len(distinct)
        if size < len(distinct):
            chunks = (distinct[start : start + size] for start in range(0, len(distinct), size))
            batch = StatisticsBatch.join(await run_concurrently(_fetch(fetch, chunk) for chunk in chunks))
        else:
            batch = await _fetch(fetch, distinct)
        if len(distinct) == len(ids):
            return batch
        position_of = {id_: position for position, id_ in enumerate(distinct)}
        return batch.select(position_of[id_] for id_ in ids)


async def _in_text(ids: Sequence[UUID | str]) -> list[str]:
    """Return ids in their canonical text, and give way to the event loop: each id takes about a microsecond."""
    texts: list[str] = []
    async for part in in_turns(ids, size=_IDS_PER_TURN):
        texts += id_texts(part)
    return texts


async def _fetch(fetch: Callable[[Sequence[_Id]], Awaitable[StatisticsBatch]], ids: Sequence[_Id]) -> StatisticsBatch:
    batch = await fetch(ids)
    if len(batch) != len(ids):
        raise ProtocolError(f"the store answered {len(batch)} entries for {len(ids)} ids")
    return batch
