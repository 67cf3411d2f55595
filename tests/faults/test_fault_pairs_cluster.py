"""Two faults at a time of a Valkey cluster or of servers behind sentinels: a node that is down, and another fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import msgpack
import pytest
from redis.crc import key_slot
from tests.faults.proxy import StartProxy, TcpProxy
from tests.support.turns import noting_replies
from tests.support.valkey_nodes import ValkeyNode
from tests.support.valkey_readers import metrics, payloads
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels

from statcore.errors import AccessDeniedError
from statcore.model import ProblemKind, StatisticsBatch
from statcore_valkey import ValkeyOptions, ValkeyStatistics

SOON = ValkeyOptions(live_db=0, timeout_s=3)
PATIENT = ValkeyOptions(live_db=0, timeout_s=60)
SINGLE = ValkeyOptions(live_db=0, timeout_s=60, pool_size=1)
ENOUGH_S = 30
"""Half the long deadline, and many times the short one, so that a slow machine fails no test."""
TURNS = 60
"""More turns of the event loop than a call takes; after so many, cancelling changes nothing."""
BAD = b"\x81\xa3mem"
"""An entry that breaks off."""
PADDING = {"pad": {"x": "x" * 4_000}}
"""What makes entries so large that kernels do not keep the rest of an answer when the server dies."""


def plant(topology: ValkeyCluster | ValkeyNode, count: int) -> list[str]:
    """Store the metrics of `count` kernels, and return their ids; the number of each is its position."""
    values = payloads(count)
    topology.store(values)
    return list(values)


def expected(ids: Sequence[str], missing: Sequence[str] = ()) -> list[dict[str, dict[str, str]] | None]:
    """Return the entries of the planted kernels, and None for those that are missing."""
    return [None if id_ in missing else metrics(number) for number, id_ in enumerate(ids)]


def kinds(batch: StatisticsBatch, ids: Sequence[str]) -> dict[str, ProblemKind]:
    """Return the kind of each problem by the id that has it."""
    return {ids[position]: problem.kind for position, problem in batch.problems.items()}


def of_node(cluster: ValkeyCluster, node: ValkeyNode, ids: Sequence[str]) -> list[str]:
    """Return the ids whose keys a node owns."""
    owners = cluster.owners(ids)
    return [id_ for id_ in ids if owners[id_] is node]


@asynccontextmanager
async def reading(cluster: ValkeyCluster, options: ValkeyOptions) -> AsyncGenerator[ValkeyStatistics]:
    """Open a reader that has connections to all nodes."""
    async with aclosing(ValkeyStatistics.from_url(cluster.url, options=options)) as store, asyncio.timeout(ENOUGH_S):
        await store.ping()
        yield store


@asynccontextmanager
async def behind(cluster: ValkeyCluster, node: ValkeyNode, proxy: TcpProxy) -> AsyncGenerator[None]:
    """Have clients find a node behind a proxy of the test until the block ends."""
    own_port = node.announced_port
    await asyncio.to_thread(cluster.announce, node, proxy.port)
    try:
        yield
    finally:
        if not node.is_well:
            node.recover()
        await asyncio.to_thread(cluster.announce, node, own_port)


async def test_bad_entries_on_well_nodes_and_a_node_that_is_down(primaries: ValkeyCluster) -> None:
    """Each bad entry keeps its own problem, and only the keys of the node are unavailable because of it."""
    ids = plant(primaries, 300)
    well, other, sick = primaries.primaries
    lost = of_node(primaries, sick, ids)
    malformed, listed, oversized, *_ = of_node(primaries, well, ids)
    unknown, *_ = of_node(primaries, other, ids)
    primaries.store({malformed: BAD, oversized: bytes(3_000_000)})
    other.command("DEL", unknown)
    well.command("DEL", listed)
    well.command("LPUSH", listed, "x")
    async with reading(primaries, SOON) as store:
        sick.stop()
        for _ in range(2):
            batch = await store.fetch_kernel_statistics([*ids, *ids[:50]])
            again = dict(zip([*ids, *ids[:50]], batch, strict=True))
            assert expected(ids, [*lost, malformed, listed, oversized, unknown]) == [again[id_] for id_ in ids]
            problems = kinds(batch, [*ids, *ids[:50]])
            assert {
                **dict.fromkeys(lost, ProblemKind.UNAVAILABLE),
                malformed: ProblemKind.MALFORMED,
                listed: ProblemKind.UNAVAILABLE,
                oversized: ProblemKind.OVERSIZED,
            } == problems
            (message,) = {batch.problems[ids.index(listed)].message}
            assert "list" in message
            assert all(str(sick) in batch.problems[ids.index(id_)].message for id_ in lost)


async def test_a_malformed_entry_and_a_node_killed_in_mid_batch(primaries: ValkeyCluster, tcp_proxy: StartProxy) -> None:
    """What the node had sent of its answer counts for nothing: its keys are unavailable, and the bad entry is another's."""
    sick, well, _ = primaries.primaries
    values = payloads(3_000)
    ids = list(values)
    lost = of_node(primaries, sick, ids)
    malformed, *_ = of_node(primaries, well, ids)
    primaries.store({**values, malformed: BAD})
    proxy = await tcp_proxy(sick.port)
    async with behind(primaries, sick, proxy), reading(primaries, ValkeyOptions(live_db=0, timeout_s=5)) as store:
        proxy.hold(after=10_000)  # a third of what the node answers
        call = asyncio.create_task(store.fetch_kernel_statistics(ids))
        await proxy.held.wait()
        sick.kill()
        proxy.cut()
        proxy.let_go()
        batch = await call
    assert {malformed: ProblemKind.MALFORMED, **dict.fromkeys(lost, ProblemKind.UNAVAILABLE)} == kinds(batch, ids)
    assert expected(ids, [*lost, malformed]) == list(batch)


