"""The store in memory: expiry, copies and planted entries; tests/property has its bounds, tests/conformance promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.support.turns import counting_turns

from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch
from statcore_memory import MemoryStatistics

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
OTHER = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12"
MEM = MetricValue(current="1024", capacity="4096", pct="25", unit_hint="bytes", stats={"max": "2048"})
GAUGE = {"vllm_num_requests_running": {"__type": "GAUGE", "current": "3", "capacity": None, "pct": "0.00"}}


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock at 1000 s."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStatistics:
    """Return an empty store on that clock."""
    return MemoryStatistics(clock=clock)


async def _store_agent(store: MemoryStatistics, interval_s: float = 30.0) -> None:
    await store.store_agent_statistics("i-1", node={"mem": MEM}, devices={"cuda_mem": {"0": MEM}}, interval_s=interval_s)


KINDS: list[
    tuple[Callable[[MemoryStatistics], Awaitable[None]], Callable[[MemoryStatistics], Awaitable[StatisticsBatch]], float]
] = [
    (lambda s: s.store_kernel_statistics({KERNEL: {"mem": MEM}}), lambda s: s.fetch_kernel_statistics([KERNEL]), 86_400),
    (lambda s: s.store_endpoint_statistics({KERNEL: GAUGE}), lambda s: s.fetch_endpoint_statistics([KERNEL]), 120),
    (
        lambda s: s.store_replica_statistics({(KERNEL, OTHER): GAUGE}),
        lambda s: s.fetch_replica_statistics([(KERNEL, OTHER)]),
        120,
    ),
    (_store_agent, lambda s: s.fetch_agent_statistics(["i-1"]), 120),
    (lambda s: _store_agent(s, 0.1), lambda s: s.fetch_agent_statistics(["i-1"]), 1),
]


@pytest.mark.parametrize(
    ("write", "fetch", "lasts_s"), KINDS, ids=["kernel", "endpoint", "replica", "agent", "hasty agent"]
)
async def test_entries_expire(
    store: MemoryStatistics,
    clock: Clock,
    write: Callable[[MemoryStatistics], Awaitable[None]],
    fetch: Callable[[MemoryStatistics], Awaitable[StatisticsBatch]],
    lasts_s: float,
) -> None:
    """Each kind of entry exists until its time is up; writing it again starts its time anew."""
    await write(store)
    clock.now += lasts_s / 2
    await write(store)
    clock.now += lasts_s - 0.001
    assert [None] != list(await fetch(store))
    clock.now += 0.001
    assert [None] == list(await fetch(store))


async def test_ages_count_from_the_newest_write(store: MemoryStatistics, clock: Clock) -> None:
    """Missing and planted entries have no age."""
    await store.store_kernel_statistics({KERNEL: {"mem": MEM}})
    clock.now += 5
    await store.store_kernel_statistics({KERNEL: {"mem": MEM}})
    clock.now += 7.5
    store.plant("planted", {"mem": MEM.to_map()})
    batch = await store.fetch_kernel_statistics([OTHER, KERNEL, "planted"])
    assert {1: 7.5} == dict(batch.ages_s)


async def test_activity_does_not_expire(store: MemoryStatistics, clock: Clock) -> None:
    """The counts of a session stay until they are written again."""
    await store.store_session_activity(KERNEL, requests=7, last_response_ms=12)
    clock.now += 1e9
    batch = await store.fetch_inference_metrics([KERNEL])
    assert [{"requests": 7, "last_response_ms": 12}] == list(batch)
    assert {} == batch.problems


@pytest.mark.parametrize(
    ("planted", "missing"),
    [
        ({}, "requests"),
        ({"requests": 5}, "last_response_time"),
        ({"last_response_time": 5}, "requests"),
        ({"requests": 5, "last_response_time": "soon"}, "last_response_time"),
    ],
)
async def test_half_of_the_activity_is_incomplete(store: MemoryStatistics, planted: dict[str, Any], missing: str) -> None:
    """Without both counts the entry is zeros in both, and the problem names a key that is missing."""
    for name, count in planted.items():
        store.plant(f"session.{KERNEL}.{name}", count)
    batch = await store.fetch_inference_metrics([KERNEL])
    assert [{"requests": 0, "last_response_ms": 0}] == list(batch)
    assert ProblemKind.INCOMPLETE == batch.problems[0].kind
    assert f"session.{KERNEL}.{missing}" == batch.problems[0].key


async def test_expired_entries_do_not_pile_up(clock: Clock) -> None:
    """A write removes entries that have expired."""
    store = MemoryStatistics(clock=clock)
    await store.store_kernel_statistics({str(number): {} for number in range(100)})
    clock.now += 86_400
    await store.store_kernel_statistics({KERNEL: {}})
    assert [KERNEL] == list(store._entries)


async def test_answers_are_the_callers_own(store: MemoryStatistics) -> None:
    """Changes of a stored or fetched mapping do not reach the store."""
    given = {"metric": {"current": {"0.5": "1"}}}
    await store.store_endpoint_statistics({KERNEL: given})
    given["metric"]["current"]["0.5"] = "2"
    fetched: Any = (await store.fetch_endpoint_statistics([KERNEL]))[0]
    fetched["metric"]["current"].clear()
    assert {"metric": {"current": {"0.5": "1"}}} == (await store.fetch_endpoint_statistics([KERNEL]))[0]


async def test_the_number_of_kernels_is_stored_until_its_agent_is_removed(store: MemoryStatistics) -> None:
    """The count has the key of the wire format; another agent's count stays."""
    await store.store_container_count("i-1", 3)
    await store.store_container_count("i-2", 4)
    assert 3 == store._entries["container_count.i-1"].value
    await store.remove(["i-1"])
    assert ["container_count.i-2"] == list(store._entries)


