"""Clusters whose nodes are killed, stopped or isolated, and whose slots move, while callers read and write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from typing import Any, TypeAlias

import pytest
from redis.asyncio import RedisCluster
from redis.crc import key_slot
from redis.exceptions import ResponseError
from tests.faults.proxy import StartProxy, TcpProxy
from tests.support.cancelling import cancelled_after, expect_count
from tests.support.polling import until
from tests.support.valkey_nodes import ValkeyNode
from tests.support.valkey_readers import CALLERS, Readers, metrics, numbered, payloads
from tests.support.valkey_topologies import ValkeyCluster

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    InputError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model import MetricValue, ProblemKind, StatisticsBatch
from statcore.testing.servers import free_port
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, discovery

Harm: TypeAlias = Callable[[ValkeyNode], None]
OPTIONS = ValkeyOptions(live_db=0)
SOON = ValkeyOptions(live_db=0, timeout_s=3)
PATIENT = ValkeyOptions(live_db=0, timeout_s=60)
REPLICAS = ValkeyOptions(live_db=0, timeout_s=60, read_from_replicas=True)
SINGLE = ValkeyOptions(live_db=0, pool_size=1)
ENOUGH_S = 30
"""Half the long deadline, and many times the short one, so that a slow machine fails no test."""
REFUSES_OR_HANGS = [ValkeyNode.kill, ValkeyNode.stop]
HARMS = [*REFUSES_OR_HANGS, ValkeyNode.isolate]
TURNS = 60
"""More turns of the event loop than a call or closing takes; after so many, cancelling changes nothing."""


def plant(cluster: ValkeyCluster, count: int) -> list[str]:
    """Store the metrics of `count` kernels on all nodes, and return their ids; the number of each is its position."""
    values = payloads(count)
    cluster.store(values)
    return list(values)


def expected(ids: Sequence[str]) -> list[dict[str, dict[str, str]]]:
    """Return the entries of the planted kernels."""
    return [metrics(number) for number in range(len(ids))]


def kinds(batch: StatisticsBatch) -> list[ProblemKind | None]:
    """Return the kind of each position's problem."""
    problems = batch.problems
    return [problems[position].kind if position in problems else None for position in range(len(batch))]


def values(batch: StatisticsBatch) -> list[str]:
    """Return the value of each entry that is there."""
    return [entry["mem"]["current"] for entry in batch if entry is not None]


def writing(cluster: ValkeyCluster, options: ValkeyOptions = OPTIONS) -> AbstractAsyncContextManager[ValkeyStatisticsSink]:
    """Open a writer."""
    return aclosing(ValkeyStatisticsSink.from_url(cluster.url, options=options))


@asynccontextmanager
async def reading(cluster: ValkeyCluster, options: ValkeyOptions = OPTIONS) -> AsyncIterator[ValkeyStatistics]:
    """Open a reader that has connections to all nodes."""
    async with aclosing(ValkeyStatistics.from_url(cluster.url, options=options)) as store:
        await store.ping()
        yield store


async def test_answers_stay_in_the_order_of_the_ids(primaries: ValkeyCluster) -> None:
    """Ids of all nodes, some of them unknown or given twice, are answered at their positions, with their ages."""
    ids = plant(primaries, 2_000)
    mixed = [id_ for pair in zip(ids, ids[::-1], strict=True) for id_ in (*pair, f"no-{pair[0]}")]
    numbers = numbered(ids)
    async with reading(primaries) as store:
        for reader in (store, store.with_ages()):
            batch = await reader.fetch_kernel_statistics(mixed)
            assert [metrics(numbers[id_]) if id_ in numbers else None for id_ in mixed] == list(batch)
            assert not batch.problems
        assert set(range(len(mixed))) - set(range(2, len(mixed), 3)) == set(batch.ages_s)


