"""The simulated cluster answers as a real one: healthy, while a slot moves, and without a majority."""

from __future__ import annotations

import asyncio
import operator
import re
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import cache, partial
from typing import Any, TypeAlias

import pytest
from redis.crc import key_slot as slot_of_driver
from tests.simulation.cluster_scenario import CLUSTER_HARMS, ClusterScenario
from tests.simulation.command_scripts import Step, plain, replies, steps
from tests.simulation.topology_scenario import KEYS
from tests.support.polling import until
from tests.support.valkey_nodes import ValkeyNode
from tests.support.valkey_topologies import ValkeyCluster

from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.valkey_cluster import SimulatedCluster, key_slot, slot_ranges
from statcore_valkey import ValkeyOptions, ValkeyStatistics

Change: TypeAlias = Callable[[Any], object]
"""Changes a cluster, simulated or real."""
_SETTLED_S = 5.0
"""Simulated seconds after which all nodes know about a change."""
_NAMES: tuple[str, ...] = ("node-0", "node-1", "node-2", "node-3", "node-4", "node-5")


def _simulated(script: Sequence[Step], *changes: Change) -> list[Any]:
    async def scenario(simulation: Simulation) -> list[Any]:
        cluster = SimulatedCluster(simulation.network, simulation.random)
        cluster.start()
        try:
            for change in changes:
                change(cluster)
                await asyncio.sleep(_SETTLED_S)
            places = dict(zip(_NAMES, (node.address for node in cluster.nodes), strict=True))
            names = {f"{node.name}:{node.port}".encode(): f"place-{node.number}" for node in cluster.nodes}
            names |= {node.id.encode(): f"id-{node.number}" for node in cluster.nodes}
            names |= dict.fromkeys(map(str.encode, _NAMES), "host") | {b"6379": "port"}
            return [plain(answer, names) for answer in await replies(places, script)]
        finally:
            cluster.stop()

    return simulate(scenario, seed=1)


@cache
def _ids(cluster: ValkeyCluster) -> list[bytes]:
    return [node.command("CLUSTER", "MYID") for node in cluster.nodes]


def _real(cluster: ValkeyCluster, script: Sequence[Step]) -> list[Any]:
    names = {str(node).encode(): f"place-{number}" for number, node in enumerate(cluster.nodes)}
    names |= {id_: f"id-{number}" for number, id_ in enumerate(_ids(cluster))} | {b"127.0.0.1": "host"}
    names |= {b"%d" % node.announced_port: "port" for node in cluster.nodes}
    places = {name: ("127.0.0.1", node.port) for name, node in zip(_NAMES, cluster.nodes, strict=True)}
    return [plain(answer, names) for answer in asyncio.run(replies(places, script))]


def _key(node: int, number: int = 0) -> str:
    """Return a key of a slot of a node; those with the same number of a node are in the same slot."""
    return next(key for key in map(str, range(10**6)) if key_slot(key.encode()) == node * 5_461 + 100 + number)


A, B = _key(0), _key(1)


def test_slots_are_those_of_the_driver() -> None:
    """Keys with and without braces."""
    words = ["", "a", "{a}b", "a{b}c", "a{}b", "a{b", "a}b{c}", "{a}{b}", "{{a}}b", "é{ü}"]
    assert [slot_of_driver(word.encode()) for word in words] == [key_slot(word.encode()) for word in words]


def test_ranges_are_those_of_the_bits() -> None:
    """First, last, and only slots, side by side and apart."""
    for ranges in ([], [(0, 0)], [(0, 16_383)], [(3, 3), (5, 9), (16_383, 16_383)]):
        slots = sum(1 << slot for first, last in ranges for slot in range(first, last + 1))
        assert ranges == list(slot_ranges(slots))


