"""Which entries a write or a removal changes, and when entries expire."""

from __future__ import annotations

import asyncio
from typing import Final

from statcore.concurrency import run_concurrently
from statcore.model.batch import StatisticsBatch
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.expectations import expect
from statcore.testing.statistics.planting import (
    AGENTS,
    ENDPOINTS,
    GAUGE,
    HISTOGRAM,
    KERNELS,
    KINDS,
    NOTHING,
    PLAIN_VALUE,
    expect_entries,
    new_agents,
    new_ids,
    numbered,
    shown,
)

_LIVES_S: Final = {0.3: 1.2, 0.1: 1.0}
"""How long the statistics of an agent last, by its interval."""
_EXPIRY_S: Final = 15.0
_LOOK_S: Final = 0.05


async def check_reads_see_the_newest_write(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A read returns what was written last, also after reads that found nothing or an earlier entry."""
    for kind in KINDS:
        ids = kind.new_ids(1)
        await kind.expect([None], store, ids)
        for number in (1, 2):
            await kind.store(sink, {ids[0]: number})
            await kind.expect([number], store, ids)


async def check_writes_replace_the_whole_entry(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A second write of an entry leaves none of the metrics, devices or numbers of the first."""
    (id_,) = new_ids(1)
    (agent,) = new_agents(1)
    await sink.store_kernel_statistics({id_: {"io_read": PLAIN_VALUE, "mem": PLAIN_VALUE}})
    await sink.store_kernel_statistics({id_: numbered(1)})
    await KERNELS.expect([1], store, [id_])

    await sink.store_endpoint_statistics({id_: {"running": GAUGE, "latency": HISTOGRAM}})
    await sink.store_endpoint_statistics({id_: {"running": GAUGE}})
    expect_entries([{"running": GAUGE}], await store.fetch_endpoint_statistics([id_]), "the endpoint")

    await sink.store_replica_statistics({(id_, id_): {"running": GAUGE, "latency": HISTOGRAM}})
    await sink.store_replica_statistics({(id_, id_): {"latency": HISTOGRAM}})
    expect_entries([{"latency": HISTOGRAM}], await store.fetch_replica_statistics([(id_, id_)]), "the replica")

    await sink.store_agent_statistics(agent, node=numbered(1), devices={"cuda_mem": {"0": PLAIN_VALUE}}, interval_s=30)
    await sink.store_agent_statistics(agent, node={}, devices={}, interval_s=30)
    expect_entries([NOTHING], await store.fetch_agent_statistics([agent]), "the agent")

    await sink.store_session_activity(id_, requests=9, last_response_ms=9)
    await sink.store_session_activity(id_, requests=0, last_response_ms=1)
    expect_entries([{"requests": 0, "last_response_ms": 1}], await store.fetch_inference_metrics([id_]), "the activity")


async def check_writes_leave_other_entries_alone(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A write changes the entries that it names and no other."""
    for kind in KINDS:
        ids = await kind.plant(sink, 3)
        await kind.store(sink, {ids[1]: 100})
        await kind.expect([0, 100, 2], store, ids)


async def check_writing_nothing_is_allowed(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Writing no entries does nothing; an entry without metrics is an empty mapping, which is not the same as None."""
    await sink.store_kernel_statistics({})
    await sink.store_endpoint_statistics({})
    await sink.store_replica_statistics({})
    await sink.remove([])
    (id_,) = new_ids(1)
    await sink.store_kernel_statistics({id_: {}})
    expect_entries([{}], await store.fetch_kernel_statistics([id_]), "a kernel without metrics")
    await sink.store_endpoint_statistics({id_: {}})
    expect_entries([{}], await store.fetch_endpoint_statistics([id_]), "an endpoint without metrics")
    await sink.store_replica_statistics({(id_, id_): {}})
    expect_entries([{}], await store.fetch_replica_statistics([(id_, id_)]), "a replica without metrics")


async def check_writes_keep_what_they_were_given(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A stored entry does not change when the caller changes the mappings that it passed."""
    (kernel,) = new_ids(1)
    metrics = numbered(1)
    entries = {kernel: metrics}
    await sink.store_kernel_statistics(entries)
    metrics["io_read"] = PLAIN_VALUE
    entries.clear()
    await KERNELS.expect([1], store, [kernel])


async def check_answers_do_not_change_afterwards(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A fetched batch does not change afterwards, even where its entries decode themselves on access."""
    first, second = await KERNELS.plant(sink, 2)
    before = await store.fetch_kernel_statistics([first, second])
    await sink.store_kernel_statistics({first: numbered(100)})
    await sink.remove([second])
    KERNELS.expect_batch([0, 1], before)


async def check_removed_entries_are_gone(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Removed kernels and sessions are None, all others stay; an id may recur, be unknown, or be that of an endpoint."""
    ids, endpoints = await KERNELS.plant(sink, 5), await ENDPOINTS.plant(sink, 1)
    await sink.remove([ids[0], *new_ids(1), ids[2], ids[0], *endpoints])
    await sink.remove(iter([ids[0], ids[4]]))
    await KERNELS.expect([None, 1, None, 3, None], store, ids)
    await ENDPOINTS.expect([0], store, endpoints)


async def check_removed_agents_are_gone(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A removed agent is None, another stays, and the removed one can be written again."""
    ids = await AGENTS.plant(sink, 2)
    await sink.remove([ids[0], *new_agents(1)])
    await AGENTS.expect([None, 1], store, ids)
    await AGENTS.store(sink, {ids[0]: 2})
    await AGENTS.expect([2, 1], store, ids)


async def check_container_counts_are_kept_apart(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """The count of an agent's kernels can be written, zero too, and is not part of the agent's statistics."""
    first, second = new_agents(2)
    await sink.store_agent_statistics(first, node=numbered(1), devices={}, interval_s=30)
    await sink.store_container_count(first, 12)
    await sink.store_container_count(second, 0)
    batch = await store.fetch_agent_statistics([first, second])
    expect_entries([{**NOTHING, "node": shown(numbered(1))}, None], batch, "agents beside their counts")


async def check_agent_statistics_expire(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Statistics of an agent expire after four of its intervals, at least one second, and not before; kernels stay."""
    ids = await KERNELS.plant(sink, 1)
    await run_concurrently(_check_life(store, sink, interval_s, life_s) for interval_s, life_s in _LIVES_S.items())
    await KERNELS.expect([0], store, ids)


async def _check_life(store: StatisticsPort, sink: StatisticsSinkPort, interval_s: float, life_s: float) -> None:
    agents, clock = new_agents(1), asyncio.get_running_loop().time
    written_at = clock()
    await sink.store_agent_statistics(agents[0], node=numbered(1), devices={}, interval_s=interval_s)
    try:
        async with asyncio.timeout(_EXPIRY_S):
            while (await store.fetch_agent_statistics(agents))[0] is not None:  # noqa: ASYNC110 - no store tells when
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise AssertionError(f"an entry that is to last {life_s:g} s is still there after {_EXPIRY_S:g} s") from None
    lasted_s = clock() - written_at
    if lasted_s < life_s - _LOOK_S:  # the clock of a store may differ a little from ours
        raise AssertionError(f"an entry that is to last {life_s:g} s is gone after {lasted_s:.2f} s")
    expect(StatisticsBatch([None]), await store.fetch_agent_statistics(agents), "the expired agent")
