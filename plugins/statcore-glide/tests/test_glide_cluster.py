"""A cluster through glide: keys are grouped by the node that has them, and a sick node costs only its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

import msgpack
import pytest
from tests.support.valkey_nodes import ValkeyNode
from tests.support.valkey_readers import Readers, metrics, numbered, payloads
from tests.support.valkey_topologies import ValkeyCluster

from statcore.errors import InputError, StatcoreError, UnavailableError
from statcore.model import MetricValue, ProblemKind, StatisticsBatch
from statcore_glide.stores import sink_from_clients, sink_from_url, statistics_from_clients, statistics_from_url
from statcore_valkey import ValkeyOptions

Connect: TypeAlias = Callable[..., Awaitable[Any]]

OPTIONS = ValkeyOptions(timeout_s=4.0, live_db=0)
PATIENT = ValkeyOptions(timeout_s=60.0, live_db=0)


def url_of(cluster: ValkeyCluster) -> str:
    """Return the URL of a cluster for this plugin."""
    return f"glide+cluster://{','.join(map(str, cluster.nodes))}"


def ids_of(cluster: ValkeyCluster, node: ValkeyNode, ids: Mapping[str, Any]) -> set[str]:
    """Return the ids whose keys a node has."""
    return {id_ for id_, owner in cluster.owners(ids).items() if owner is node}


def unavailable(ids: Mapping[str, Any], batch: StatisticsBatch) -> set[str]:
    """Return the ids that were not answered; all others are right."""
    names = list(ids)
    failed = {names[position] for position, problem in batch.problems.items() if problem.kind is ProblemKind.UNAVAILABLE}
    wrong = [id_ for number, (id_, entry) in enumerate(zip(ids, batch, strict=True)) if entry != metrics(number)]
    assert failed == set(wrong)
    return failed


async def test_wrong_entries_cost_themselves_alone(calm_cluster: ValkeyCluster, connect: Connect) -> None:
    """Payloads that cannot be decoded, and keys of another type, are problems among right entries."""
    entries = payloads(100)
    ids = list(entries)
    calm_cluster.store(entries | {ids[3]: b"\xc1", ids[5]: b""})
    for position in (13, 14, 15):
        node = calm_cluster.node_of(ids[position])
        node.command("DEL", ids[position])
        node.command("LPUSH", ids[position], "x")
    client = await connect(*(node.port for node in calm_cluster.nodes), cluster=True)
    batch = await statistics_from_clients(client, client).fetch_kernel_statistics(ids)
    malformed, other = dict.fromkeys((3, 5), ProblemKind.MALFORMED), dict.fromkeys((13, 14, 15), ProblemKind.UNAVAILABLE)
    assert malformed | other == {position: problem.kind for position, problem in batch.problems.items()}
    assert all("holds a list, not a string" in batch.problems[position].message for position in other)
    right = {number: metrics(number) for number in range(100) if number not in malformed | other}
    assert right == {number: entry for number, entry in enumerate(batch) if entry is not None}


async def test_a_killed_node_costs_its_own_keys(primaries: ValkeyCluster) -> None:
    """They are unavailable, with the node's address, until it is back; all others are right."""
    entries = payloads(200)
    primaries.store(entries)
    victim = primaries.primaries[0]
    lost = ids_of(primaries, victim, entries)
    async with aclosing(await statistics_from_url(url_of(primaries), options=OPTIONS)) as store:
        assert set() == unavailable(entries, await store.fetch_kernel_statistics(list(entries)))
        victim.kill()
        for _ in range(3):
            batch = await store.fetch_kernel_statistics(list(entries))
            assert lost == unavailable(entries, batch)
        assert all(str(victim) in problem.message for problem in batch.problems.values())
        with pytest.raises(UnavailableError, match=str(victim)):
            await store.fetch_kernel_statistics(list(lost))
        primaries.heal()
        primaries.store(entries)
        async with asyncio.timeout(60):
            while unavailable(entries, await store.fetch_kernel_statistics(list(entries))):
                pass


async def test_a_stopped_node_costs_its_own_keys(primaries: ValkeyCluster, connect: Connect) -> None:
    """It never answers, and glide gives up after `request_timeout`: its keys are unavailable, and all others are right."""
    entries = payloads(200)
    primaries.store(entries)
    victim = primaries.primaries[1]
    lost = ids_of(primaries, victim, entries)
    client = await connect(*(node.announced_port for node in primaries.nodes), cluster=True, request_timeout=1_000)
    async with aclosing(statistics_from_clients(client, client, options=OPTIONS)) as store:
        assert set() == unavailable(entries, await store.fetch_kernel_statistics(list(entries)))
        victim.stop()
        for _ in range(3):
            assert lost == unavailable(entries, await store.fetch_kernel_statistics(list(entries)))
        victim.recover()
        async with asyncio.timeout(60):
            while unavailable(entries, await store.fetch_kernel_statistics(list(entries))):
                pass