async def test_huge_entries_cost_no_other(primaries: ValkeyCluster) -> None:
    """A node with a huge entry answers for its other keys, also if one of them holds another type."""
    ids = plant(primaries, 100)
    huge, listed = ids[7], ids[8]
    primaries.store({huge: bytes(20_000_000)})
    primaries.node_of(listed).command("DEL", listed)
    primaries.node_of(listed).command("LPUSH", listed, "x")
    async with reading(primaries, PATIENT) as store:
        batch = await store.fetch_kernel_statistics(ids)
    assert [None if id_ in (huge, listed) else entry for id_, entry in zip(ids, expected(ids), strict=True)] == list(batch)
    assert {7: ProblemKind.OVERSIZED, 8: ProblemKind.UNAVAILABLE} == {
        position: problem.kind for position, problem in batch.problems.items()
    }


async def test_moved_keys_are_followed(primaries: ValkeyCluster) -> None:
    """Keys are read and written at their new node after their slots have moved."""
    ids = plant(primaries, 1_000)
    source, target, _ = primaries.primaries
    async with reading(primaries) as store, writing(primaries) as sink:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        await sink.store_container_count("i-1", 1)
        moved = await asyncio.to_thread(primaries.move_slots, 200, source, target)
        batch = await store.fetch_kernel_statistics(ids)
        assert expected(ids) == list(batch)
        assert not batch.problems
        written = [id_ for id_ in ids if key_slot(id_.encode()) in moved]
        await sink.store_kernel_statistics({id_: {"mem": MetricValue(current="new")} for id_ in written})
        assert ["new"] * len(written) == values(await store.fetch_kernel_statistics(written))
        await sink.remove(written)
        assert [None] * len(written) == list(await store.fetch_kernel_statistics(written))


async def test_callers_share_one_refresh_of_the_slot_map(primaries: ValkeyCluster) -> None:
    """After slots have moved, many callers are redirected, but the store refreshes its slot map only a few times.

    While nodes are slow to answer, it refreshes the map again from time to time.
    """
    ids, calls = plant(primaries, 500), 4 * CALLERS
    source, target, _ = primaries.primaries
    async with reading(primaries, PATIENT) as store:
        await asyncio.to_thread(primaries.move_slots, 200, source, target)
        for node in primaries.nodes:
            node.command("CONFIG", "RESETSTAT")
        batches = await asyncio.gather(*(store.fetch_kernel_statistics(ids) for _ in range(calls)))
        assert all(expected(ids) == list(batch) for batch in batches)
    refreshes = [
        node.command("INFO", "commandstats").get("cmdstat_cluster|slots", {"calls": 0}) for node in primaries.nodes
    ]
    assert calls > sum(refresh["calls"] for refresh in refreshes)


async def test_keys_of_an_open_slot_are_found_on_both_sides(primaries: ValkeyCluster) -> None:
    """While a slot moves, its keys are read, written and removed at the source or, with ASKING, at the target."""
    source, target, _ = primaries.primaries
    slot = next(first for first, _, owner in primaries.ranges() if owner is source)
    ids = keys_in(slot, 6)
    stay, go, new = ids[:2], ids[2:4], ids[4:]
    primaries.store(dict(zip(stay + go, payloads(4).values(), strict=True)))
    primaries.begin_move([slot], source, target)
    try:
        primaries.move_keys(go, source, target)
        async with reading(primaries) as store, writing(primaries) as sink:
            batch = await store.fetch_kernel_statistics(ids)
            assert [*expected(stay + go), None, None] == list(batch)
            assert not batch.problems
            await sink.store_kernel_statistics({id_: {"mem": MetricValue(current="new")} for id_ in go + new})
            batch = await store.with_ages().fetch_kernel_statistics(ids)
            assert ["0", "1", *["new"] * 4] == values(batch)
            assert not batch.problems
            await sink.remove(ids)
            assert [None] * 6 == list(await store.fetch_kernel_statistics(ids))
    finally:
        primaries.end_move([slot], source, target)


