"""A store of live statistics in the process, one for each host name of `battery-store://NAME`."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from statcore import InputError, MetricValue, Problem, ProblemKind, StatisticsBatch, UnavailableError

DAY_S: Final = 86_400.0
INFERENCE_S: Final = 120.0
Entries: TypeAlias = dict[tuple[str, object], tuple[float, Any]]
"""Kind and id to the time when an entry expires and the entry."""

_stores: Final[defaultdict[str, Entries]] = defaultdict(dict)


class BatteryStore:
    """A reader and a writer: `StatisticsPort` and `StatisticsSinkPort`."""

    def __init__(self, entries: Entries) -> None:
        """Keep entries in a dict that other stores may share."""
        self._entries = entries

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch metrics of kernels or sessions."""
        return self._fetch("kernel", ids)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch the activity of sessions; zeros where there is none."""
        read = self._fetch("activity", session_ids)
        missing = Problem(ProblemKind.INCOMPLETE, message="no activity is stored")
        return StatisticsBatch(
            [{"requests": 0, "last_response_ms": 0} if entry is None else entry for entry in read],
            problems={position: missing for position, entry in enumerate(read) if entry is None},
        )

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch metrics of inference endpoints."""
        return self._fetch("endpoint", endpoint_ids)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch metrics of replicas."""
        return self._fetch("replica", pairs)

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch metrics of agents."""
        return self._fetch("agent", agent_ids)

    async def ping(self) -> None:
        """Answer."""

    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Store metrics for a day."""
        self._store("kernel", {id_: _maps(metrics) for id_, metrics in entries.items()}, DAY_S)

    async def store_agent_statistics(
        self,
        agent_id: str,
        /,
        *,
        node: Mapping[str, MetricValue],
        devices: Mapping[str, Mapping[str, MetricValue]],
        interval_s: float,
    ) -> None:
        """Store an agent's metrics for four intervals, at least a second."""
        entry = {"node": _maps(node), "devices": {metric: _maps(values) for metric, values in devices.items()}}
        self._store("agent", {agent_id: entry}, max(4 * interval_s, 1.0))

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Store how many kernels an agent runs."""
        self._store("count", {agent_id: count}, DAY_S)

    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store metrics of endpoints for two minutes."""
        self._store("endpoint", entries, INFERENCE_S)

    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store metrics of replicas for two minutes."""
        self._store("replica", entries, INFERENCE_S)

    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        """Store a session's activity for ever."""
        self._store("activity", {session_id: {"requests": requests, "last_response_ms": last_response_ms}}, math.inf)

    async def remove(self, ids: Iterable[str], /) -> None:
        """Forget kernels, sessions and agents."""
        for id_ in ids:
            for kind in ("kernel", "agent", "count"):
                self._entries.pop((kind, id_), None)

    async def aclose(self) -> None:
        """Close nothing."""

    def plant(self, kernel_id: str, problem: Problem) -> None:
        """Make an entry unreadable, for tests."""
        self._entries["kernel", kernel_id] = (math.inf, problem)

    def _fetch(self, kind: str, ids: Sequence[object]) -> StatisticsBatch:
        now = time.monotonic()
        found = [self._entries.get((kind, id_), (-math.inf, None)) for id_ in ids]
        live = [entry if expires > now else None for expires, entry in found]
        problems = {position: entry for position, entry in enumerate(live) if isinstance(entry, Problem)}
        return StatisticsBatch([None if isinstance(entry, Problem) else entry for entry in live], problems=problems)

    def _store(self, kind: str, entries: Mapping[Any, object], lasts_s: float) -> None:
        expires = time.monotonic() + lasts_s
        self._entries.update({(kind, id_): (expires, entry) for id_, entry in entries.items()})


def _maps(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    return {metric: value.to_map() for metric, value in metrics.items()}


async def open_store(url: str, options: Mapping[str, Any]) -> BatteryStore:
    """Open the store at a URL, to read or to write; the option `flat` makes it unavailable."""
    if unknown := options.keys() - {"flat"}:
        raise InputError(f"no such option: {', '.join(sorted(unknown))}")
    name = urlsplit(url).hostname or ""
    if options.get("flat"):
        raise UnavailableError(f"the batteries of {name} are flat", service=name, retry_after_s=60.0)
    return BatteryStore(_stores[name])