@pytest.mark.parametrize(
    "script",
    [
        steps(
            "node-0",
            f"SET {A} 1",
            f"GET {A}",
            f"SET {B} 1",
            f"GET {B}",
            f"DEL {B}",
            f"TYPE {B}",
            f"PTTL {B}",
            f"STRLEN {B}",
        ),
        steps(
            "node-0",
            f"MGET {A} {B}",
            f"EXISTS {B} {A}",
            f"DEL {A} {B}",
            f"MGET {{{A}}}x {{{A}}}y",
            f"MGET {{{B}}}x {{{B}}}y",
        ),
        steps("node-0", "ASKING", f"GET {B}", "ASKING", f"GET {A}", "READONLY", f"GET {A}", f"GET {B}", f"SET {A} 1"),
        steps("node-3", f"GET {A}", "READONLY", f"GET {A}", f"SET {A} 1", f"GET {B}", "READWRITE", f"GET {A}", "GET"),
        steps("node-3", "READONLY", "PING", "EXISTS", f"EXISTS {{{A}}}x {{{A}}}y", "SELECT 0", "SELECT 1", "SELECT x"),
        steps("node-0", "CLUSTER SLOTS", f"CLUSTER KEYSLOT {A}", "CLUSTER NONSENSE", "CLUSTER"),
        steps("node-4", "CLUSTER SLOTS", "ASKING", "READONLY a", "FLUSHALL"),
    ],
)
def test_the_replies_are_those_of_a_real_cluster(cluster: ValkeyCluster, script: Sequence[Step]) -> None:
    """Owners, redirects, and what replicas answer."""
    assert _real(cluster, script) == _simulated(script)


def test_what_a_cluster_says_of_itself_is_as_of_a_real_one(cluster: ValkeyCluster) -> None:
    """The words that clients look at, in every form in which a node tells the others."""
    script = steps("node-0", "CLUSTER NODES", "CLUSTER SHARDS", "CLUSTER INFO", "HELLO 2", "INFO replication")
    script += steps("node-3", "CLUSTER NODES", "CLUSTER SHARDS", "CLUSTER INFO", "HELLO", "INFO replication")

    def essence(answers: list[Any]) -> list[Any]:
        found: list[Any] = []
        for nodes, shards, info, hello, replication in (answers[:5], answers[5:]):
            lines = [re.sub("@[0-9]+", "", line).split() for line in nodes.splitlines()]
            found.append(sorted([line[:4], line[7:]] for line in lines))
            found.append(sorted([fields[1], sorted(map(_without_offset, fields[3]))] for fields in shards))
            found.append(
                {line for line in info.splitlines() if line.startswith(("cluster_state", "cluster_slots", "cluster_size"))}
            )
            found.append([hello[:2], hello[4:6], hello[8:]])
            found.append(
                {line for line in replication.splitlines() if re.match("role|master_(host|port|link_status)", line)}
            )
        return found

    assert essence(_real(cluster, script)) == essence(_simulated(script))


def _without_offset(fields: list[Any]) -> list[Any]:
    position = fields.index("replication-offset")
    return fields[:position] + fields[position + 2 :]


STAYS, GOES, NEW, LATER = (f"{{{A}}}{name}" for name in ("stays", "goes", "new", "later"))
MOVED = [key_slot(A.encode())]


def plant(cluster: Any) -> None:
    """Store two keys of a slot."""
    cluster.store({STAYS: b"1", GOES: b"2"})


def open_slot(cluster: Any) -> None:
    """Let the slot begin to move, and one key with it."""
    source, target, *_ = cluster.nodes
    cluster.begin_move(MOVED, source, target)
    cluster.move_keys([GOES], source, target)


def replace_target(cluster: Any) -> None:
    """Let the replica take the place of the node to which the slot moves."""
    target, replica = cluster.nodes[1], cluster.nodes[4]
    if isinstance(target, ValkeyNode):
        cluster.wait_until_replicated()
        cluster.fail_over(target)
    else:
        replica.take_over()


def lose_target(cluster: Any) -> None:
    """Let the node to which the slot moves end, and its replica take its place."""
    target = cluster.nodes[1]
    if isinstance(target, ValkeyNode):
        cluster.wait_until_replicated()
        target.kill()
        cluster.wait_until_failed_over(target)
    else:
        target.crash()


def lists_replicas(cluster: ValkeyCluster) -> bool:
    """Tell whether each node lists a replica of each primary, as it does once it has heard of the replica's data."""
    return all(len(entry) == 4 for node in cluster.nodes for entry in node.command("CLUSTER", "SLOTS"))


def close_slot(cluster: Any) -> None:
    """Let the other key follow, and the slot belong to its new owner."""
    source, target, *_ = cluster.nodes
    cluster.move_keys([STAYS, NEW], source, target)
    cluster.end_move(MOVED, source, target)