async def test_a_user_needs_asking_only_while_slots_move(primaries: ValkeyCluster) -> None:
    """Keys that have moved already are refused without it, at once; the documented permissions read them."""
    source, target, _ = primaries.primaries
    (slot,) = [first for first, _, owner in primaries.ranges() if owner is source][:1]
    stays, goes = keys_in(slot, 2)
    primaries.store(dict(zip([stays, goes], payloads(2).values(), strict=True)))
    primaries.begin_move([slot], source, target)
    try:
        primaries.move_keys([goes], source, target)
        for node in primaries.nodes:
            node.command("ACL", "SETUSER", "moving", "on", ">moving-word", "~*", "+@read", "+cluster|slots")
        url = primaries.url.replace("://", "://moving:moving-word@")
        async with aclosing(ValkeyStatistics.from_url(url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
            batch = await store.fetch_kernel_statistics([stays, goes])
            assert [None, ProblemKind.UNAVAILABLE] == kinds(batch)
            assert "asking" in batch.problems[1].message
            for node in primaries.nodes:
                node.command("ACL", "SETUSER", "moving", "+asking")
            assert expected([stays, goes]) == list(await store.fetch_kernel_statistics([stays, goes]))
    finally:
        primaries.move_keys([stays], source, target)
        primaries.end_move([slot], source, target)
        for node in primaries.nodes:
            node.command("ACL", "DELUSER", "moving")


def keys_in(slot: int, count: int) -> list[str]:
    """Return ids whose keys are in a slot."""
    tag = next(tag for tag in map(str, range(1_000_000)) if key_slot(tag.encode()) == slot)
    return [f"{{{tag}}}-{number}" for number in range(count)]


@pytest.mark.parametrize("harm", HARMS)
async def test_a_sick_node_costs_only_its_own_keys(primaries: ValkeyCluster, harm: Harm) -> None:
    """Its keys are *unavailable*, with its address; all others are answered, also by a store that is new."""
    ids = plant(primaries, 300)
    sick = primaries.primaries[1]
    owners = primaries.owners(ids)
    kind = [ProblemKind.UNAVAILABLE if owners[id_] is sick else None for id_ in ids]
    entries = [None if owners[id_] is sick else entry for id_, entry in zip(ids, expected(ids), strict=True)]
    async with reading(primaries, SOON) as store:
        harm(sick)
        async with aclosing(ValkeyStatistics.from_url(primaries.url, options=SOON)) as stranger:
            for reader in (store, store, stranger, stranger):
                batch = await reader.fetch_kernel_statistics(ids)
                assert kind == kinds(batch)
                assert entries == list(batch)
                assert all(str(sick) in problem.message for problem in batch.problems.values())
        await asyncio.to_thread(primaries.heal)
        if harm is ValkeyNode.kill:
            primaries.store(dict(zip(ids, payloads(300).values(), strict=True)))

        async def all_are_read() -> bool:
            return expected(ids) == list(await store.fetch_kernel_statistics(ids))

        await until(all_are_read, "the entries of all nodes")


@pytest.mark.parametrize("harm", REFUSES_OR_HANGS)
async def test_keys_of_a_sick_node_alone_raise_in_time(primaries: ValkeyCluster, harm: Harm) -> None:
    """A batch that no node can answer raises an error that names the node; so does a write to it."""
    ids = plant(primaries, 300)
    sick = primaries.primaries[2]
    of_sick = [id_ for id_, owner in primaries.owners(ids).items() if owner is sick]
    async with (
        reading(primaries, SOON) as store,
        writing(primaries, SOON) as sink,
        asyncio.timeout(ENOUGH_S),
    ):
        await sink.store_container_count("i-1", 1)
        harm(sick)
        with pytest.raises(StatcoreError, match=str(sick)) as error:
            await store.fetch_kernel_statistics(of_sick)
        assert isinstance(error.value, UnavailableError | TimedOutError)
        with pytest.raises(StatcoreError, match=str(sick)) as error:
            await sink.store_kernel_statistics({id_: {"mem": MetricValue(current="1")} for id_ in ids})
        assert isinstance(error.value, UnavailableError | TimedOutError)


async def test_a_dead_node_is_not_waited_for_until_the_deadline(primaries: ValkeyCluster) -> None:
    """A batch with keys of a node that refuses connections is answered as soon as all other nodes have answered."""
    ids = plant(primaries, 300)
    async with reading(primaries, PATIENT) as store, asyncio.timeout(ENOUGH_S):
        primaries.primaries[0].kill()
        batch = await store.fetch_kernel_statistics(ids)
        assert {None, ProblemKind.UNAVAILABLE} == set(kinds(batch))


@pytest.mark.parametrize("harm", REFUSES_OR_HANGS)
async def test_other_nodes_are_read_while_many_calls_wait_for_a_sick_one(primaries: ValkeyCluster, harm: Harm) -> None:
    """More calls than a pool has connections wait for the sick node; they take nothing from calls to other nodes."""
    ids = plant(primaries, 300)
    sick = primaries.primaries[0]
    owners = primaries.owners(ids)
    async with reading(primaries, PATIENT) as store, asyncio.timeout(ENOUGH_S):
        harm(sick)
        waiting = [asyncio.create_task(store.fetch_kernel_statistics([id_])) for id_ in ids if owners[id_] is sick]
        for number, id_ in enumerate(ids):
            if owners[id_] is not sick:
                assert [metrics(number)] == list(await store.fetch_kernel_statistics([id_]))
        assert not any(call.done() for call in waiting)
    await asyncio.wait(waiting)
    assert {ClosedError} == {type(call.exception()) for call in waiting}


async def test_keys_of_a_slot_without_an_owner_wait_for_one(primaries: ValkeyCluster) -> None:
    """They are *unavailable*, and all other keys are answered; a call that waits is answered once a node takes the slot."""
    owner = primaries.primaries[0]
    ids = plant(primaries, 300)
    first, last = next((first, last) for first, last, primary in primaries.ranges() if primary is owner)
    slot = min({*range(first, last + 1)} - {key_slot(id_.encode()) for id_ in ids})
    orphan = keys_in(slot, 1)
    primaries.disown(slot, slot)
    try:
        async with reading(primaries, SOON) as store:
            batch = await store.fetch_kernel_statistics(ids + orphan)
            assert [*expected(ids), None] == list(batch)
            assert [300] == list(batch.problems)
            assert ProblemKind.UNAVAILABLE is batch.problems[300].kind
        async with reading(primaries, PATIENT) as store, asyncio.timeout(ENOUGH_S):
            call = asyncio.create_task(store.fetch_kernel_statistics(orphan))
            await asyncio.wait([call], timeout=0.2)
            assert not call.done()
            owner.command("CLUSTER", "ADDSLOTS", slot)
            assert [None] == list(await call)
    finally:
        with suppress(ResponseError):  # the test got as far as giving the slot back
            owner.command("CLUSTER", "ADDSLOTS", slot)
        primaries.wait_until_whole()


@pytest.fixture
def limited_url(primaries: ValkeyCluster) -> Iterator[str]:
    """The URL of a user who may only use keys that begin with `mine-`."""
    for node in primaries.nodes:
        node.command("ACL", "SETUSER", "limited", "on", ">limited-word", "~mine-*", "+@all")
    yield primaries.url.replace("://", "://limited:limited-word@")
    for node in primaries.nodes:
        node.command("ACL", "DELUSER", "limited")


async def test_a_forbidden_key_costs_itself_alone(primaries: ValkeyCluster, limited_url: str) -> None:
    """Each key that the user may not read is *unavailable*; a batch of such keys is an error of access at once."""
    mine = {f"mine-{number}": payload for number, payload in enumerate(payloads(30).values())}
    primaries.store(mine)
    others = [f"other-{number}" for number in range(30)]
    async with aclosing(ValkeyStatistics.from_url(limited_url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        batch = await store.fetch_kernel_statistics([*mine, *others])
        assert [*expected(list(mine)), *[None] * 30] == list(batch)
        assert [*[None] * 30, *[ProblemKind.UNAVAILABLE] * 30] == kinds(batch)
        with pytest.raises(AccessDeniedError, match="limited"):
            await store.fetch_kernel_statistics(others)
    wrong = limited_url.replace("limited-word", "hunter2")
    async with aclosing(ValkeyStatistics.from_url(wrong, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        with pytest.raises(AccessDeniedError, match="limited") as error:
            await store.fetch_kernel_statistics(list(mine))
    assert "hunter2" not in str(error.value)


async def test_no_ids_need_no_cluster(primaries: ValkeyCluster) -> None:
    """A batch of nothing is answered without a connection, even if every node is dead."""
    for node in primaries.nodes:
        node.kill()
    async with aclosing(ValkeyStatistics.from_url(primaries.url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        assert [] == list(await store.fetch_kernel_statistics([]))
        assert [] == list(await store.fetch_inference_metrics([]))


async def test_calls_in_a_second_loop_raise_and_the_first_loop_goes_on(primaries: ValkeyCluster) -> None:
    """A call in another event loop raises at once, before and after the nodes are known, and harms nothing."""
    ids = plant(primaries, 30)
    async with aclosing(ValkeyStatistics.from_url(primaries.url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        first = asyncio.create_task(store.fetch_kernel_statistics(ids))
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(ClosedError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, store.fetch_kernel_statistics(ids))
            assert expected(ids) == list(await first)
            assert expected(ids) == list(await store.fetch_kernel_statistics(ids))


async def test_replicas_answer_where_it_is_set(cluster: ValkeyCluster) -> None:
    """They answer with ages; while a primary is stopped, its keys are read without a break from its replica."""
    ids = plant(cluster, 300)
    sick = cluster.primaries[0]
    replicas = [cluster.replica_of(primary) for primary in cluster.primaries]
    async with reading(cluster, REPLICAS) as store, asyncio.timeout(ENOUGH_S):
        for replica in replicas:
            replica.command("CONFIG", "RESETSTAT")
        batch = await store.with_ages().fetch_kernel_statistics(ids)
        assert expected(ids) == list(batch)
        assert set(range(300)) == set(batch.ages_s)
        reads = [replica.command("INFO", "commandstats").get("cmdstat_get", {"calls": 0}) for replica in replicas]
        assert all(read["calls"] for read in reads)
        sick.stop()
        for _ in range(3):
            assert expected(ids) == list(await store.fetch_kernel_statistics(ids))


@pytest.mark.parametrize("harm", REFUSES_OR_HANGS)
async def test_a_cluster_is_found_while_a_node_of_the_url_is_sick(primaries: ValkeyCluster, harm: Harm) -> None:
    """The other addresses in the URL are enough, though the first of them does not answer."""
    ids = plant(primaries, 300)
    first = primaries.nodes[0]
    well = [id_ for id_, owner in primaries.owners(ids).items() if owner is not first]
    harm(first)
    async with aclosing(ValkeyStatistics.from_url(primaries.url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        assert None not in list(await store.fetch_kernel_statistics(well))


@pytest.mark.parametrize("harm", HARMS)
async def test_a_fail_over_heals_by_itself(cluster: ValkeyCluster, harm: Harm) -> None:
    """While a primary is replaced, callers get no wrong entry and no error for other nodes; afterwards all is right."""
    ids = plant(cluster, 1_000)
    sick = cluster.primaries[0]
    of_sick = {id_ for id_, owner in cluster.owners(ids).items() if owner is sick}
    async with reading(cluster) as store:
        readers = Readers(store=store, numbers=numbered(ids))
        async with readers.running():
            harm(sick)
            await asyncio.to_thread(cluster.wait_until_failed_over, sick)
            async with asyncio.timeout(ENOUGH_S):
                while (batch := await store.fetch_kernel_statistics(ids)).problems:
                    await readers.read_more()
            assert expected(ids) == list(batch)
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        assert of_sick >= set(readers.failed)
        assert readers.right


@pytest.mark.parametrize("slots", [100, pytest.param(2_000, marks=pytest.mark.topologies)])
async def test_slots_move_while_callers_read(cluster: ValkeyCluster, slots: int) -> None:
    """Every entry is right, wherever its slot is at that moment."""
    ids = plant(cluster, 1_000)
    source, target, _ = cluster.primaries
    async with reading(cluster, PATIENT) as store:
        readers = Readers(store=store, numbers=numbered(ids))
        async with readers.running():
            assert slots == len(await asyncio.to_thread(cluster.move_slots, slots, source, target))
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        assert {} == readers.failed
        assert readers.right


async def test_nil_of_an_empty_replica_is_incomplete(cluster: ValkeyCluster) -> None:
    """A replica that was promoted without data has no *no data*; once an agent has written again, the entry is right."""
    ids = plant(cluster, 300)
    primary = cluster.primaries[0]
    lost = [owner is primary for owner in cluster.owners(ids).values()]
    async with reading(cluster) as store, writing(cluster) as sink:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        cluster.empty_replica(primary)
        primary.kill()
        await asyncio.to_thread(cluster.wait_until_failed_over, primary)
        async with asyncio.timeout(ENOUGH_S):  # a call may end before the store has found the new primary
            while ProblemKind.UNAVAILABLE in kinds(batch := await store.fetch_kernel_statistics(ids)):
                pass
        assert [ProblemKind.INCOMPLETE if is_lost else None for is_lost in lost] == kinds(batch)
        assert [None if is_lost else entry for is_lost, entry in zip(lost, expected(ids), strict=True)] == list(batch)
        again = ids[lost.index(True)]
        await sink.store_kernel_statistics({again: {"mem": MetricValue(current="new")}})
        batch = await store.fetch_kernel_statistics([again])
        assert ["new"] == values(batch)
        assert not batch.problems


async def test_nil_is_no_data_again_after_a_while(cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time after a fail-over, agents have written again, and a key that is missing does not exist."""
    monkeypatch.setattr(discovery, "UNSYNCED_S", 0.5)
    primary = cluster.primaries[0]
    slot = next(first for first, _, owner in cluster.ranges() if owner is primary)
    known, unknown = keys_in(slot, 2)
    cluster.store({known: next(iter(payloads(1).values()))})
    async with reading(cluster) as store:
        assert [metrics(0), None] == list(await store.fetch_kernel_statistics([known, unknown]))
        primary.kill()
        await asyncio.to_thread(cluster.wait_until_failed_over, primary)

        async def is_believed() -> bool:
            batch = await store.fetch_kernel_statistics([known, unknown])
            assert [metrics(0), None] == list(batch)
            assert kinds(batch) in ([None, ProblemKind.INCOMPLETE], [None, None])
            return not batch.problems

        await until(is_believed, "an answer without problems")


@pytest.fixture
async def held_node(primaries: ValkeyCluster, tcp_proxy: StartProxy) -> AsyncIterator[tuple[ValkeyNode, TcpProxy]]:
    """A primary that clients find behind a proxy of the test."""
    node = primaries.primaries[0]
    own_port = node.announced_port
    proxy = await tcp_proxy(node.port)
    await asyncio.to_thread(primaries.announce, node, proxy.port)
    try:
        yield node, proxy
    finally:
        await asyncio.to_thread(primaries.announce, node, own_port)


@pytest.mark.parametrize("options", [SINGLE, ValkeyOptions(live_db=0, pool_size=1, freshness_s=600)])
async def test_a_cancelled_read_leaves_nothing_for_the_next(
    primaries: ValkeyCluster, held_node: tuple[ValkeyNode, TcpProxy], options: ValkeyOptions
) -> None:
    """A call is cancelled while the answer of one node is on its way; the next caller gets its own data from all nodes."""
    node, proxy = held_node
    ids = plant(primaries, 300)
    of_node = [id_ for id_, owner in primaries.owners(ids).items() if owner is node]
    async with reading(primaries, options) as store:
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        for call in (ids, of_node, ids[:50]):
            proxy.hold()
            task = asyncio.create_task(store.fetch_kernel_statistics(call))
            await proxy.held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            proxy.let_go()
            assert expected(ids)[::-1] == list(await store.fetch_kernel_statistics(ids[::-1]))


async def test_calls_cancelled_at_many_places_leave_nothing(
    primaries: ValkeyCluster, held_node: tuple[ValkeyNode, TcpProxy]
) -> None:
    """Answers come in pieces; a call is cancelled after each number of turns of the event loop."""
    _, proxy = held_node
    proxy.piece = 97
    ids = plant(primaries, 100)
    async with reading(primaries, SINGLE) as store:
        for turns in range(TURNS):
            task = asyncio.create_task(store.fetch_kernel_statistics(ids))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_running = task.cancel()
            await asyncio.wait([task])
            assert was_running == task.cancelled()
            assert expected(ids)[::-1] == list(await store.fetch_kernel_statistics(ids[::-1]))


async def test_a_refresh_of_the_slot_map_outlives_its_first_caller(primaries: ValkeyCluster) -> None:
    """The first caller of a store is cancelled at each turn; a second caller who waits with it is answered."""
    ids = plant(primaries, 100)
    for turns in range(0, TURNS, 4):
        async with aclosing(ValkeyStatistics.from_url(primaries.url, options=OPTIONS)) as store:
            first, second = (asyncio.create_task(store.fetch_kernel_statistics(ids)) for _ in range(2))
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            assert expected(ids) == list(await second)
            with suppress(asyncio.CancelledError):
                await first


def test_database_2_is_refused_on_a_cluster(primaries: ValkeyCluster) -> None:
    """A cluster has database 0 only: the error says which setting to change, for readers and for writers."""
    for kind in (ValkeyStatistics, ValkeyStatisticsSink):
        with pytest.raises(InputError, match="live_db"):
            kind.from_url(primaries.url)
        with pytest.raises(InputError, match="statistics_db"):
            kind.from_url(primaries.url, options=ValkeyOptions(statistics_db=1, live_db=0))


async def test_activity_is_in_database_0_of_a_cluster(primaries: ValkeyCluster) -> None:
    """Once it is mapped there, the activity of sessions is written and read; the counts of a session are on any nodes."""
    async with reading(primaries) as store, writing(primaries) as sink:
        for number in range(30):
            await sink.store_session_activity(f"s-{number}", requests=number, last_response_ms=2 * number)
        batch = await store.fetch_inference_metrics([f"s-{number}" for number in range(31)])
        known = [{"requests": number, "last_response_ms": 2 * number} for number in range(30)]
        assert [*known, {"requests": 0, "last_response_ms": 0}] == list(batch)
        assert [*[None] * 30, ProblemKind.INCOMPLETE] == kinds(batch)


async def test_activity_of_a_sick_node_is_unavailable(primaries: ValkeyCluster) -> None:
    """A session with a count on a node that does not answer has no zeros to believe; other sessions are answered."""
    async with (
        reading(primaries, SOON) as store,
        writing(primaries, SOON) as sink,
    ):
        sessions = [f"s-{number}" for number in range(30)]
        for session in sessions:
            await sink.store_session_activity(session, requests=1, last_response_ms=2)
        sick = primaries.primaries[0]
        counts = [f"session.{session}.{name}" for session in sessions for name in ("requests", "last_response_time")]
        owners = [owner is sick for owner in primaries.owners(counts).values()]
        is_hit = [first or second for first, second in zip(owners[::2], owners[1::2], strict=True)]
        sick.stop()
        batch = await store.fetch_inference_metrics(sessions)
        assert [ProblemKind.UNAVAILABLE if hit else None for hit in is_hit] == kinds(batch)
        right = {"requests": 1, "last_response_ms": 2}
        assert [right] * is_hit.count(False) == [entry for entry, hit in zip(batch, is_hit, strict=True) if not hit]


async def test_a_node_of_a_cluster_is_not_one_server(primaries: ValkeyCluster) -> None:
    """The URL of one node is refused with the scheme for clusters, instead of answers for a third of the keys."""
    options = ValkeyOptions(live_db=0)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://{primaries.nodes[0]}", options=options)) as store:
        with pytest.raises(UnsupportedError, match=r"valkey\+cluster://"):
            await store.fetch_kernel_statistics([f"id-{number}" for number in range(100)])


async def test_a_server_without_slots_is_no_cluster(start_valkey: Callable[..., Any]) -> None:
    """A URL for clusters that names a server outside a cluster, or a node without slots, is an error that says so."""
    for arguments in ((), ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))):
        server = start_valkey(arguments=arguments)
        url = f"valkey+cluster://127.0.0.1:{server.port}"
        async with aclosing(ValkeyStatistics.from_url(url, options=SOON)) as store, asyncio.timeout(ENOUGH_S):
            with pytest.raises(StatcoreError, match="cluster"):
                await store.fetch_kernel_statistics(["a"])


@pytest.fixture
def connections(primaries: ValkeyCluster) -> Callable[[], int]:
    """Return a function that counts the connections of all nodes."""

    def count() -> int:
        lines = b"".join(node.command("CLIENT", "LIST", "TYPE", "NORMAL") for node in primaries.nodes)
        return lines.count(b"\n")

    return count


async def test_a_cancelled_close_leaves_no_connection(primaries: ValkeyCluster, connections: Callable[[], int]) -> None:
    """Closing is cancelled after each number of turns, with several connections to each node."""
    ids = plant(primaries, 100)
    before = connections()
    for turns in range(1, TURNS // 2):
        store = ValkeyStatistics.from_url(primaries.url, options=ValkeyOptions(live_db=0, pool_size=4))
        await asyncio.gather(*(store.fetch_kernel_statistics(ids) for _ in range(4)))
        assert before + 6 <= connections()
        await cancelled_after(turns, store.aclose())
        await expect_count(before, connections)


async def test_a_cancelled_call_leaves_no_connection(primaries: ValkeyCluster, connections: Callable[[], int]) -> None:
    """A call is cancelled while it fetches the slot map, connects or reads; closing then closes everything."""
    ids = plant(primaries, 100)
    before = connections()
    for turns in range(TURNS):
        store = ValkeyStatistics.from_url(primaries.url, options=OPTIONS)
        await cancelled_after(turns, store.fetch_kernel_statistics(ids))
        await store.aclose()
        await expect_count(before, connections)


async def test_closing_ends_calls_that_wait_for_a_sick_node(
    primaries: ValkeyCluster, connections: Callable[[], int]
) -> None:
    """Calls that retry at a dead node, or wait for a stopped one, end with the store; no connection and no task remains."""
    ids = plant(primaries, 100)
    before = connections()
    dead, stopped, _ = primaries.primaries
    tasks = asyncio.all_tasks()
    for harm in (dead.kill, stopped.stop):
        store = ValkeyStatistics.from_url(primaries.url, options=PATIENT)
        await store.fetch_kernel_statistics(ids)
        harm()
        calls = [asyncio.create_task(store.fetch_kernel_statistics([id_])) for id_ in ids]
        for _ in range(TURNS):
            await asyncio.sleep(0)
        async with asyncio.timeout(ENOUGH_S):
            await store.aclose()
            await asyncio.wait(calls)
        await until(lambda: tasks == asyncio.all_tasks(), "the end of all searches")
        assert {ClosedError} >= {type(call.exception()) for call in calls if call.exception()}
        await asyncio.to_thread(primaries.heal)
    await expect_count(before, connections)


async def test_a_hosts_client_stays_the_hosts(primaries: ValkeyCluster, connections: Callable[[], int]) -> None:
    """A store over a `RedisCluster` closes its own connections and leaves the client open."""
    ids = plant(primaries, 100)
    async with RedisCluster(host="127.0.0.1", port=primaries.nodes[0].announced_port) as client:
        assert await client.get(ids[0])
        before = connections()
        store = ValkeyStatistics.from_clients(client, client, options=OPTIONS)
        assert expected(ids) == list(await store.fetch_kernel_statistics(ids))
        await store.aclose()
        await expect_count(before, connections)
        assert await client.get(ids[0])
