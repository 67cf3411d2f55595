"""Nodes of a third party, over public names alone: the store over them keeps every promise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeAlias

import attrs
import pytest
from redis.crc import key_slot

from statcore.concurrency import Deadline, give_way
from statcore.errors import ClosedError, ProtocolError, UnavailableError
from statcore.model import MetricValue, ProblemKind
from statcore.ports import StatisticsPort, StatisticsSinkPort
from statcore.testing.conformance import StatisticsConformance
from statcore_valkey import (
    Address,
    Keyspace,
    ValkeyOptions,
    ValkeyStatistics,
    ValkeyStatisticsSink,
    error_from_reply,
)

Command: TypeAlias = tuple[str | bytes | int, ...]

SLOTS: Final = 16_384


@attrs.define(eq=False)
class Shelf:
    """A server of a third party: keys in a dict, and `Node` over it.

    Args:
        port: its port, by which messages name it.
        slots: the slots that it owns, or None if it is not part of a cluster.
        cluster: all servers of the cluster by their addresses.
        entries: values and when they expire, by key.
        is_away: whether it cannot be reached.
        refusals: how many commands it refuses first.
        follows: whether it follows redirects by itself.
        closed: how often it was closed.
    """

    port: int
    slots: range | None = None
    cluster: Mapping[Address, Shelf] = attrs.field(factory=dict[Address, "Shelf"], repr=False)
    entries: dict[str, tuple[bytes, float | None]] = attrs.field(factory=dict[str, tuple[bytes, float | None]], repr=False)
    is_away: bool = False
    refusals: int = 0
    follows: bool = False
    closed: int = 0

    @property
    def service(self) -> str:
        """Its name for messages."""
        return f"the shelf {self.port}"

    @property
    def is_cluster(self) -> bool:
        """Whether it owns a part of the keys."""
        return self.slots is not None

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Return the answer to each command."""
        deadline.waiting_for = f"an answer from {self.service}"
        await give_way()
        if self.is_away:
            raise UnavailableError(f"{self.service} cannot be reached", service=self.service)
        return [self._answer(command) for command in commands]

    def _answer(self, command: Command) -> Any:  # noqa: C901, PLR0911 - a case for each command
        name, *words = command
        keys = [word for word in words if isinstance(word, str)]
        if self.refusals:
            self.refusals -= 1
            return error_from_reply("TRYAGAIN a server of the cluster restarts", service=self.service, user="'default'")
        if name == "CLUSTER":
            return [[shelf.slots[0], shelf.slots[-1], [b"h", at.port]] for at, shelf in self.cluster.items() if shelf.slots]
        if name != "PING" and self.slots is not None and key_slot(keys[0].encode()) not in self.slots:
            slot = key_slot(keys[0].encode())
            owner = next(at for at, shelf in self.cluster.items() if shelf.slots and slot in shelf.slots)
            if self.follows:
                return self.cluster[owner]._answer(command)
            return error_from_reply(f"MOVED {slot} {owner}", service=self.service, user="'default'")
        match name, words:
            case "SET", [str(key), value, "EX", int(ttl_s)]:
                return self._set(key, value, time.monotonic() + ttl_s)
            case "SET", [str(key), value]:
                return self._set(key, value, None)
            case "GET", [str(key)]:
                return self._get(key)
            case "PTTL", [str(key)]:
                until_s = self.entries[key][1] if self._get(key) is not None else 0.0
                return -2 if until_s == 0.0 else -1 if until_s is None else round((until_s - time.monotonic()) * 1000)
            case "MGET", _:
                return [self._get(key) for key in keys]
            case "EXISTS", _:
                return sum(self._get(key) is not None for key in keys)
            case "DEL", _:
                return sum(self.entries.pop(key, None) is not None for key in keys)
            case "TYPE", [str(key)]:
                return b"none" if self._get(key) is None else b"string"
        return b"PONG"

    def _set(self, key: str, value: str | bytes | int, until_s: float | None) -> bytes:
        self.entries[key] = value if isinstance(value, bytes) else str(value).encode(), until_s
        return b"OK"

    def _get(self, key: str) -> bytes | None:
        value, until_s = self.entries.get(key, (None, None))
        return None if until_s is not None and until_s <= time.monotonic() else value

    async def aclose(self) -> None:
        """Count that it was closed."""
        self.closed += 1


def shelves() -> dict[Address, Shelf]:
    """Return a cluster of three."""
    cluster: dict[Address, Shelf] = {}
    for number in range(3):
        slots = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
        cluster[Address("h", 1 + number)] = Shelf(1 + number, slots, cluster)
    return cluster


def keyspace(cluster: Mapping[Address, Shelf]) -> Keyspace:
    """Return the keys of a cluster, which are found by its first server."""

    def new_node(address: Address, is_replica: bool) -> Shelf:  # noqa: FBT001 - the keyspace calls it
        assert not is_replica
        return cluster[address]

    return Keyspace.of_cluster([Address("h", 1)], new_node, timeout_s=5.0)


class TestOneServer(StatisticsConformance):
    """A server for each database."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Fill new shelves."""
        pair = Shelf(1), Shelf(2)
        store = ValkeyStatistics.from_keyspaces(*map(Keyspace.of_one, pair))
        sink = ValkeyStatisticsSink.from_keyspaces(*map(Keyspace.of_one, pair))
        async with aclosing(store), aclosing(sink):
            yield store, sink


