"""Reads live statistics from Valkey: payloads by key become a batch, with a problem for each entry that is wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeAlias, cast

import attrs

from statcore.concurrency import Deadline, give_way, in_turns
from statcore.errors import MalformedEntryError, StatcoreError
from statcore.model import Problem, ProblemKind, StatisticsBatch, StatisticsColumns
from statcore.model.batch import check_fields, read_columns
from statcore.model.statistics import Entry
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    activity_entry,
    activity_keys,
    agent_ttl_s,
    endpoint_key,
    replica_key,
)
from statcore.ports.diagnosis import ServerFacts, Topology
from statcore_connection.error_boundary import only_our_errors
from statcore_valkey.codec import decode_count
from statcore_valkey.commands import ReadValues
from statcore_valkey.databases import Client, DatabasePair
from statcore_valkey.entry import read_agent, read_metrics, row_reader
from statcore_valkey.error_mapping import OversizedValueError, is_failure
from statcore_valkey.fan_out import Unsynced
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.options import DEFAULTS, ValkeyOptions
from statcore_valkey.server_facts import read_server_facts
from statcore_valkey.topology import inspect_topology

ReadEntry: TypeAlias = Callable[..., Any]
"""Checks a payload: `read(payload, key=…)` returns an entry, or a row of its fields; raises `MalformedEntryError`."""

_logger: Final = logging.getLogger(__name__)
_BYTES_PER_TURN: Final = 600_000
"""How many bytes of entries are checked between two turns of the event loop: less than a millisecond of usual entries."""
_ENTRY_BYTES: Final = 4_000
"""How many bytes an entry counts in addition to its length, so that a turn does not check thousands of small entries."""
_NO_KEY: Final = -2
_NO_EXPIRY: Final = -1


@attrs.frozen(eq=False)
class ValkeyStatistics:
    """A `StatisticsPort` over Valkey or Redis: one exchange with each server, entries decoded when they are read.

    The user needs `+@read` on the keys, `+select`, and `+ping` for `ping`; on a cluster `+cluster|slots`, `+cluster|info`
    to leave out nodes that are cut off from the others, `+asking` for slots that move, and `+readonly` to read from
    replicas. The sentinels' user needs `+sentinel|get-master-addr-by-name` and `+sentinel|master`, and
    `+sentinel|replicas` to read from replicas. Connections are made on first use, and belong to the event loop of the first
    call.

    Each method retries until its deadline. If a server of several does not answer, only its ids have the problem
    *unavailable*; a server whose last exchange failed is not waited for much longer than the others. A new primary may not
    have all data: for a minute after a fail-over, an id that is missing there has the problem *incomplete*.

    Each method may raise; an error of a server is raised if no id got an answer:

    - `InputError`: an id is not text.
    - `UnavailableError`, `TimedOutError`: the server cannot be reached, or does not answer before the deadline.
    - `AccessDeniedError`: the server refuses the user.
    - `UnsupportedError`: the server is part of a cluster but the URL is not one of a cluster, or the other way round.
    - `ProtocolError`: an answer does not fit the request.
    - `ClosedError`: the store is closed, or another event loop is running than at the first call.
    """

    _databases: DatabasePair
    _options: ValkeyOptions

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Read from the servers at a URL; nothing is sent yet.

        Args:
            url: `valkey://[user:password@]host[:port]`, `valkey+cluster://[user:password@]host[:port],…`,
                `valkey+sentinel://[user:password@]host[:port],…/master`, each with `valkeys` for TLS, or `unix://…/path`.
            options: how to connect, deadlines, freshness and limits.

        Raises:
            InputError: the URL or an option cannot be used.
        """
        return cls(DatabasePair.from_url(url, options=options), options)

    @classmethod
    def from_clients(cls, statistics: Client, live: Client, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Read through the host's own clients, one for each database; the host closes them.

        The clients' own settings are used; options about connecting are ignored.

        Args:
            statistics: a `redis.asyncio.Redis`, also one of `Redis.from_pool(pool)` or a Sentinel's `master_for(…)`; or a
                `redis.asyncio.RedisCluster`, whose nodes and settings are used for connections of this object.
            live: a second client, for the database with the activity of sessions; of a cluster the same client.
            options: deadlines, freshness and limits.

        Raises:
            InputError: a client of another kind; the message says what can be used.
        """
        return cls(DatabasePair.from_clients(statistics, live, options=options), options)

    @classmethod
    def from_keyspaces(cls, statistics: Keyspace, live: Keyspace, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Read from keyspaces that other code made, such as a plugin over the clients of another driver.

        Args:
            statistics: the keyspace with the statistics; it is closed with this object.
            live: the keyspace with the activity of sessions, which may be the same.
            options: deadlines, freshness and limits; options about connecting are ignored.
        """
        return cls(DatabasePair(statistics, live, options.timeout_s), options)

    @only_our_errors
    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: MetricValue map}` of kernels or sessions."""
        return await self._fetch(ids, read=read_metrics, ttl_s=KERNEL_TTL_S)

    @only_our_errors
    async def fetch_kernel_columns(self, ids: Sequence[str], fields: Sequence[str], /) -> StatisticsColumns:
        """Fetch fields of the entries of kernels or sessions as columns, without building the entries."""
        check_fields(fields)
        rows = await self._fetch(ids, read=row_reader(tuple(fields)), ttl_s=KERNEL_TTL_S)
        return await read_columns(rows.entries, fields, problems=rows.problems, ages_s=rows.ages_s)

    @only_our_errors
    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"requests": int, "last_response_ms": int}` of sessions; zeros are *incomplete* when not real."""
        async with self._databases.deadline() as deadline:
            reader = _BatchReader(keyspace=self._databases.live, options=self._options, deadline=deadline)
            await reader.add_activity([activity_keys(session_id) for session_id in session_ids])
        return reader.batch()

    @only_our_errors
    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of inference endpoints."""
        return await self._fetch(
            [endpoint_key(endpoint_id) for endpoint_id in endpoint_ids], read=read_metrics, ttl_s=INFERENCE_TTL_S
        )

    @only_our_errors
    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of (endpoint id, replica id) pairs."""
        return await self._fetch([replica_key(pair) for pair in pairs], read=read_metrics, ttl_s=INFERENCE_TTL_S)

    @only_our_errors
    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"node": {metric: MetricValue map}, "devices": {metric: {device id: MetricValue map}}}` of agents."""
        interval_s = self._options.agent_interval_s
        ttl_s = None if interval_s is None else math.ceil(agent_ttl_s(interval_s))
        return await self._fetch(agent_ids, read=read_agent, ttl_s=ttl_s)

    def with_ages(self) -> Self:
        """Return a reader whose batches have ages; it uses the connections of this object, which also closes them."""
        return attrs.evolve(self, options=attrs.evolve(self._options, ages=True))

    @only_our_errors
    async def ping(self) -> None:
        """Return when both databases answer."""
        async with self._databases.deadline() as deadline:
            for keyspace in (self._databases.statistics, self._databases.live):
                await keyspace.ping(deadline=deadline)

    @only_our_errors
    async def topology(self) -> Topology | None:
        """Return the servers of a cluster, or those that sentinels know; None for one server.

        The lag of replicas is known to users with `+info`.
        """
        return await inspect_topology(self._databases.statistics, timeout_s=self._options.timeout_s)

    @only_our_errors
    async def server_facts(self) -> Sequence[ServerFacts]:
        """Return version, clock, certificate and missing permissions of each server.

        The version is known to users with `+info`, and the clock to users with `+time`.
        """
        return await read_server_facts(self._databases)

    @only_our_errors
    async def aclose(self) -> None:
        """Close the connections that this object made; clients handed in stay open.

        Raises:
            ClosedError: the store belongs to another event loop, which is not closed.
        """
        await self._databases.aclose()

    async def _fetch(self, keys: Sequence[str], *, read: ReadEntry, ttl_s: int | None) -> StatisticsBatch:
        async with self._databases.deadline() as deadline:
            reader = _BatchReader(keyspace=self._databases.statistics, options=self._options, deadline=deadline)
            await reader.add_entries(keys, read=read, ttl_s=ttl_s)
        batch = reader.batch()
        if malformed := [problem for problem in batch.problems.values() if problem.kind is ProblemKind.MALFORMED]:
            _logger.warning("%d of %d entries cannot be read; %s", len(malformed), len(batch), malformed[0].message)
        return batch


