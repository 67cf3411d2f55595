"""What the statistics checks are there for: stores that answer wrongly, each failing its check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from statcore.errors import UnavailableError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.testing import statistics
from statcore.testing.statistics import StatisticsCheck
from statcore_memory import MemoryStatistics

Fetch = Callable[[Sequence[Any]], Awaitable[StatisticsBatch]]
LOST = Problem(ProblemKind.UNAVAILABLE, message="lost")


async def answers_no_ids_with_none(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """One entry too many."""
    return await fetch(ids) if ids else StatisticsBatch([None])


async def gives_nothing_as_empty(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """No data as a kernel without metrics."""
    return StatisticsBatch([entry or {} for entry in await fetch(ids)])


async def makes_nothing_a_problem(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """No data as a failure."""
    batch = await fetch(ids)
    return StatisticsBatch(batch, problems={at: LOST for at, entry in enumerate(batch) if entry is None})


async def swaps_neighbours(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Answers at the wrong ids."""
    return await fetch([id_ for start in range(0, len(ids), 2) for id_ in reversed(ids[start : start + 2])])


async def sorts_the_ids(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """The store's order, not the caller's."""
    return await fetch(sorted(ids))


async def moves_what_is_missing_to_the_end(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Answers shifted into the gaps."""
    return StatisticsBatch(sorted(await fetch(ids), key=lambda entry: entry is None))


async def drops_duplicates(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Fewer answers than ids."""
    return await fetch(list(dict.fromkeys(ids)))


async def answers_a_duplicate_once(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """The first gets it all."""
    return StatisticsBatch([entry if ids.index(ids[at]) == at else None for at, entry in enumerate(await fetch(ids))])


async def answers_pairs(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """No mapping at all."""
    entries: list[Any] = [entry and list(entry.items()) for entry in await fetch(ids)]
    return StatisticsBatch(entries)


async def lets_metrics_be_read_once(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """An entry that is used up."""
    once = type("Once", (dict,), {"__getitem__": lambda entry, name: entry.pop(name)})
    return StatisticsBatch([entry and once(entry) for entry in await fetch(ids)])


async def answers_a_thousand(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """A silent limit."""
    return StatisticsBatch([*await fetch(ids[:1_000]), *[None] * (len(ids) - 1_000)])


async def gives_missing_activity_as_none(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Not the zeros that callers rely on."""
    batch = await fetch(ids)
    return StatisticsBatch(
        [None if at in batch.problems else entry for at, entry in enumerate(batch)], problems=batch.problems
    )


async def gives_missing_activity_as_real(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Zeros that nobody can tell from real ones."""
    return StatisticsBatch(await fetch(ids))


async def takes_zeros_for_missing(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """A session that is idle looks like one that is unknown."""
    batch = await fetch(ids)
    return StatisticsBatch(
        batch, problems={at: LOST for at, entry in enumerate(batch) if entry and not any(entry.values())}
    )


async def counts_in_floats(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Large counts lose their last digit."""
    batch = await fetch(ids)
    counted = [{name: int(float(count)) for name, count in (entry or {}).items()} for entry in batch]
    return StatisticsBatch(counted, problems=batch.problems)


async def forgets_the_endpoint(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """The same replica id under two endpoints is one."""
    return await fetch([next((pair for pair in reversed(ids) if pair[1] == id_[1]), id_) for id_ in ids])


async def loses_devices(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Half an agent."""
    return StatisticsBatch([entry and {**entry, "devices": {}} for entry in await fetch(ids)])


async def shares_one_key_space(store: Any, _: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """A kernel is found among the endpoints."""
    return await store.right.fetch_kernel_statistics(ids)


async def is_down(*_: Any) -> None:
    """Refuse."""
    raise UnavailableError("refused")


async def shares_one_reply(store: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """What was asked last is answered to all."""
    store.memo[:] = [ids]
    await asyncio.sleep(0)
    return await fetch(store.memo[0])


async def swallows_cancellation(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """An answer where `CancelledError` is due."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return StatisticsBatch([None] * len(ids))
    return await fetch(ids)


async def keeps_the_reply_of_a_cancelled_read(store: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """It goes to whoever comes next."""
    store.memo.append(ids)
    await asyncio.sleep(0)
    return await fetch(store.memo.pop(0))


async def closes_once(store: Any, close: Callable[[], Awaitable[None]]) -> None:
    """Fail when closed already."""
    if close in store.memo:
        raise UnavailableError("closed already")
    store.memo.append(close)


CAUGHT: list[tuple[StatisticsCheck, str, Callable[..., Any]]] = [
    (statistics.check_no_ids_give_an_empty_batch, "fetch_agent", answers_no_ids_with_none),
    (statistics.check_unknown_ids_are_none_without_a_problem, "fetch_replica", gives_nothing_as_empty),
    (statistics.check_unknown_ids_are_none_without_a_problem, "fetch_endpoint", makes_nothing_a_problem),
    (statistics.check_order_is_kept, "fetch_", swaps_neighbours),
    (statistics.check_order_is_kept, "fetch_", sorts_the_ids),
    (statistics.check_order_is_kept, "fetch_", moves_what_is_missing_to_the_end),
    (statistics.check_duplicates_get_the_same_answer, "fetch_", drops_duplicates),
    (statistics.check_duplicates_get_the_same_answer, "fetch_", answers_a_duplicate_once),
    (statistics.check_entries_are_mappings, "fetch_", answers_pairs),
    (statistics.check_entries_are_mappings, "fetch_", lets_metrics_be_read_once),
    (statistics.check_ten_thousand_ids, "fetch_", answers_a_thousand),
    (statistics.check_sessions_are_stored_like_kernels, "fetch_", swaps_neighbours),
    (statistics.check_endpoints_round_trip, "fetch_", swaps_neighbours),
    (statistics.check_replicas_belong_to_their_endpoint, "fetch_replica", forgets_the_endpoint),
    (statistics.check_agents_round_trip, "fetch_agent", loses_devices),
    (statistics.check_inference_metrics_round_trip, "fetch_inference", counts_in_floats),
    (statistics.check_inference_metrics_round_trip, "fetch_inference", takes_zeros_for_missing),
    (statistics.check_missing_inference_metrics_are_incomplete_zeros, "fetch_inference", gives_missing_activity_as_none),
    (statistics.check_missing_inference_metrics_are_incomplete_zeros, "fetch_inference", gives_missing_activity_as_real),
    (statistics.check_kinds_do_not_mix, "fetch_endpoint", shares_one_key_space),
    (statistics.check_ping_returns, "ping", is_down),
    (statistics.check_concurrent_reads_get_their_own_answers, "fetch_", shares_one_reply),
    (statistics.check_cancelled_reads_leave_the_store_usable, "fetch_", swallows_cancellation),
    (statistics.check_cancelled_reads_leave_the_store_usable, "fetch_", keeps_the_reply_of_a_cancelled_read),
    (statistics.check_closing_twice_is_allowed, "aclose", closes_once),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_a_store_that_answers_wrongly_fails_its_check(
    check: StatisticsCheck, prefix: str, fault: Callable[..., Any], faulty: Any
) -> None:
    """By an assertion, or by the error that it raises where none is due; the same store without the fault passes."""
    broken = faulty(MemoryStatistics(), fault, prefix=prefix)
    with pytest.raises((AssertionError, KeyError, UnavailableError)):
        await check(broken, broken)
    right = MemoryStatistics()
    await check(right, right)


def test_every_check_of_reading_catches_something() -> None:
    """None is without a store that fails it."""
    reading = ("batches", "kinds", "lifecycle")
    assert {check for check in statistics.CHECKS if check.__module__.endswith(reading)} == {check for check, *_ in CAUGHT}


def test_every_check_is_listed_and_has_a_contract() -> None:
    """None of the package is left out, none comes twice, and each says what it is for."""
    defined = [
        check
        for name, module in vars(statistics).items()
        if isinstance(module, ModuleType)
        for check in vars(module).values()
        if getattr(check, "__module__", "").endswith(f".statistics.{name}") and check.__name__.startswith("check_")
    ]
    assert sorted(map(repr, defined)) == sorted(map(repr, statistics.CHECKS))
    assert all(check.__doc__ for check in statistics.CHECKS)