async def test_a_fail_over_heals_by_itself(cluster: ValkeyCluster) -> None:
    """While a primary is killed and replaced, callers get right entries or problems, and then right entries alone."""
    entries = payloads(300)
    cluster.store(entries)
    victim = cluster.primaries[0]
    async with aclosing(await statistics_from_url(url_of(cluster), options=OPTIONS)) as store:
        async with Readers(store=store, numbers=numbered(entries)).running() as readers:
            await readers.read_more(20)
            victim.kill()
            await asyncio.to_thread(cluster.wait_until_failed_over, victim)
            async with asyncio.timeout(60):
                while unavailable(entries, await store.fetch_kernel_statistics(list(entries))):
                    pass
        assert [] == readers.wrong
        assert readers.right


async def test_a_primary_that_took_over_is_not_believed_empty(cluster: ValkeyCluster) -> None:
    """A key that it does not have may not have reached it: *incomplete*, not "no data"."""
    entries = payloads(100)
    cluster.store(entries)
    victim = cluster.primaries[0]
    lost = ids_of(cluster, victim, entries)
    async with aclosing(await statistics_from_url(url_of(cluster), options=PATIENT)) as store:
        assert set() == unavailable(entries, await store.fetch_kernel_statistics(list(entries)))
        cluster.empty_replica(victim)
        victim.kill()
        batch = await store.fetch_kernel_statistics(list(lost))
    assert {ProblemKind.INCOMPLETE} == {problem.kind for problem in batch.problems.values()}
    assert len(lost) == len(batch.problems)


async def test_slots_that_move_while_callers_read(cluster: ValkeyCluster) -> None:
    """Glide follows the slots to their new owner; no caller gets a wrong entry."""
    entries = payloads(300)
    cluster.store(entries)
    source, target, _ = cluster.primaries
    async with (
        aclosing(await statistics_from_url(url_of(cluster), options=OPTIONS)) as store,
        Readers(store=store, numbers=numbered(entries)).running() as readers,
    ):
        await readers.read_more()
        await asyncio.to_thread(cluster.move_slots, 200, source, target)
        await readers.read_more(20)
    assert ([], {}) == (readers.wrong, readers.failed)
    assert readers.right


async def test_a_cancelled_call_leaves_the_next_its_own_data(calm_cluster: ValkeyCluster, connect: Connect) -> None:
    """Calls are cancelled at any time while others run over the same client."""
    entries = payloads(300)
    calm_cluster.store(entries)
    ids = list(entries)
    client = await connect(*(node.port for node in calm_cluster.nodes), cluster=True)
    store = statistics_from_clients(client, client)
    cancellations = 0
    for turns in range(20):
        cancelled = asyncio.create_task(store.fetch_kernel_statistics(ids[:200]))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled.cancel()
        batch = await store.fetch_kernel_statistics(ids[200:])
        assert [metrics(number) for number in range(200, 300)] == list(batch)
        cancellations += cancelled.cancelled()
    assert cancellations > 5


async def test_ten_thousand_ids_let_other_tasks_run(calm_cluster: ValkeyCluster, connect: Connect) -> None:
    """Reading them leaves turns of the event loop to other tasks; a host's client stays open."""
    entries = {id_: msgpack.packb(metrics(0)) for id_ in payloads(10_000)}
    calm_cluster.store(entries)
    client = await connect(*(node.port for node in calm_cluster.nodes), cluster=True)
    store = statistics_from_clients(client, client)
    reading = asyncio.create_task(store.fetch_kernel_statistics(list(entries)))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert [metrics(0)] * 10_000 == list(await reading)
    assert turns > 20
    await store.aclose()
    assert b"PONG" == await client.ping()


async def test_a_write_needs_every_node(primaries: ValkeyCluster, connect: Connect) -> None:
    """A writer fails if a node does not confirm, and writes to all once it is back."""
    client = await connect(*(node.announced_port for node in primaries.nodes), cluster=True, request_timeout=500)
    sink = sink_from_clients(client, client, options=OPTIONS)
    entries = {f"k{number}": {"mem": MetricValue(current=str(number))} for number in range(30)}
    await sink.store_kernel_statistics(entries)
    primaries.primaries[0].stop()
    with pytest.raises(StatcoreError, match="Valkey at"):
        await sink.store_kernel_statistics(entries)
    primaries.heal()
    await sink.store_kernel_statistics(entries)


async def test_the_topology(calm_cluster: ValkeyCluster) -> None:
    """`statcore doctor` shows every server of the cluster, each with its role and without a fault."""
    async with aclosing(await statistics_from_url(url_of(calm_cluster), options=OPTIONS)) as store:
        topology = await store.topology()
    assert topology is not None
    assert {str(node): None for node in calm_cluster.nodes} == {state.address: state.fault for state in topology.servers}
    primaries = {str(node) for node in calm_cluster.primaries}
    assert primaries == {state.address for state in topology.servers if state.role == "primary"}


async def test_a_cluster_has_database_0_alone(calm_cluster: ValkeyCluster) -> None:
    """Other numbers are refused at the start; the error says what to set."""
    for open_ in (statistics_from_url, sink_from_url):
        with pytest.raises(InputError, match="a cluster has only database 0; set live_db to 0"):
            await open_(url_of(calm_cluster))
