"""Clusters and sentinels that are harmed again and again, and how long callers wait: only in `make topologies`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from tests.support.valkey_nodes import ValkeyNode
from tests.support.valkey_readers import CALLERS, Readers, metrics, numbered, payloads
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels, running_cluster

from statcore.model import MetricValue, StatisticsBatch
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

pytestmark = [pytest.mark.topologies, pytest.mark.timeout(300)]

Harm: TypeAlias = Callable[[ValkeyNode], None]
OPTIONS: Final = ValkeyOptions(live_db=0)
HARMS: Final = [ValkeyNode.kill, ValkeyNode.stop, ValkeyNode.isolate]
LATER_S: Final = 0.4
"""How much longer than usual calls to healthy nodes may take: the goal is 0.1 s, on a machine that does nothing else."""
AGAIN_S: Final = 2.0
"""How long after the servers' own fail-over all may be right again: the goal is 1 s."""
ROUNDS: Final = 4


@pytest.mark.parametrize("harm", HARMS)
async def test_keys_of_healthy_nodes_are_answered_as_fast_as_before(cluster: ValkeyCluster, harm: Harm) -> None:
    """Callers of other nodes do not notice; the keys of the sick node are right soon after its replica has taken over."""
    values = payloads(2_000)
    cluster.store(values)
    numbers = numbered(values)
    sick = cluster.primaries[0]
    owners = cluster.owners(values)
    healthy = {id_: number for id_, number in numbers.items() if owners[id_] is not sick}
    async with aclosing(ValkeyStatistics.from_url(cluster.url, options=OPTIONS)) as store:
        others = Readers(store=store, numbers=healthy)
        everyone = Readers(store=store, numbers=numbers)
        async with others.running(), everyone.running():
            await asyncio.sleep(2)
            usual_s = max(others.durations_s)
            others.durations_s.clear()
            harm(sick)
            await asyncio.to_thread(cluster.wait_until_failed_over, sick)
            start = time.monotonic()
            while (batch := await store.fetch_kernel_statistics(list(values))).problems:
                await everyone.read_more()
            again_s = time.monotonic() - start
            harmed_s = max(others.durations_s)
    assert [] == others.wrong + everyone.wrong
    assert {} == others.failed
    assert [metrics(number) for number in numbers.values()] == list(batch)
    assert AGAIN_S >= again_s
    assert usual_s + LATER_S >= harmed_s


async def test_a_cluster_is_harmed_again_and_again(cluster: ValkeyCluster) -> None:
    """Primaries are killed, stopped and isolated in turn, and slots move, while callers read and a writer writes."""
    values = payloads(1_000)
    cluster.store(values)
    async with (
        aclosing(ValkeyStatistics.from_url(cluster.url, options=OPTIONS)) as store,
        aclosing(ValkeyStatisticsSink.from_url(cluster.url, options=OPTIONS)) as sink,
    ):
        readers = Readers(store=store, numbers=numbered(values))
        async with readers.running():
            for number in range(ROUNDS * len(HARMS)):
                sick = cluster.primaries[number % 3]
                HARMS[number % len(HARMS)](sick)
                await asyncio.to_thread(cluster.wait_until_failed_over, sick)
                await sink.store_kernel_statistics({"k-1": {"mem": MetricValue(current=str(number))}})
                assert [str(number)] == current(await store.fetch_kernel_statistics(["k-1"]))
                await asyncio.to_thread(cluster.heal)
                source, target, *_ = cluster.primaries
                await asyncio.to_thread(cluster.move_slots, 100, source, target)
                await asyncio.to_thread(cluster.wait_until_whole)
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        batch = await store.fetch_kernel_statistics(list(values))
        assert [metrics(number) for number in range(len(values))] == list(batch)
        assert not batch.problems


async def test_a_cluster_that_serves_all_slots_or_none(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """Where a cluster refuses every key while a slot has no owner, callers wait for the fail-over, and all is right."""
    require_program("valkey-server", "redis-server")
    values = payloads(300)
    with running_cluster(tmp_path, settings=[("cluster-require-full-coverage", "yes")]) as cluster:
        cluster.store(values)
        async with aclosing(ValkeyStatistics.from_url(cluster.url, options=OPTIONS)) as store:
            readers = Readers(store=store, numbers=numbered(values))
            async with readers.running():
                sick = cluster.primaries[0]
                sick.kill()
                await asyncio.to_thread(cluster.wait_until_failed_over, sick)
                while (batch := await store.fetch_kernel_statistics(list(values))).problems:
                    await readers.read_more()
            assert [] == readers.wrong
            assert [metrics(number) for number in range(len(values))] == list(batch)


async def test_sentinels_replace_primaries_again_and_again(sentinels: ValkeySentinels) -> None:
    """Primaries are killed, stopped and isolated in turn, while callers read and a writer writes."""
    values = payloads(300)
    sentinels.primary.store(values)
    async with (
        aclosing(ValkeyStatistics.from_url(sentinels.url)) as store,
        aclosing(ValkeyStatisticsSink.from_url(sentinels.url)) as sink,
    ):
        readers = Readers(store=store, numbers=numbered(values))
        async with readers.running():
            for number in range(ROUNDS * len(HARMS)):
                primary = sentinels.primary
                HARMS[number % len(HARMS)](primary)
                await asyncio.to_thread(sentinels.wait_until_failed_over, primary)
                await sink.store_kernel_statistics({"k-1": {"mem": MetricValue(current=str(number))}})
                assert [str(number)] == current(await store.fetch_kernel_statistics(["k-1"]))
                await asyncio.to_thread(sentinels.heal)
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        batch = await store.fetch_kernel_statistics(list(values))
        assert [metrics(number) for number in range(len(values))] == list(batch)
        assert not batch.problems


def current(batch: StatisticsBatch) -> list[str]:
    """Return the current value of each entry that is there."""
    return [entry["mem"]["current"] for entry in batch if entry is not None]