@pytest.mark.parametrize("kind", ProblemKind)
async def test_problems_can_be_planted(store: MemoryStatistics, kind: ProblemKind) -> None:
    """A planted problem is reported at its position, with its entry where there is one."""
    problem = Problem(kind, message="planted", key=OTHER)
    store.plant(KERNEL, {"mem": MEM.to_map()})
    store.plant(OTHER, {"mem": {}} if kind is ProblemKind.STALE else None, problem=problem)
    batch = await store.fetch_kernel_statistics([KERNEL, OTHER])
    assert [{"mem": MEM.to_map()}, {"mem": {}} if kind is ProblemKind.STALE else None] == list(batch)
    assert {1: problem} == batch.problems


@pytest.mark.parametrize("value", [7, "text", ["a"], b"\x80"])
async def test_an_entry_of_another_type_is_malformed(store: MemoryStatistics, value: object) -> None:
    """An entry of another type is None, with a problem that names its key."""
    store.plant(KERNEL, value)
    batch = await store.fetch_kernel_statistics([KERNEL])
    assert [None] == list(batch)
    assert (ProblemKind.MALFORMED, KERNEL) == (batch.problems[0].kind, batch.problems[0].key)


async def test_big_batches_do_not_hold_the_event_loop(store: MemoryStatistics) -> None:
    """Other tasks run during long reads and writes."""
    ids: Sequence[str] = [str(number) for number in range(6_400)]
    for work in (
        store.store_kernel_statistics({id_: {"mem": MEM} for id_ in ids}),
        store.store_endpoint_statistics(dict.fromkeys(ids, GAUGE)),
        store.store_replica_statistics({(id_, OTHER): GAUGE for id_ in ids}),
        store.fetch_kernel_statistics(ids),
        store.fetch_inference_metrics(ids),
    ):
        async with counting_turns() as turns:
            await work
        assert 90 < turns.count


async def test_entries_may_be_added_while_others_are_written(store: MemoryStatistics) -> None:
    """The entries of the mapping at the time of the call are stored."""
    entries = {str(number): {"mem": MEM} for number in range(1_000)}
    writing = asyncio.create_task(store.store_kernel_statistics(entries))
    await asyncio.sleep(0)
    entries.clear()
    await writing
    batch = await store.fetch_kernel_statistics([str(number) for number in range(1_000)])
    assert 1_000 == sum(entry is not None for entry in batch)
