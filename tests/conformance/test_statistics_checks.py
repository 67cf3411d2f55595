"""Checks of `statcore.testing.statistics`: each fails for a store with a fault, and passes without it."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest
from tests.conformance.broken import (
    Broken,
    Fault,
    assert_listed_and_documented,
    closes_once,
    confuses_concurrent_calls,
    drops_duplicates,
    is_down,
    keeps_the_reply_of_a_cancelled_call,
    swallows_cancellation,
)

from statcore.errors import InputError, UnavailableError
from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch
from statcore.testing import statistics
from statcore.testing.statistics import StatisticsCheck, writes
from statcore_memory import MemoryStatistics

Fetch = Callable[[Sequence[Any]], Awaitable[StatisticsBatch]]


LOST = Problem(ProblemKind.UNAVAILABLE, message="lost")


async def answers_no_ids_with_none(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return one entry where no id is given."""
    return await fetch(ids) if ids else StatisticsBatch([None])


async def gives_nothing_as_empty(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return an empty map where there is no data."""
    return StatisticsBatch([entry or {} for entry in await fetch(ids)])


async def makes_nothing_a_problem(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Report a problem where there is no data."""
    batch = await fetch(ids)
    return StatisticsBatch(batch, problems={at: LOST for at, entry in enumerate(batch) if entry is None})


async def swaps_neighbours(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return each pair of neighbouring entries in the wrong order."""
    return await fetch([id_ for start in range(0, len(ids), 2) for id_ in reversed(ids[start : start + 2])])


async def sorts_the_ids(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return the entries in the order of the sorted ids."""
    return await fetch(sorted(ids))


async def moves_what_is_missing_to_the_end(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return the entries that exist first, whatever their ids."""
    return StatisticsBatch(sorted(await fetch(ids), key=lambda entry: entry is None))


async def answers_a_duplicate_once(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return an entry at the first place of a duplicate id only."""
    return StatisticsBatch([entry if ids.index(ids[at]) == at else None for at, entry in enumerate(await fetch(ids))])


async def answers_pairs(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return lists of pairs instead of maps."""
    entries: list[Any] = [entry and list(entry.items()) for entry in await fetch(ids)]
    return StatisticsBatch(entries)


async def lets_metrics_be_read_once(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return entries that lose a metric when it is read."""
    once = type("Once", (dict,), {"__getitem__": lambda entry, name: entry.pop(name)})
    return StatisticsBatch([entry and once(entry) for entry in await fetch(ids)])


async def answers_a_thousand(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return nothing after the first 1,000 ids."""
    return StatisticsBatch([*await fetch(ids[:1_000]), *[None] * (len(ids) - 1_000)])


async def gives_missing_activity_as_none(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return None instead of zeros for missing activity."""
    batch = await fetch(ids)
    return StatisticsBatch(
        [None if at in batch.problems else entry for at, entry in enumerate(batch)], problems=batch.problems
    )


async def gives_missing_activity_as_real(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Report no problem for zeros that are not real."""
    return StatisticsBatch(await fetch(ids))


async def takes_zeros_for_missing(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Report a problem for zeros that are real."""
    batch = await fetch(ids)
    return StatisticsBatch(
        batch, problems={at: LOST for at, entry in enumerate(batch) if entry and not any(entry.values())}
    )


async def counts_in_floats(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Lose the last digit of large counts."""
    batch = await fetch(ids)
    counted = [{name: int(float(count)) for name, count in (entry or {}).items()} for entry in batch]
    return StatisticsBatch(counted, problems=batch.problems)


async def forgets_the_endpoint(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Take the same replica id under two endpoints for one replica."""
    return await fetch([next((pair for pair in reversed(ids) if pair[1] == id_[1]), id_) for id_ in ids])


async def loses_devices(_: Any, fetch: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Return agents without their devices."""
    return StatisticsBatch([entry and {**entry, "devices": {}} for entry in await fetch(ids)])


async def shares_one_key_space(store: Any, _: Fetch, ids: Sequence[Any]) -> StatisticsBatch:
    """Find a kernel under the id of an endpoint."""
    batch: StatisticsBatch = await store.right.fetch_kernel_statistics(ids)
    return batch


Store = Callable[..., Awaitable[None]]


Entries = Mapping[str, Mapping[str, Any]]


def each(entries: Entries, change: Callable[[Any], Any]) -> dict[str, dict[str, Any]]:
    """Return entries with every metric changed."""
    return {id_: {name: change(value) for name, value in metrics.items()} for id_, metrics in entries.items()}


async def takes_no_capacity_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """Store 0 where the capacity is None."""
    await store(each(entries, lambda value: attrs.evolve(value, capacity=value.capacity or "0")))


async def loses_the_rate(_: Any, store: Store, entries: Entries) -> None:
    """Store 0 as the rate."""
    await store(each(entries, lambda value: attrs.evolve(value, stats={**value.stats, "rate": "0"})))


async def takes_nan_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """Turn NaN into 0."""
    await store(each(entries, lambda value: attrs.evolve(value, current=value.current.replace("NaN", "0"))))


async def tidies_numbers(_: Any, store: Store, entries: Entries) -> None:
    """Write 1E+30 with 30 zeros."""

    def tidy(value: MetricValue) -> MetricValue:
        return attrs.evolve(value, current=f"{Decimal(value.current):f}") if "E+" in value.current else value

    await store(each(entries, tidy))


async def normalizes_names(_: Any, store: Store, entries: Entries) -> None:
    """Turn names that look alike into the same text."""
    named = ((id_, metrics.items()) for id_, metrics in entries.items())
    await store({id_: {unicodedata.normalize("NFC", name): value for name, value in items} for id_, items in named})


async def takes_no_count_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """Store 0 where the count is not known."""
    await store(each(entries, lambda value: {**value, "count": value.get("count") or 0}))


async def makes_thresholds_numbers(_: Any, store: Store, entries: Entries) -> None:
    """Store the threshold `2.5` as a number, not as text."""

    def convert(value: Any) -> Any:
        histogram = isinstance(value["current"], dict)
        return {**value, "current": {float(le): count for le, count in value["current"].items()}} if histogram else value

    await store(each(entries, convert))


async def merges(broken: Any, store: Store, entries: Entries) -> None:
    """Keep metrics of an earlier write."""
    old = await broken.right.fetch_kernel_statistics(list(entries))
    kept = [{name: MetricValue.from_map(value) for name, value in (entry or {}).items()} for entry in old]
    await store({id_: {**before, **entries[id_]} for id_, before in zip(entries, kept, strict=True)})


async def replaces_everything(broken: Any, store: Store, entries: Entries) -> None:
    """Remove the entries of other ids."""
    await broken.right.remove(broken.memo)
    broken.memo[:] = entries
    await store(entries)


async def refuses_nothing(_: Any, store: Store, entries: Entries) -> None:
    """Refuse an empty write."""
    if not entries:
        raise InputError("nothing to write")
    await store(entries)


async def keeps_the_callers_mapping(broken: Any, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Write the caller's mapping only when somebody reads."""
    if "store_kernel" in repr(call):
        broken.memo += arguments[0].items()
        return None
    await broken.right.store_kernel_statistics(dict(broken.memo))
    return await call(*arguments)


async def changes_what_it_answered(broken: Any, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Change entries that were returned before."""
    if "fetch" not in repr(call):
        for entry in broken.memo:
            entry.clear()
        return await call(*arguments)
    batch = await call(*arguments)
    broken.memo += filter(None, batch)
    return batch


async def takes_no_metrics_for_nothing(_: Any, store: Store, entries: Entries) -> None:
    """Do not write a kernel without metrics."""
    await store({id_: metrics for id_, metrics in entries.items() if metrics})


async def keeps_an_agent_for_an_hour(_: Any, store: Store, agent_id: str, **metrics: Any) -> None:
    """Keep the entry of an agent far too long."""
    await store(agent_id, **{**metrics, "interval_s": 900})


async def removes_nothing(*_: Any) -> None:
    """Remove nothing."""


async def removes_what_is_there(broken: Any, remove: Store, ids: Iterable[str]) -> None:
    """Refuse to remove an id without statistics."""
    ids = list(ids)
    if None in await broken.right.fetch_kernel_statistics(ids):
        raise InputError("no such kernel")
    await remove(ids)


async def removes_the_first(_: Any, remove: Store, ids: Iterable[str]) -> None:
    """Remove only the first id."""
    await remove(list(ids)[:1])


async def removes_kernels_alone(_: Any, remove: Store, ids: Iterable[str]) -> None:
    """Remove no agents."""
    await remove(id_ for id_ in ids if not id_.startswith("i-"))


async def counts_among_the_statistics(broken: Any, _: Store, agent_id: str, count: int) -> None:
    """Store the count under the agent's own key."""
    broken.right.plant(agent_id, {"node": {"count": count}, "devices": {}})


CAUGHT: dict[StatisticsCheck, list[tuple[str, Fault]]] = {
    statistics.check_no_ids_give_an_empty_batch: [("fetch_agent", answers_no_ids_with_none)],
    statistics.check_unknown_ids_are_none_without_a_problem: [
        ("fetch_replica", gives_nothing_as_empty),
        ("fetch_endpoint", makes_nothing_a_problem),
    ],
    statistics.check_order_is_kept: [
        ("fetch_", swaps_neighbours),
        ("fetch_", sorts_the_ids),
        ("fetch_", moves_what_is_missing_to_the_end),
    ],
    statistics.check_duplicates_get_the_same_answer: [("fetch_", drops_duplicates), ("fetch_", answers_a_duplicate_once)],
    statistics.check_entries_are_mappings: [("fetch_", answers_pairs), ("fetch_", lets_metrics_be_read_once)],
    statistics.check_ten_thousand_ids: [("fetch_", answers_a_thousand)],
    statistics.check_sessions_are_stored_like_kernels: [("fetch_", swaps_neighbours)],
    statistics.check_endpoints_round_trip: [("fetch_", swaps_neighbours)],
    statistics.check_replicas_belong_to_their_endpoint: [("fetch_replica", forgets_the_endpoint)],
    statistics.check_agents_round_trip: [("fetch_agent", loses_devices)],
    statistics.check_inference_metrics_round_trip: [
        ("fetch_inference", counts_in_floats),
        ("fetch_inference", takes_zeros_for_missing),
    ],
    statistics.check_missing_inference_metrics_are_incomplete_zeros: [
        ("fetch_inference", gives_missing_activity_as_none),
        ("fetch_inference", gives_missing_activity_as_real),
    ],
    statistics.check_kinds_do_not_mix: [("fetch_endpoint", shares_one_key_space)],
    statistics.check_ping_returns: [("ping", is_down)],
    statistics.check_concurrent_reads_get_their_own_answers: [("fetch_", confuses_concurrent_calls)],
    statistics.check_cancelled_reads_leave_the_store_usable: [
        ("fetch_", swallows_cancellation),
        ("fetch_", keeps_the_reply_of_a_cancelled_call),
    ],
    statistics.check_closing_twice_is_allowed: [("aclose", closes_once)],
    statistics.check_every_field_round_trips: [
        ("store_kernel", takes_no_capacity_for_zero),
        ("store_kernel", loses_the_rate),
    ],
    statistics.check_numbers_stay_the_text_they_were: [
        ("store_kernel", takes_nan_for_zero),
        ("store_kernel", tidies_numbers),
    ],
    statistics.check_any_text_round_trips: [("store_kernel", normalizes_names)],
    statistics.check_histograms_round_trip: [
        ("store_endpoint", takes_no_count_for_zero),
        ("store_endpoint", makes_thresholds_numbers),
    ],
    statistics.check_writes_replace_the_whole_entry: [("store_kernel", merges)],
    statistics.check_writes_leave_other_entries_alone: [("store_kernel", replaces_everything)],
    statistics.check_writing_nothing_is_allowed: [
        ("store_replica", refuses_nothing),
        ("store_kernel", takes_no_metrics_for_nothing),
    ],
    statistics.check_writes_keep_what_they_were_given: [("", keeps_the_callers_mapping)],
    statistics.check_answers_do_not_change_afterwards: [("", changes_what_it_answered)],
    statistics.check_removed_entries_are_gone: [
        ("remove", removes_nothing),
        ("remove", removes_what_is_there),
        ("remove", removes_the_first),
    ],
    statistics.check_removed_agents_are_gone: [("remove", removes_kernels_alone)],
    statistics.check_container_counts_are_kept_apart: [("store_container", counts_among_the_statistics)],
    statistics.check_agent_statistics_expire: [("store_agent", keeps_an_agent_for_an_hour)],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, and the fault."""


CASES = [(check, prefix, fault) for check, faults in CAUGHT.items() for prefix, fault in faults]


def test_every_check_catches_a_fault() -> None:
    """The table has each check, and no check is without a fault."""
    assert set(statistics.CHECKS) == {check for check, *_ in CASES}


def test_every_check_is_listed_and_documented() -> None:
    """No check of the package is left out or listed twice, and each has a docstring, which is its contract."""
    assert_listed_and_documented(statistics)


@pytest.mark.parametrize(("check", "prefix", "fault"), CASES, ids=lambda part: getattr(part, "__name__", part))
async def test_a_store_with_a_fault_fails_its_check(
    check: StatisticsCheck, prefix: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check raises, by an assertion or because of what the store did; for the store without the fault it passes."""
    broken: Any = Broken(MemoryStatistics(), fault, prefix=prefix)
    with monkeypatch.context() as patch:
        patch.setattr(writes, "_EXPIRY_S", 1.5)  # for how long the check of expiry waits in vain
        with pytest.raises((AssertionError, KeyError, InputError, UnavailableError)):
            await check(broken, broken)
    right = MemoryStatistics()
    await check(right, right)
