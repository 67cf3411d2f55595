"""Store of live statistics in memory, for reading and writing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs

from statcore.concurrency import in_turns
from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch
from statcore.model.statistics import Entry
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    activity_entry,
    activity_keys,
    agent_entry,
    agent_ttl_s,
    container_count_key,
    endpoint_key,
    metrics_entry,
    replica_key,
)
from statcore.model.validation import NOT_A_SETTING, check_count

_Outcome: TypeAlias = tuple[Entry | None, Problem | None, float | None]
"""An entry, its problem and its age in seconds, each None if there is none."""
_ENTRIES_PER_TURN: Final = 64


@attrs.frozen(kw_only=True)
class _Stored:
    value: object
    problem: Problem | None
    written_at: float | None
    expires_at: float


@attrs.frozen(kw_only=True, eq=False)
class MemoryStatistics:
    """A `StatisticsPort` and `StatisticsSinkPort` in this process, with the keys, shapes and expiry of the wire format.

    Entries are copied when they are stored and when they are read, so an entry changes only when a new entry is stored.

    Args:
        max_entries: the most entries; the oldest are removed first.
        clock: returns a time in seconds, for expiry and ages.

    Raises:
        InputError: `max_entries` is not a whole number of at least 1.
    """

    max_entries: int = attrs.field(default=100_000, validator=check_count)
    clock: Callable[[], float] = attrs.field(default=time.monotonic, metadata=NOT_A_SETTING)
    _entries: dict[str, _Stored] = attrs.field(factory=dict[str, _Stored], init=False, repr=False)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: MetricValue map}` of kernels or sessions."""
        return await self._fetch(ids, self._read_entry)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"requests": int, "last_response_ms": int}` of sessions; zeros are *incomplete* when not real."""
        return await self._fetch(session_ids, self._read_activity)

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of inference endpoints."""
        return await self._fetch([endpoint_key(endpoint_id) for endpoint_id in endpoint_ids], self._read_entry)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of (endpoint id, replica id) pairs."""
        return await self._fetch([replica_key(pair) for pair in pairs], self._read_entry)

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"node": {metric: MetricValue map}, "devices": {metric: {device id: MetricValue map}}}` of agents."""
        return await self._fetch(agent_ids, self._read_entry)

    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Store metrics by kernel id or session id, for a day."""
        async for part in in_turns(list(entries.items()), size=_ENTRIES_PER_TURN):
            for id_, metrics in part:
                self._put(id_, metrics_entry(metrics), ttl_s=KERNEL_TTL_S)

    async def store_agent_statistics(
        self,
        agent_id: str,
        /,
        *,
        node: Mapping[str, MetricValue],
        devices: Mapping[str, Mapping[str, MetricValue]],
        interval_s: float,
    ) -> None:
        """Store an agent's metrics of the node and, by metric and device id, of its devices, for four intervals.

        Raises:
            InputError: the interval is not a number of seconds above zero, or a value is not a `MetricValue`.
        """
        self._put(agent_id, agent_entry(node=node, devices=devices), ttl_s=agent_ttl_s(interval_s))

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Store how many kernels an agent runs, for a day."""
        self._put(container_count_key(agent_id), count, ttl_s=KERNEL_TTL_S)

    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by endpoint id and metric, for two minutes."""
        async for part in in_turns(list(entries.items()), size=_ENTRIES_PER_TURN):
            for endpoint_id, metrics in part:
                self._put(endpoint_key(endpoint_id), _plain(metrics), ttl_s=INFERENCE_TTL_S)

    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by (endpoint id, replica id) and metric, for two minutes."""
        async for part in in_turns(list(entries.items()), size=_ENTRIES_PER_TURN):
            for pair, metrics in part:
                self._put(replica_key(pair), _plain(metrics), ttl_s=INFERENCE_TTL_S)

    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        """Store what `fetch_inference_metrics` reads; it does not expire."""
        for key, count in zip(activity_keys(session_id), (requests, last_response_ms), strict=True):
            self._put(key, count, ttl_s=math.inf)

    async def remove(self, ids: Iterable[str], /) -> None:
        """Remove the statistics of kernels, sessions or agents, and the container counts of agents; ignore unknown ids."""
        for id_ in ids:
            self._entries.pop(id_, None)
            self._entries.pop(container_count_key(id_), None)

    def plant(self, key: str, value: object, *, problem: Problem | None = None) -> None:
        """Store any value under a key of the wire format, for tests of readers; it has no age and does not expire.

        Args:
            key: such as a kernel id, `inference.….app` or `session.….requests`.
            value: the map that a fetch returns, an integer for the `session.…` keys, or None for an entry that cannot be
                read; any other value is malformed.
            problem: the problem that a fetch returns at the entry's position.
        """
        entry = _plain(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value
        self._put(key, entry, ttl_s=math.inf, problem=problem, has_age=False)

    async def ping(self) -> None:
        """Return immediately: no service has to be reached."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close, and other users of this object may continue to use it."""

    def _put(self, key: str, value: object, *, ttl_s: float, problem: Problem | None = None, has_age: bool = True) -> None:
        entries, now = self._entries, self.clock()
        entries.pop(key, None)  # keeps the entries in the order of writing
        written_at = now if has_age else None
        entries[key] = _Stored(value=value, problem=problem, written_at=written_at, expires_at=now + ttl_s)
        while len(entries) > self.max_entries or entries[next(iter(entries))].expires_at <= now:
            del entries[next(iter(entries))]

    def _get(self, key: str) -> _Stored | None:
        stored = self._entries.get(key)
        return stored if stored is not None and self.clock() < stored.expires_at else None

    def _count(self, key: str) -> int | None:
        stored = self._get(key)
        return stored.value if stored is not None and isinstance(stored.value, int) else None

    def _read_activity(self, session_id: str) -> _Outcome:
        keys = activity_keys(session_id)
        entry, problem = activity_entry(keys, [self._count(key) for key in keys])
        return entry, problem, None

    def _read_entry(self, key: str) -> _Outcome:
        stored = self._get(key)
        if stored is None:
            return None, None, None
        value: object = stored.value
        if isinstance(value, dict):
            age_s = None if stored.written_at is None else self.clock() - stored.written_at
            return _copy(cast("dict[str, Any]", value)), stored.problem, age_s
        if value is None:
            return None, stored.problem, None
        return None, Problem(ProblemKind.MALFORMED, message=f"expected a map, found {value!r:.80}", key=key), None

    async def _fetch(self, keys: Sequence[str], read: Callable[[str], _Outcome]) -> StatisticsBatch:
        entries: list[Entry | None] = []
        problems: dict[int, Problem] = {}
        ages_s: dict[int, float] = {}
        async for part in in_turns(list(keys), size=_ENTRIES_PER_TURN):
            for key in part:
                entry, problem, age_s = read(key)
                if problem is not None:
                    problems[len(entries)] = problem
                if age_s is not None:
                    ages_s[len(entries)] = age_s
                entries.append(entry)
        return StatisticsBatch(entries, problems=problems, ages_s=ages_s)


def _plain(entry: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _plain(cast("Mapping[str, object]", part)) if isinstance(part, Mapping) else part
        for name, part in entry.items()
    }


def _copy(entry: dict[str, Any]) -> dict[str, Any]:
    # For a value that _plain returned, this is five times faster than calling _plain again.
    return {name: _copy(cast("dict[str, Any]", part)) if isinstance(part, dict) else part for name, part in entry.items()}