class TestCluster(StatisticsConformance):
    """Three servers for both databases."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Fill new shelves."""
        cluster = shelves()
        store = ValkeyStatistics.from_keyspaces(*[keyspace(cluster)] * 2)
        sink = ValkeyStatisticsSink.from_keyspaces(*[keyspace(cluster)] * 2)
        async with aclosing(store), aclosing(sink):
            yield store, sink


async def test_a_sick_node_costs_its_own_keys() -> None:
    """The problem has the text of the node's error; the keys of the other nodes are answered."""
    cluster = shelves()
    both = keyspace(cluster)
    ids = [f"k{number}" for number in range(30)]
    away = cluster[Address("h", 2)]
    async with aclosing(ValkeyStatistics.from_keyspaces(both, both, options=ValkeyOptions(timeout_s=0.5))) as store:
        assert not (await store.fetch_kernel_statistics(ids)).problems
        away.is_away = True
        batch = await store.fetch_kernel_statistics(ids)
    lost = {position for position, id_ in enumerate(ids) if away.slots and key_slot(id_.encode()) in away.slots}
    assert dict.fromkeys(lost, ProblemKind.UNAVAILABLE) == {at: problem.kind for at, problem in batch.problems.items()}
    assert {"the shelf 2 cannot be reached"} == {problem.message for problem in batch.problems.values()}


async def test_a_driver_that_finds_servers_by_itself_is_one_node() -> None:
    """Errors among its answers cost single keys: they are written and read again until they succeed."""
    shelf = Shelf(1, range(SLOTS))
    both = Keyspace.of_one(shelf)
    store, sink = ValkeyStatistics.from_keyspaces(both, both), ValkeyStatisticsSink.from_keyspaces(both, both)
    shelf.refusals = 2
    await sink.store_kernel_statistics({id_: {"mem": MetricValue(current=id_)} for id_ in "123"})
    shelf.refusals = 2
    batch = await store.fetch_kernel_statistics("123")
    assert (["1", "2", "3"], {}) == ([entry["mem"]["current"] for entry in batch if entry], dict(batch.problems))


async def test_a_cluster_is_found_through_any_server() -> None:
    """A driver that knows the servers needs no address at the start."""
    cluster = shelves()
    gate = cluster[Address("h", 3)]
    both = Keyspace.of_cluster([], lambda address, _: cluster[address], timeout_s=5.0, any_server=gate)
    async with aclosing(ValkeyStatistics.from_keyspaces(both, both)) as store:
        batch = await store.fetch_kernel_statistics([f"k{number}" for number in range(30)])
    assert ([None] * 30, {}) == (list(batch), dict(batch.problems))
    assert gate.closed


async def test_slots_that_have_moved_are_found_behind_a_driver_that_follows_redirects() -> None:
    """Nothing shows that they have moved, so the map is looked up again once it is old."""
    cluster = shelves()
    for shelf in cluster.values():
        shelf.follows = True
    first, second, gate = cluster.values()
    both = Keyspace.of_cluster([], lambda address, _: cluster[address], timeout_s=5.0, any_server=gate)
    async with aclosing(ValkeyStatistics.from_keyspaces(both, both)) as store:
        await store.ping()
        before = both.discovery.map
        first.slots, second.slots = second.slots, first.slots
        both.discovery._started_s = float("-inf")
        assert not (await store.fetch_kernel_statistics([f"k{number}" for number in range(30)])).problems
        async with asyncio.timeout(10):
            while both.discovery.map == before:
                await give_way()
    found = both.discovery.map
    assert found is not None
    assert [Address("h", port) for port in (2, 1, 3)] == [shard.primary for shard in found.shards]


async def test_slots_that_have_moved_are_found() -> None:
    """A redirect, which `error_from_reply` makes of the server's text, leads to the new owner."""
    cluster = shelves()
    first, second = cluster[Address("h", 1)], cluster[Address("h", 2)]
    both = keyspace(cluster)
    async with aclosing(ValkeyStatistics.from_keyspaces(both, both)) as store:
        await store.ping()
        first.slots, second.slots = second.slots, first.slots
        batch = await store.fetch_kernel_statistics([f"k{number}" for number in range(30)])
    assert ([None] * 30, {}) == (list(batch), dict(batch.problems))


@pytest.mark.parametrize("shelf", [Shelf(1), shelves()[Address("h", 1)]], ids=["one", "cluster"])
async def test_a_keyspace_closes_its_nodes_and_ends(shelf: Shelf) -> None:
    """Nothing is sent afterwards."""
    both = keyspace(shelf.cluster) if shelf.is_cluster else Keyspace.of_one(shelf)
    store = ValkeyStatistics.from_keyspaces(both, both)
    await store.ping()
    await store.aclose()
    assert shelf.closed
    for call in (store.ping(), store.fetch_kernel_statistics(["k"])):
        with pytest.raises(ClosedError, match="is closed"):
            await call


def test_an_unknown_text_of_a_server_is_not_shown() -> None:
    """It may repeat a command."""
    failure = error_from_reply("ERR something about t0p-secret", service="h", user="'u'")
    assert isinstance(failure, ProtocolError)
    assert "t0p-secret" not in f"{failure}{failure.__cause__}"


@pytest.mark.parametrize("text", ["MOVED", "ASK 5", "MOVED x 127.0.0.1:6379", "ASK 5 127.0.0.1", "MOVED 5 127.0.0.1:x"])
def test_a_redirect_that_leads_nowhere_is_a_protocol_error(text: str) -> None:
    """The driver cannot read it; no error of the driver leaves."""
    assert isinstance(error_from_reply(text, service="h", user="'u'"), ProtocolError)