def test_an_open_slot_is_answered_as_by_a_real_cluster(cluster: ValkeyCluster) -> None:
    """ASK, TRYAGAIN and ASKING at all nodes; then the target is a replica, and away; then the slot is the target's."""
    opened = [
        *steps("node-0", f"GET {STAYS}", f"GET {GOES}", f"GET {NEW}", f"SET {NEW} 1", f"DEL {GOES}", f"TYPE {GOES}"),
        *steps("node-0", f"MGET {STAYS} {GOES}", f"MGET {GOES} {NEW}", f"SET {STAYS} 1", "CLUSTER SLOTS"),
        *steps("node-1", f"GET {GOES}", "ASKING", f"GET {GOES}", f"GET {GOES}", "ASKING", "PING", f"GET {GOES}"),
        *steps("node-1", "ASKING", f"GET {STAYS}", "ASKING", f"MGET {GOES} {NEW}", "ASKING", f"SET {NEW} 4"),
        *steps("node-1", "ASKING", f"MGET {GOES} {NEW}", "ASKING", "NONSENSE", f"GET {GOES}", "CLUSTER SLOTS"),
        *steps("node-2", f"GET {GOES}", "ASKING", f"GET {GOES}"),
        *steps("node-3", f"GET {GOES}", f"GET {STAYS}", f"SET {GOES} 1", f"MGET {STAYS} {GOES}", "ASKING", f"GET {GOES}"),
        *steps("node-3", "READONLY", f"GET {GOES}", f"SET {GOES} 1", f"MGET {STAYS} {GOES}", "ASKING", f"GET {GOES}"),
        *steps("node-4", "READONLY", f"GET {STAYS}", f"GET {GOES}", "ASKING", f"GET {GOES}"),
    ]
    replaced = [
        *steps("node-0", f"GET {GOES}"),
        *steps("node-4", f"GET {GOES}", "ASKING", f"GET {GOES}", "ASKING", f"MGET {GOES} {LATER}"),
        *steps("node-1", f"GET {GOES}", "ASKING", f"GET {GOES}", "READONLY", f"GET {GOES}", "ASKING", f"GET {GOES}"),
        *steps(
            "node-1", "READONLY", "ASKING", f"SET {LATER} 1", "ASKING", f"MGET {GOES} {LATER}", "ASKING", f"GET {LATER}"
        ),
    ]
    lost = steps("node-0", f"GET {STAYS}", f"GET {GOES}")
    closed = [
        *steps("node-0", f"GET {STAYS}", f"SET {LATER} 1"),
        *steps("node-1", f"GET {STAYS}", f"GET {GOES}", f"SET {LATER} 1", "ASKING", f"GET {LATER}", "CLUSTER SLOTS"),
    ]
    plant(cluster)
    try:
        open_slot(cluster)
        assert _real(cluster, opened) == _simulated(opened, plant, open_slot)
        replace_target(cluster)
        assert _real(cluster, replaced) == _simulated(replaced, plant, open_slot, replace_target)
        cluster.wait_until_replicated()
        cluster.fail_over(cluster.nodes[4])
        lose_target(cluster)
        assert _real(cluster, lost) == _simulated(lost, plant, open_slot, lose_target)
        cluster.heal()
        cluster.wait_until_replicated()
        cluster.fail_over(cluster.nodes[4])
        asyncio.run(until(partial(lists_replicas, cluster), "replicas that are listed"))
        close_slot(cluster)
        assert _real(cluster, closed) == _simulated(closed, plant, open_slot, close_slot)
    finally:
        cluster.move_slots(1, cluster.nodes[1], cluster.nodes[0])


def test_a_former_primary_that_moved_does_not_know_that_it_was_replaced() -> None:
    """It was away, and comes back at another address while the new primary, which would tell it, is away."""

    async def scenario(simulation: Simulation) -> None:
        run = ClusterScenario(simulation, [])
        run.cluster.start()
        try:
            run.changed(None)
            key = KEYS[0]
            primary, replica = run.cluster.shard(run.cluster.primary_of(key_slot(key.encode())))
            primary.crash()
            replica.take_over()
            assert not run.has_former_holder(key)
            replica.crash()
            primary.move("another host")
            await asyncio.sleep(_SETTLED_S)
            assert [primary] == list(run.holders(key.encode()))
            assert run.has_former_holder(key)
        finally:
            run.cluster.stop()

    simulate(scenario, seed=1)


