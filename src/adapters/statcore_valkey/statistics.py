"""Reading live statistics from Valkey."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Self, TypeVar

import attrs
from redis.asyncio import Redis

from statcore.model import ProblemKind, StatisticsBatch
from statcore_valkey.database import AT_A_TIME
from statcore_valkey.databases import Databases
from statcore_valkey.deadline import Deadline
from statcore_valkey.entry import read_agent, read_metrics
from statcore_valkey.keys import DAY_S, INFERENCE_S, activity_keys, agent_ttl_s, endpoint_key, replica_key
from statcore_valkey.options import DEFAULTS, ValkeyOptions
from statcore_valkey.reading import ReadEntry, Reading

_Id = TypeVar("_Id")
_log: Final = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class ValkeyStatistics:
    """A `StatisticsPort` over a Valkey or Redis server: one MGET per 1,000 ids, entries decoded when they are read.

    The user needs `+@read` on the keys, `+select`, and `+ping` for `ping`. Connections are made when they are first
    needed, and belong to the event loop that needed them first: in another loop, or once closed, each call raises
    `ClosedError`. Clusters are not supported yet; the master of a sentinel is read through the host's own client.
    """

    _databases: Databases
    _options: ValkeyOptions

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Read from the server at `valkey://[user:password@]host[:port]`, `valkeys://…` for TLS, or `unix://…/path`.

        Raises:
            InputError: the URL or an option cannot be used.
        """
        return cls(Databases.from_url(url, options=options), options)

    @classmethod
    def from_clients(cls, statistics: Redis, live: Redis, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Read through the host's own clients, one per database, which stay the host's to close.

        How they connect is theirs; of the options, only what is not about connecting counts.

        Args:
            statistics: a `redis.asyncio.Redis`, also one of `Redis.from_pool(pool)` or a Sentinel's `master_for(…)`.
            live: another for the database of live sessions.
            options: deadlines, freshness and limits.

        Raises:
            InputError: a client of another kind; the message says what can be used.
        """
        return cls(Databases.from_clients(statistics, live, options=options), options)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: MetricValue map}` of kernels or sessions."""
        return await self._fetch(ids, _as_it_is, read=read_metrics, ttl_s=DAY_S)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"requests": int, "last_response_ms": int}` of sessions; zeros are *incomplete* when not real."""
        async with Deadline(self._options.timeout_s) as deadline:
            reading = Reading(database=self._databases.live, options=self._options, deadline=deadline)
            for start in range(0, len(session_ids), AT_A_TIME // 2):
                chunk = session_ids[start : start + AT_A_TIME // 2]
                await reading.add_activity([activity_keys(session_id) for session_id in chunk])
        return reading.batch()

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of inference endpoints."""
        return await self._fetch(endpoint_ids, endpoint_key, read=read_metrics, ttl_s=INFERENCE_S)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of (endpoint id, replica id) pairs."""
        return await self._fetch(pairs, replica_key, read=read_metrics, ttl_s=INFERENCE_S)

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"node": {metric: MetricValue map}, "devices": {metric: {device id: MetricValue map}}}` of agents."""
        interval_s = self._options.agent_interval_s
        ttl_s = None if interval_s is None else agent_ttl_s(interval_s)
        return await self._fetch(agent_ids, _as_it_is, read=read_agent, ttl_s=ttl_s)

    def with_ages(self) -> Self:
        """Return a reader over the same connections, which stay this object's, whose batches have ages."""
        return attrs.evolve(self, options=attrs.evolve(self._options, ages=True))

    async def ping(self) -> None:
        """Return when both databases answer."""
        async with Deadline(self._options.timeout_s) as deadline:
            for database in (self._databases.statistics, self._databases.live):
                await database.ask([("PING",)], deadline=deadline)

    async def aclose(self) -> None:
        """Close the connections that this object made; clients handed in stay open."""
        await self._databases.aclose()

    async def _fetch(
        self, ids: Sequence[_Id], key_of: Callable[[_Id], str], *, read: ReadEntry, ttl_s: int | None
    ) -> StatisticsBatch:
        async with Deadline(self._options.timeout_s) as deadline:
            reading = Reading(database=self._databases.statistics, options=self._options, deadline=deadline)
            for start in range(0, len(ids), AT_A_TIME):
                keys = [key_of(id_) for id_ in ids[start : start + AT_A_TIME]]
                await reading.add_statistics(keys, read=read, ttl_s=ttl_s)
        batch = reading.batch()
        if malformed := [problem for problem in batch.problems.values() if problem.kind is ProblemKind.MALFORMED]:
            _log.warning("%d of %d entries cannot be read; %s", len(malformed), len(batch), malformed[0].message)
        return batch


def _as_it_is(id_: str) -> str:
    return id_
