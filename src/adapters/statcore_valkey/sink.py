"""Writing live statistics to Valkey, as the agents do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import attrs
from redis.asyncio import Redis

from statcore.errors import InputError, ProtocolError
from statcore.model import MetricValue
from statcore_valkey.codec import encode_map
from statcore_valkey.database import AT_A_TIME, Command, Database
from statcore_valkey.databases import Databases
from statcore_valkey.deadline import Deadline
from statcore_valkey.keys import (
    DAY_S,
    INFERENCE_S,
    activity_keys,
    agent_ttl_s,
    container_count_key,
    endpoint_key,
    replica_key,
)
from statcore_valkey.options import DEFAULTS, ValkeyOptions

_T = TypeVar("_T")
_ENTRIES_A_TURN: Final = 64


@attrs.frozen(eq=False)
class ValkeyStatisticsSink:
    """A `StatisticsSinkPort` over a Valkey or Redis server: one round trip per 1,000 entries.

    The user needs `+set` and `+del` on the keys, and `+select`.
    """

    _databases: Databases
    _options: ValkeyOptions

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Write to the server at a URL; the rest is as in `ValkeyStatistics.from_url`."""
        return cls(Databases.from_url(url, options=options), options)

    @classmethod
    def from_clients(cls, statistics: Redis, live: Redis, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Write through the host's own clients; the rest is as in `ValkeyStatistics.from_clients`."""
        return cls(Databases.from_clients(statistics, live, options=options), options)

    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Store metrics by kernel id or session id, for a day."""
        await self._store([(id_, metrics) for id_, metrics in entries.items()], _maps, ttl_s=DAY_S)

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
            InputError: the interval is not a number of seconds above zero.
        """
        by_device = {metric: _maps(values) for metric, values in devices.items()}
        entry = {"node": _maps(node), "devices": by_device}
        await self._store([(agent_id, entry)], _as_it_is, ttl_s=agent_ttl_s(interval_s))

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Store how many kernels an agent runs, for a day."""
        command: Command = ("SET", container_count_key(agent_id), str(count), "EX", DAY_S)
        async with Deadline(self._options.timeout_s) as deadline:
            await _write(self._databases.statistics, [command], deadline)

    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by endpoint id and metric, for two minutes."""
        keyed = [(endpoint_key(endpoint_id), metrics) for endpoint_id, metrics in entries.items()]
        await self._store(keyed, _as_it_is, ttl_s=INFERENCE_S)

    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by (endpoint id, replica id) and metric, for two minutes."""
        keyed = [(replica_key(pair), metrics) for pair, metrics in entries.items()]
        await self._store(keyed, _as_it_is, ttl_s=INFERENCE_S)

    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        """Store what `fetch_inference_metrics` reads; it does not expire."""
        numbers = zip(activity_keys(session_id), (requests, last_response_ms), strict=True)
        async with Deadline(self._options.timeout_s) as deadline:
            await _write(self._databases.live, [("SET", key, str(number)) for key, number in numbers], deadline)

    async def remove(self, ids: Iterable[str], /) -> None:
        """Forget the statistics of kernels, sessions or agents, and the counts of those agents; other ids are ignored."""
        keys = [key for id_ in ids for key in (id_, container_count_key(id_))]
        async with Deadline(self._options.timeout_s) as deadline:
            for start in range(0, len(keys), AT_A_TIME):
                command = ("DEL", *keys[start : start + AT_A_TIME])
                await self._databases.statistics.ask([command], deadline=deadline)

    async def aclose(self) -> None:
        """Close the connections that this object made; clients handed in stay open."""
        await self._databases.aclose()

    async def _store(
        self, entries: Sequence[tuple[str, _T]], to_map: Callable[[_T], Mapping[str, Any]], *, ttl_s: int
    ) -> None:
        async with Deadline(self._options.timeout_s) as deadline:
            for start in range(0, len(entries), AT_A_TIME):
                commands: list[Command] = []
                for key, entry in entries[start : start + AT_A_TIME]:
                    if len(commands) % _ENTRIES_A_TURN == _ENTRIES_A_TURN - 1:
                        await asyncio.sleep(0)
                    commands.append(("SET", key, encode_map(to_map(entry), key=key), "EX", ttl_s))
                await _write(self._databases.statistics, commands, deadline)


async def _write(database: Database, commands: Sequence[Command], deadline: Deadline) -> None:
    answers = await database.ask(commands, deadline=deadline)
    if any(answer != b"OK" for answer in answers):
        raise ProtocolError(f"{database.service} did not confirm a write")


def _maps(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    try:
        return {metric: value.to_map() for metric, value in metrics.items()}
    except (AttributeError, TypeError) as error:
        raise InputError(f"metrics must be a map of names to MetricValue: {error}") from error


def _as_it_is(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry
