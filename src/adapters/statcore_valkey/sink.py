"""Writes live statistics to Valkey, in the form in which agents write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

import attrs

from statcore.concurrency import Deadline, give_way
from statcore.model import MetricValue
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    activity_keys,
    agent_entry,
    agent_ttl_s,
    container_count_key,
    endpoint_key,
    metrics_entry,
    replica_key,
)
from statcore_connection.error_boundary import only_our_errors
from statcore_valkey.codec import encode_map
from statcore_valkey.commands import KEYS_PER_COMMAND, Remove, Write
from statcore_valkey.databases import Client, DatabasePair
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.node import Command
from statcore_valkey.options import DEFAULTS, ValkeyOptions

_ENTRIES_PER_TURN: Final = 64
"""How many entries are packed between two turns of the event loop: packing an entry costs as much as reading two."""


@attrs.frozen(eq=False)
class ValkeyStatisticsSink:
    """A `StatisticsSinkPort` over Valkey or Redis: one round trip per 1,000 entries.

    The user needs `+set` and `+del` on the keys, and `+select`, or `+cluster|slots`, `+cluster|info` and `+asking` on a
    cluster. Each method retries until its deadline. If a server of several does not confirm its part, the call raises, and
    the other parts are written. Each method may raise:

    - `InputError`: an id or a value cannot be stored.
    - `UnavailableError`, `TimedOutError`: the server cannot be reached, or does not answer before the deadline.
    - `AccessDeniedError`: the server refuses the user.
    - `UnsupportedError`: the server is part of a cluster but the URL is not one of a cluster, or the other way round.
    - `ProtocolError`: an answer does not confirm a write.
    - `ClosedError`: the store is closed, or another event loop is running than at the first call.
    """

    _databases: DatabasePair

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Write to the servers at a URL, as `ValkeyStatistics.from_url` reads from it.

        Raises:
            InputError: the URL or an option cannot be used.
        """
        return cls(DatabasePair.from_url(url, options=options))

    @classmethod
    def from_clients(cls, statistics: Client, live: Client, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Write through the host's own clients, as `ValkeyStatistics.from_clients` reads through them.

        Raises:
            InputError: a client of another kind; the message says what can be used.
        """
        return cls(DatabasePair.from_clients(statistics, live, options=options))

    @classmethod
    def from_keyspaces(cls, statistics: Keyspace, live: Keyspace, /, *, options: ValkeyOptions = DEFAULTS) -> Self:
        """Write to keyspaces that other code made, such as a plugin over the clients of another driver.

        Args:
            statistics: the keyspace with the statistics; it is closed with this object.
            live: the keyspace with the activity of sessions, which may be the same.
            options: deadlines, freshness and limits; options about connecting are ignored.
        """
        return cls(DatabasePair(statistics, live, options.timeout_s))

    @only_our_errors
    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Store metrics by kernel id or session id, for a day."""
        items = list(entries.items())
        await self._store(((id_, metrics_entry(metrics)) for id_, metrics in items), ttl_s=KERNEL_TTL_S)

    @only_our_errors
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
        entry = agent_entry(node=node, devices=devices)
        await self._store([(agent_id, entry)], ttl_s=math.ceil(agent_ttl_s(interval_s)))

    @only_our_errors
    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Store how many kernels an agent runs, for a day."""
        command: Command = ("SET", container_count_key(agent_id), str(count), "EX", KERNEL_TTL_S)
        async with self._databases.deadline() as deadline:
            await _write(self._databases.statistics, [command], deadline)

    @only_our_errors
    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by endpoint id and metric, for two minutes."""
        items = list(entries.items())
        await self._store(((endpoint_key(id_), metrics) for id_, metrics in items), ttl_s=INFERENCE_TTL_S)

    @only_our_errors
    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by (endpoint id, replica id) and metric, for two minutes."""
        items = list(entries.items())
        await self._store(((replica_key(pair), metrics) for pair, metrics in items), ttl_s=INFERENCE_TTL_S)

    @only_our_errors
    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        """Store what `fetch_inference_metrics` reads; it does not expire."""
        counts = zip(activity_keys(session_id), (requests, last_response_ms), strict=True)
        async with self._databases.deadline() as deadline:
            await _write(self._databases.live, [("SET", key, str(count)) for key, count in counts], deadline)

    @only_our_errors
    async def remove(self, ids: Iterable[str], /) -> None:
        """Remove the statistics of kernels, sessions or agents, and the container counts of agents; ignore unknown ids."""
        keys = [key for id_ in ids for key in (id_, container_count_key(id_))]
        async with self._databases.deadline() as deadline:
            for start in range(0, len(keys), KEYS_PER_COMMAND):
                part = keys[start : start + KEYS_PER_COMMAND]
                await self._databases.statistics.fan_out(part, Remove(part), deadline=deadline, is_write=True)

    @only_our_errors
    async def aclose(self) -> None:
        """Close the connections that this object made; clients handed in stay open.

        Raises:
            ClosedError: the store belongs to another event loop, which is not closed.
        """
        await self._databases.aclose()

    async def _store(self, entries: Iterable[tuple[str, Mapping[str, Any]]], *, ttl_s: int) -> None:
        """Write entries by key, in exchanges of `KEYS_PER_COMMAND`."""
        async with self._databases.deadline() as deadline:
            commands: list[Command] = []
            for key, entry in entries:
                commands.append(("SET", key, encode_map(entry, key=key), "EX", ttl_s))
                if len(commands) == KEYS_PER_COMMAND:
                    await _write(self._databases.statistics, commands, deadline)
                    commands = []
                elif len(commands) % _ENTRIES_PER_TURN == 0:
                    await give_way()
            if commands:
                await _write(self._databases.statistics, commands, deadline)


async def _write(keyspace: Keyspace, commands: Sequence[Command], deadline: Deadline) -> None:
    keys = [str(command[1]) for command in commands]
    await keyspace.fan_out(keys, Write(commands), deadline=deadline, is_write=True)