@pytest.mark.parametrize("is_source", [True, False], ids=["the old owner", "the new owner"])
async def test_moved_slots_and_one_of_their_owners_down(primaries: ValkeyCluster, *, is_source: bool) -> None:
    """A reader with the old map follows the redirects; it loses the keys of the node that is down, and no other."""
    ids = plant(primaries, 600)
    source, target, _ = primaries.primaries
    async with reading(primaries, SOON) as store:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        moved = await asyncio.to_thread(primaries.move_slots, 400, source, target)
        assert any(key_slot(id_.encode()) in moved for id_ in ids)
        sick = source if is_source else target
        lost = of_node(primaries, sick, ids)
        sick.kill()
        batch = await store.fetch_kernel_statistics(ids)
        if is_source:  # it cannot redirect any more: the other nodes tell the new map, perhaps after the answer
            while set(lost) != set(kinds(batch, ids)):
                assert set(lost) < set(kinds(batch, ids))
                batch = await store.fetch_kernel_statistics(ids)
        assert dict.fromkeys(lost, ProblemKind.UNAVAILABLE) == kinds(batch, ids)
        assert expected(ids, lost) == list(batch)


@asynccontextmanager
async def moving(cluster: ValkeyCluster) -> AsyncGenerator[tuple[list[str], ValkeyNode, ValkeyNode]]:
    """Have a slot move during the block; yield four ids, of which two have moved, the source and the target."""
    source, target, _ = cluster.primaries
    slot = next(first for first, _, owner in cluster.ranges() if owner is source)
    tag = next(tag for tag in map(str, range(1_000_000)) if key_slot(tag.encode()) == slot)
    ids = [f"{{{tag}}}-{number}" for number in range(4)]
    cluster.store(dict(zip(ids, payloads(4).values(), strict=True)))
    cluster.begin_move([slot], source, target)
    try:
        await asyncio.to_thread(cluster.move_keys, ids[2:], source, target)
        yield ids, source, target
    finally:
        if not target.is_well:
            await asyncio.to_thread(cluster.heal)
            await asyncio.to_thread(cluster.begin_move, [slot], source, target)
        await asyncio.to_thread(cluster.move_keys, ids[:2], source, target)
        cluster.end_move([slot], source, target)