def test_nodes_that_swap_their_addresses_both_run() -> None:
    """Each is where the other was."""

    async def scenario(simulation: Simulation) -> None:
        run = ClusterScenario(simulation, [])
        run.cluster.start()
        try:
            names = [node.name for node in run.cluster.nodes]
            (swap,) = (harm for harm in CLUSTER_HARMS if harm.name == "swapped_addresses")
            swap.begin(run)
            swapped = [node.name for node in run.cluster.nodes]
            assert (sorted(names), 2) == (sorted(swapped), sum(map(operator.ne, names, swapped)))
            assert all(node.is_running for node in run.cluster.nodes)
        finally:
            run.cluster.stop()

    simulate(scenario, seed=1)


def test_primaries_that_swapped_their_addresses_may_look_new() -> None:
    """Clients know nodes by their addresses, and nodes learn of one new address after the other."""

    async def scenario(simulation: Simulation) -> None:
        run = ClusterScenario(simulation, [])
        run.cluster.start()
        try:
            run.changed(None)
            await asyncio.sleep(1.0)
            first, second, *_ = run.cluster.nodes
            first.crash()
            second.crash()
            assert run.last_fail_over_s < run.now_s()
            first.name, second.name = second.name, first.name
            first.move(first.name)
            assert run.now_s() == run.last_fail_over_s
        finally:
            run.cluster.stop()

    simulate(scenario, seed=1)


def disown(cluster: Any) -> None:
    """Let a slot of a simulated cluster have no owner."""
    for node in cluster.nodes:
        for member in node.members.values():
            member.slots &= ~(1 << MOVED[0])


def leave_alone(cluster: Any) -> None:
    """Let two nodes of six be left."""
    for number in (1, 2, 4, 5):
        node = cluster.nodes[number]
        node.kill() if isinstance(node, ValkeyNode) else node.crash()


async def is_down(node: ValkeyNode) -> bool:
    """Tell whether a node knows that it is in a minority."""
    return b"cluster_state:fail" in await asyncio.to_thread(node.command, "CLUSTER", "INFO")


def test_the_state_of_a_cluster_is_as_of_a_real_one(cluster: ValkeyCluster) -> None:
    """A slot without an owner, and then a minority."""
    script = [
        *steps("node-0", f"GET {A}", f"GET {{{A}}}x", f"GET {A}x", f"GET {B}", f"SET {A} 1", "PING"),
        *steps("node-3", f"GET {A}", "READONLY", f"GET {A}", f"GET {{{A}}}x", f"GET {A}x", f"GET {B}", "CLUSTER SLOTS"),
        *steps("node-0", f"SET {A}x 1", f"DEL {A}x"),
    ]
    try:
        cluster.disown(MOVED[0], MOVED[0])
        real = _real(cluster, script)
        while cluster.disown(MOVED[0], MOVED[0]):  # a node had learnt of the former owner again
            real = _real(cluster, script)
        assert real == _simulated(script, disown)
        leave_alone(cluster)
        for node in (cluster.nodes[0], cluster.nodes[3]):
            asyncio.run(until(partial(is_down, node), "a minority"))
        assert _real(cluster, script) == _simulated(script, disown, leave_alone)
    finally:
        cluster.nodes[0].command("CLUSTER", "ADDSLOTS", MOVED[0])


def test_one_node_that_answers_is_found_among_many_that_hang() -> None:
    """A new store asks six of twelve nodes first, in half of these runs none that answers."""

    async def scenario(simulation: Simulation) -> None:
        cluster = SimulatedCluster(simulation.network, simulation.random, replicas=3, timeout_s=60.0)
        cluster.start()
        cluster.store({A: b"\x80"})
        for node in cluster.nodes[1:]:
            node.hang()
        async with aclosing(ValkeyStatistics.from_url(cluster.url, options=ValkeyOptions(live_db=0))) as store:
            assert [{}] == list(await store.fetch_kernel_statistics([A]))
        cluster.stop()

    for seed in range(8):
        simulate(scenario, seed=seed)