@attrs.define(kw_only=True, eq=False)
class _BatchReader:
    """Reads payloads from a database into one batch."""

    keyspace: Keyspace
    options: ValkeyOptions
    deadline: Deadline
    entries: list[Entry | None] = attrs.field(factory=list["Entry | None"], init=False)
    problems: dict[int, Problem] = attrs.field(factory=dict[int, Problem], init=False)
    ages_s: dict[int, float] = attrs.field(factory=dict[int, float], init=False)

    async def add_entries(  # noqa: C901 - a branch for each outcome
        self, keys: Sequence[str], *, read: ReadEntry, ttl_s: int | None
    ) -> None:
        """Read entries from keys that expire `ttl_s` seconds after each write; None where this time is not known."""
        is_dated = self.options.ages or self.options.freshness_s is not None
        limit = self.options.max_entry_bytes
        work = ReadValues(keys, is_dated=is_dated, max_entry_bytes=limit)
        outcomes = await self.keyspace.fan_out(keys, work, deadline=self.deadline)
        ttls_ms: dict[int, int] = {}
        checked_bytes = 0
        entries = self.entries
        for key, outcome in zip(keys, outcomes, strict=True):
            payload: bytes
            if type(outcome) is bytes:
                payload = outcome
            elif type(outcome) is tuple:
                ttls_ms[len(entries)], payload = cast("tuple[int, bytes]", outcome)
            else:
                if outcome is not None:
                    self._refuse_outcome(key, outcome)
                entries.append(None)
                continue
            entry: Entry | None = None
            if len(payload) > limit:
                self._refuse_outcome(key, OversizedValueError(key, length=len(payload), max_entry_bytes=limit))
            else:
                try:
                    entry = read(payload, key=key)
                except Exception as error:  # noqa: BLE001 - a bad payload must not affect other entries
                    self._refuse(key, error)
            entries.append(entry)
            checked_bytes += _ENTRY_BYTES + len(payload)
            if checked_bytes > _BYTES_PER_TURN:
                checked_bytes = 0
                await give_way()
        async for positions in in_turns([*ttls_ms]):
            for position in positions:
                if self.entries[position] is not None:
                    self._add_age(position, keys[position], ttls_ms[position], ttl_s)

    async def add_activity(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Read the request count and last response time of sessions from pairs of keys."""
        keys = [key for pair in pairs for key in pair]
        work = ReadValues(keys, max_entry_bytes=self.options.max_entry_bytes, checks_types=False)
        outcomes = await self.keyspace.fan_out(keys, work, deadline=self.deadline)
        failures = any(map(is_failure, outcomes))
        async for positions in in_turns(range(len(pairs))):
            for position in positions:
                values = outcomes[2 * position : 2 * position + 2]
                if failures and (failure := next(filter(is_failure, values), None)) is not None:
                    self._refuse_outcome(pairs[position][values.index(failure)], failure)
                    self.entries.append(None)
                    continue
                entry, problem = activity_entry(pairs[position], [decode_count(value) for value in values])
                if problem is not None:
                    self.problems[position] = problem
                self.entries.append(entry)

    def batch(self) -> StatisticsBatch:
        """Return the batch of all entries that were added."""
        return StatisticsBatch(self.entries, problems=self.problems, ages_s=self.ages_s)

    def _refuse_outcome(self, key: str, outcome: StatcoreError | Unsynced) -> None:
        """Note the problem of the next entry, which was not read, is too large, or may be missing only on a new primary."""
        kind, message = ProblemKind.UNAVAILABLE, str(outcome)
        if isinstance(outcome, Unsynced):
            kind = ProblemKind.INCOMPLETE
            message = f"key {key!r} is missing, but {outcome.service} took over a short time ago; it may not have all keys"
        elif isinstance(outcome, OversizedValueError):
            kind = ProblemKind.OVERSIZED
        self.problems[len(self.entries)] = Problem(kind, message=message, key=key)

    def _refuse(self, key: str, error: Exception) -> None:
        """Note the problem of the next entry, which cannot be decoded."""
        is_ours = isinstance(error, MalformedEntryError)
        message = str(error) if is_ours else f"key {key!r} cannot be decoded: {type(error).__name__}"
        self.problems[len(self.entries)] = Problem(ProblemKind.MALFORMED, message=message, key=key)

    def _add_age(self, position: int, key: str, ttl_ms: int, ttl_s: int | None) -> None:
        """Note the age of an entry from its remaining time to live, and whether it is stale or undated."""
        age_s, unknown = 0.0, None
        if ttl_ms == _NO_EXPIRY:
            unknown = "it never expires"
        elif ttl_ms != _NO_KEY:  # no key means that it was written after PTTL was answered
            if ttl_s is None:
                unknown = "agent_interval_s is not set"
            elif ttl_ms > ttl_s * 1000:
                unknown = f"it expires in {ttl_ms / 1000:.3f} s, but is written for {ttl_s} s"
            else:
                age_s = ttl_s - ttl_ms / 1000
        if unknown:
            message = f"the age of key {key!r} is unknown: {unknown}"
            self.problems[position] = Problem(ProblemKind.UNDATED, message=message, key=key)
            return
        self.ages_s[position] = age_s
        bound_s = self.options.freshness_s
        if bound_s is not None and age_s > bound_s:
            message = f"the age of key {key!r} is {age_s:.3f} s; fresh is up to {bound_s:g} s"
            self.problems[position] = Problem(ProblemKind.STALE, message=message, key=key)