async def test_asking_and_a_reset(primaries: ValkeyCluster, tcp_proxy: StartProxy) -> None:
    """A connection that is reset after ASKING was sent is made again, and ASKING is sent again."""
    _, target, _ = primaries.primaries
    proxy = await tcp_proxy(target.port)
    async with behind(primaries, target, proxy), moving(primaries) as (ids, _, _), reading(primaries, PATIENT) as store:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        for _ in range(3):
            proxy.hold()
            call = asyncio.create_task(store.fetch_kernel_statistics(ids))
            await proxy.held.wait()
            proxy.cut()
            proxy.let_go()
            batch = await call
            assert {} == kinds(batch, ids)
            assert expected(ids) == list(batch)


async def test_asking_and_a_cancellation(primaries: ValkeyCluster) -> None:
    """A call is cancelled at each turn while it asks; the next one gets its own entries, and no answer to ASKING."""
    async with moving(primaries) as (ids, _, _), reading(primaries, SINGLE) as store:
        for turns in range(TURNS):
            call = asyncio.create_task(store.fetch_kernel_statistics(ids))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_running = call.cancel()
            await asyncio.wait([call])
            assert was_running == call.cancelled()
            assert expected(ids)[::-1] == list(await store.fetch_kernel_statistics(ids[::-1]))


async def test_asking_and_a_target_that_is_down(primaries: ValkeyCluster) -> None:
    """Keys that have moved already are unavailable, with the address of the target; those that stay are read."""
    async with moving(primaries) as (ids, _, target), reading(primaries, SOON) as store:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        target.stop()
        batch = await store.fetch_kernel_statistics(ids)
        assert dict.fromkeys(ids[2:], ProblemKind.UNAVAILABLE) == kinds(batch, ids)
        assert expected(ids, ids[2:]) == list(batch)


async def test_moved_slots_and_a_refused_password(primaries: ValkeyCluster) -> None:
    """The new owner refuses the user: its keys are unavailable at once, with the reason, and no others."""
    ids = plant(primaries, 300)
    source, target, _ = primaries.primaries
    for node in primaries.nodes:
        node.command("ACL", "SETUSER", "reader", "on", ">one", "~*", "+@all")
    try:
        url = primaries.url.replace("://", "://reader:one@")
        async with aclosing(ValkeyStatistics.from_url(url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
            assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
            await asyncio.to_thread(primaries.move_slots, 400, source, target)
            target.command("ACL", "SETUSER", "reader", "resetpass", ">two")
            target.command("CLIENT", "KILL", "USER", "reader")
            lost = of_node(primaries, target, ids)
            batch = await store.fetch_kernel_statistics(ids)
            assert dict.fromkeys(lost, ProblemKind.UNAVAILABLE) == kinds(batch, ids)
            assert expected(ids, lost) == list(batch)
            assert all("'reader'" in problem.message for problem in batch.problems.values())
            with pytest.raises(AccessDeniedError, match="'reader'"):
                await store.fetch_kernel_statistics(lost)
    finally:
        for node in primaries.nodes:
            node.command("ACL", "DELUSER", "reader")


async def test_a_malformed_entry_and_a_primary_killed_in_mid_batch(
    sentinels: ValkeySentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call goes on to the server that the sentinels promote, and the whole batch is of that server."""
    values = {id_: msgpack.packb(metrics(number) | PADDING) for number, id_ in enumerate(payloads(5_000))}
    ids = list(values)
    primary = sentinels.primary
    primary.store({**values, ids[3]: BAD})
    for server in sentinels.servers:
        server.command("CONFIG", "RESETSTAT")
    killed: list[ValkeyNode] = []

    def kill(reply: object) -> None:
        if isinstance(reply, list) and not killed:  # the first of five parts of the batch
            killed.append(primary)
            primary.kill()

    noting_replies(monkeypatch, kill)
    options = ValkeyOptions(timeout_s=60)
    async with aclosing(ValkeyStatistics.from_url(sentinels.url, options=options)) as store, asyncio.timeout(ENOUGH_S):
        batch = await store.fetch_kernel_statistics(ids)
    assert [primary] == killed
    await asyncio.to_thread(sentinels.wait_until_failed_over, primary)
    assert 5 <= sentinels.primary.command("INFO", "commandstats")["cmdstat_mget"]["calls"]
    assert {ids[3]: ProblemKind.MALFORMED} == kinds(batch, ids)
    assert expected(ids, ids[3:4]) == [entry and {"mem": dict(entry["mem"])} for entry in batch]
