"""Checks of `statcore.testing.statistics`: each fails for a store with a fault, and passes without it."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs
import pytest
from tests.conformance.broken import (
    Broken,
    Fault,
    answering,
    assert_each_is_listed_documented_and_caught,
    calling,
    cases,
    closes_once,
    confuses_concurrent_calls,
    is_down,
    keeps_the_reply_of_a_cancelled_call,
    swallows_cancellation,
)

from statcore.errors import InputError, UnavailableError
from statcore.model import Column, MetricValue, Problem, ProblemKind, StatisticsBatch, StatisticsColumns
from statcore.model.store_keys import endpoint_key
from statcore.testing import statistics
from statcore.testing.statistics import StatisticsCheck, writes
from statcore_memory import MemoryStatistics

LOST = Problem(ProblemKind.UNAVAILABLE, message="lost")

Store = Callable[..., Awaitable[None]]
Entries = Mapping[str, Mapping[str, Any]]


def changing_entries(change: Callable[[Any], Any]) -> Fault:
    """Return a fault that changes each entry that is there, and keeps the problems."""
    return answering(
        lambda batch, _: StatisticsBatch([entry and change(entry) for entry in batch], problems=batch.problems)
    )


def adding_problems(is_lost: Callable[[Any], bool]) -> Fault:
    """Return a fault that reports a problem for some entries."""
    return answering(
        lambda batch, _: StatisticsBatch(batch, problems={at: LOST for at, entry in enumerate(batch) if is_lost(entry)})
    )


def changing_metrics(change: Callable[[Any], Any]) -> Fault:
    """Return a fault that stores each metric changed."""
    return calling(
        lambda entries: {id_: {name: change(value) for name, value in metrics.items()} for id_, metrics in entries.items()}
    )


def loses_missing_activity(batch: StatisticsBatch, _: object) -> StatisticsBatch:
    """Return None instead of zeros for missing activity."""
    entries = [None if at in batch.problems else entry for at, entry in enumerate(batch)]
    return StatisticsBatch(entries, problems=batch.problems)


def tidy(value: MetricValue) -> MetricValue:
    """Return 1E+30 with 30 zeros."""
    return attrs.evolve(value, current=f"{Decimal(value.current):f}") if "E+" in value.current else value


def with_numbers(value: Any) -> Any:
    """Return a histogram whose thresholds are numbers, not text."""
    histogram = isinstance(value["current"], dict)
    return {**value, "current": {float(le): count for le, count in value["current"].items()}} if histogram else value


def normalized(entries: Entries) -> Entries:
    """Return entries in which names that look alike are the same text."""
    named = ((id_, metrics.items()) for id_, metrics in entries.items())
    return {id_: {unicodedata.normalize("NFC", name): value for name, value in items} for id_, items in named}


SWAPS_NEIGHBOURS = calling(lambda ids: [id_ for start in range(0, len(ids), 2) for id_ in reversed(ids[start : start + 2])])


async def shares_one_key_space(store: Any, _call: object, ids: list[Any]) -> StatisticsBatch:
    """Find a kernel under the id of an endpoint."""
    batch: StatisticsBatch = await store.right.fetch_kernel_statistics(ids)
    return batch


async def merges(broken: Any, store: Store, entries: Entries) -> None:
    """Keep metrics of an earlier write."""
    before = dict(broken.memo)
    merged = {id_: {**before.get(id_, {}), **metrics} for id_, metrics in entries.items()}
    broken.memo += merged.items()
    await store(merged)


async def keeps_the_devices_of_an_agent(broken: Any, store: Store, agent_id: str, *, devices: Any, **metrics: Any) -> None:
    """Keep devices of an earlier write."""
    broken.memo += devices.items()
    await store(agent_id, devices=dict(broken.memo), **metrics)


async def replaces_everything(broken: Any, store: Store, entries: Entries) -> None:
    """Empty the entries of other ids."""
    await store({**{id_: {} for id_ in broken.memo}, **entries})
    broken.memo[:] = entries


async def loses_the_write_after_a_cancelled_one(broken: Any, store: Store, *arguments: Any, **metrics: Any) -> None:
    """Store nothing if the call before was cancelled."""
    lost = bool(broken.memo)
    broken.memo.append(arguments)
    await asyncio.sleep(0)
    broken.memo.clear()
    if not lost:
        await store(*arguments, **metrics)


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


async def keeps_an_agent_for_an_hour(_: Any, store: Store, agent_id: str, *, interval_s: float, **metrics: Any) -> None:
    """Keep the entry of an agent for an hour, however short its interval is."""
    await store(agent_id, **metrics, interval_s=max(interval_s, 900.0))


def forgetting_an_agent_after(intervals: int) -> Fault:
    """Return a fault that forgets an agent after some of its intervals, however short they are."""

    async def fault(broken: Any, store: Store, agent_id: str, *, interval_s: float, **metrics: Any) -> None:
        await store(agent_id, **metrics, interval_s=interval_s)
        asyncio.get_running_loop().call_later(intervals * interval_s, broken.right.plant, agent_id, None)

    return fault


async def answers_from_a_cache(broken: Any, fetch: Callable[..., Awaitable[Any]], ids: Sequence[Any]) -> Any:
    """Return what the first read of these ids returned."""
    known = {tuple(key): batch for key, batch in broken.memo}
    if (batch := known.get(tuple(ids))) is None:
        batch = await fetch(ids)
        broken.memo.append((ids, batch))
    return batch


async def ignores_the_case_of_an_agent(_: Any, store: Store, agent_id: str, **metrics: Any) -> None:
    """Store agents by their names in small letters."""
    await store(agent_id.lower(), **metrics)


async def trims_names_of_devices(_: Any, store: Store, agent_id: str, *, devices: Any, **metrics: Any) -> None:
    """Store device metrics without the spaces around their names."""
    await store(agent_id, devices={name.strip(): of_metric for name, of_metric in devices.items()}, **metrics)


async def stores_a_node_without_limits(_: Any, store: Store, agent_id: str, *, node: Any, **metrics: Any) -> None:
    """Store no capacity of the node's metrics."""
    await store(agent_id, node={name: attrs.evolve(value, capacity=None) for name, value in node.items()}, **metrics)


async def removes_the_endpoint_too(_: Any, remove: Store, ids: Iterable[str]) -> None:
    """Remove endpoints of these ids as well."""
    ids = list(ids)
    await remove([*ids, *(endpoint_key(id_) for id_ in ids)])


async def removes_nothing(*_: Any) -> None:
    """Remove nothing."""


async def removes_what_is_there(broken: Any, remove: Store, ids: Iterable[str]) -> None:
    """Refuse to remove an id without statistics."""
    ids = list(ids)
    if None in await broken.right.fetch_kernel_statistics(ids):
        raise InputError("no such kernel")
    await remove(ids)


async def counts_among_the_statistics(broken: Any, _: Store, agent_id: str, count: int) -> None:
    """Store the count under the agent's own key."""
    broken.right.plant(agent_id, {"node": {"count": count}, "devices": {}})


class ColumnarStatistics(MemoryStatistics):
    """A right store that is a `ColumnarStatisticsPort`, too."""

    async def fetch_kernel_columns(self, ids: Sequence[str], fields: Sequence[str], /) -> StatisticsColumns:
        """Read columns from entries."""
        return await (await self.fetch_kernel_statistics(ids)).columns(*fields)


def changing_columns(change: Callable[[str, str | None], str | None]) -> Fault:
    """Return a fault that changes each text of each column."""

    def changed(columns: StatisticsColumns, *_: object) -> StatisticsColumns:
        by_field = {name: Column(tuple([change(name, text) for text in column])) for name, column in columns.items()}
        return StatisticsColumns(by_field, problems=columns.problems, ages_s=columns.ages_s)

    return answering(changed)


def without_last(columns: StatisticsColumns, *_: object) -> StatisticsColumns:
    """Return columns without the last id."""
    return columns.select(range(len(columns["mem.current"]) - 1))


def lost_columns(columns: StatisticsColumns, *_: object) -> StatisticsColumns:
    """Return columns with a problem for each text that is missing."""
    lost = {position: [LOST] for position, text in enumerate(columns["mem.current"]) if text is None}
    return StatisticsColumns(columns.by_field, problems=lost, ages_s={})


FETCHES = ("fetch_kernel_statistics", "fetch_endpoint", "fetch_replica", "fetch_agent", "fetch_inference")
STORES = ("store_kernel", "store_endpoint", "store_replica", "store_agent", "store_session")
MAPPED = STORES[:3]
"""The methods that take a mapping of entries."""

CAUGHT: dict[StatisticsCheck, list[tuple[str, str, Fault]]] = {
    statistics.check_no_ids_give_an_empty_batch: [
        ("fetch_agent", "an entry for no id", answering(lambda batch, ids: batch if ids else StatisticsBatch([None])))
    ],
    statistics.check_unknown_ids_are_none_without_a_problem: [
        ("fetch_replica", "an empty map", answering(lambda batch, _: StatisticsBatch([entry or {} for entry in batch]))),
        ("fetch_endpoint", "a problem", adding_problems(lambda entry: entry is None)),
    ],
    statistics.check_order_is_kept: [
        ("fetch_", "swapped", SWAPS_NEIGHBOURS),
        *((fetch, "sorted ids", calling(sorted)) for fetch in FETCHES),
        ("fetch_", "missing last", answering(lambda batch, _: StatisticsBatch(sorted(batch, key=lambda entry: not entry)))),
    ],
    statistics.check_duplicates_get_the_same_answer: [
        *((fetch, "fewer entries than ids", calling(lambda ids: list(dict.fromkeys(ids)))) for fetch in FETCHES),
        (
            "fetch_",
            "an entry at the first place only",
            answering(
                lambda batch, ids: StatisticsBatch(
                    [entry if ids.index(ids[at]) == at else None for at, entry in enumerate(batch)]
                )
            ),
        ),
    ],
    statistics.check_entries_are_mappings: [
        ("fetch_", "lists of pairs", changing_entries(lambda entry: list(entry.items()))),
        (
            "fetch_",
            "metrics that can be read once",
            changing_entries(type("Once", (dict,), {"__getitem__": lambda entry, name: entry.pop(name)})),
        ),
    ],
    statistics.check_columns_are_those_of_the_batch: [
        ("fetch_kernel_columns", "sorted ids", calling(sorted)),
        ("fetch_kernel_columns", "each id once", calling(lambda ids: list(dict.fromkeys(ids)))),
        ("fetch_kernel_columns", "without the last id", answering(without_last)),
        ("fetch_kernel_columns", "empty text for None", changing_columns(lambda _, text: text or "")),
        ("fetch_kernel_columns", "no rates", changing_columns(lambda name, text: None if "rate" in name else text)),
        ("fetch_kernel_columns", "problems of unknown ids", answering(lost_columns)),
        ("fetch_kernel_columns", "a dict of lists", answering(lambda columns, *_: {**columns})),
    ],
    statistics.check_ten_thousand_ids: [
        (
            fetch,
            "only a thousand entries",
            answering(lambda batch, _: StatisticsBatch([*batch[:1_000], *[None] * (len(batch) - 1_000)])),
        )
        for fetch in FETCHES
    ],
    statistics.check_sessions_are_stored_like_kernels: [("fetch_", "swapped", SWAPS_NEIGHBOURS)],
    statistics.check_endpoints_round_trip: [("fetch_", "swapped", SWAPS_NEIGHBOURS)],
    statistics.check_replicas_belong_to_their_endpoint: [
        (
            "fetch_replica",
            "one replica for an id under two endpoints",
            calling(lambda ids: [next((pair for pair in reversed(ids) if pair[1] == id_[1]), id_) for id_ in ids]),
        )
    ],
    statistics.check_agents_round_trip: [
        ("fetch_agent", "no devices", changing_entries(lambda entry: {**entry, "devices": {}})),
        ("store_agent", "no capacities", stores_a_node_without_limits),
    ],
    statistics.check_inference_metrics_round_trip: [
        (
            "fetch_inference",
            "counts as floats",
            changing_entries(lambda entry: {name: int(float(count)) for name, count in entry.items()}),
        ),
        (
            "fetch_inference",
            "times as floats",
            changing_entries(lambda entry: {**entry, "last_response_ms": int(float(entry["last_response_ms"]))}),
        ),
        ("fetch_inference", "problems of real zeros", adding_problems(lambda entry: entry and not any(entry.values()))),
    ],
    statistics.check_missing_inference_metrics_are_incomplete_zeros: [
        ("fetch_inference", "None", answering(loses_missing_activity)),
        ("fetch_inference", "no problem", answering(lambda batch, _: StatisticsBatch(batch))),
    ],
    statistics.check_kinds_do_not_mix: [("fetch_endpoint", "kernels as endpoints", shares_one_key_space)],
    statistics.check_ping_returns: [("ping", "down", is_down)],
    statistics.check_concurrent_reads_get_their_own_answers: [
        (fetch, "confused", confuses_concurrent_calls) for fetch in FETCHES
    ],
    statistics.check_cancelled_reads_leave_the_store_usable: [
        *((fetch, "no CancelledError", swallows_cancellation) for fetch in FETCHES),
        *((fetch, "the reply of a cancelled call", keeps_the_reply_of_a_cancelled_call) for fetch in FETCHES),
    ],
    statistics.check_cancelled_writes_leave_the_store_usable: [
        *((store, "no CancelledError", swallows_cancellation) for store in STORES),
        *((store, "the next write is lost", loses_the_write_after_a_cancelled_one) for store in STORES),
    ],
    statistics.check_closing_twice_is_allowed: [("aclose", "closes once", closes_once)],
    statistics.check_every_field_round_trips: [
        (
            "store_kernel",
            "0 as capacity",
            changing_metrics(lambda value: attrs.evolve(value, capacity=value.capacity or "0")),
        ),
        (
            "store_kernel",
            "no rate",
            changing_metrics(lambda value: attrs.evolve(value, stats={**value.stats, "rate": "0"})),
        ),
    ],
    statistics.check_numbers_stay_the_text_they_were: [
        (
            "store_kernel",
            "0 for NaN",
            changing_metrics(lambda value: attrs.evolve(value, current=value.current.replace("NaN", "0"))),
        ),
        ("store_kernel", "30 zeros", changing_metrics(tidy)),
    ],
    statistics.check_any_text_round_trips: [
        *((store, "normalized names", calling(normalized)) for store in MAPPED),
        ("store_agent", "agents in small letters", ignores_the_case_of_an_agent),
        ("store_agent", "trimmed names of devices", trims_names_of_devices),
    ],
    statistics.check_histograms_round_trip: [
        ("store_endpoint", "0 as count", changing_metrics(lambda value: {**value, "count": value.get("count") or 0})),
        ("store_endpoint", "thresholds as numbers", changing_metrics(with_numbers)),
    ],
    statistics.check_writes_replace_the_whole_entry: [
        *((store, "merges", merges) for store in MAPPED),
        ("store_agent", "keeps devices", keeps_the_devices_of_an_agent),
    ],
    statistics.check_reads_see_the_newest_write: [(fetch, "a cache", answers_from_a_cache) for fetch in FETCHES],
    statistics.check_writes_leave_other_entries_alone: [(store, "empties others", replaces_everything) for store in MAPPED],
    statistics.check_writing_nothing_is_allowed: [
        ("store_replica", "refuses no entries", refuses_nothing),
        *(
            (
                store,
                "writes no entry without metrics",
                calling(lambda entries: {id_: metrics for id_, metrics in entries.items() if metrics}),
            )
            for store in MAPPED
        ),
    ],
    statistics.check_writes_keep_what_they_were_given: [("", "keeps the caller's mapping", keeps_the_callers_mapping)],
    statistics.check_answers_do_not_change_afterwards: [("", "changes what it answered", changes_what_it_answered)],
    statistics.check_removed_entries_are_gone: [
        ("remove", "nothing", removes_nothing),
        ("remove", "refuses unknown ids", removes_what_is_there),
        ("remove", "the first id", calling(lambda ids: list(ids)[:1])),
        ("remove", "the endpoint too", removes_the_endpoint_too),
    ],
    statistics.check_removed_agents_are_gone: [
        ("remove", "no agents", calling(lambda ids: (id_ for id_ in ids if not id_.startswith("i-"))))
    ],
    statistics.check_container_counts_are_kept_apart: [("store_container", "one key", counts_among_the_statistics)],
    statistics.check_agent_statistics_expire: [
        ("store_agent", "an hour", keeps_an_agent_for_an_hour),
        ("store_agent", "one interval", forgetting_an_agent_after(1)),
        ("store_agent", "less than a second", forgetting_an_agent_after(4)),
    ],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, its name, and the fault."""


def test_every_check_catches_a_fault() -> None:
    """The table has each check of the package, which lists each once; the docstring of a check is its contract."""
    assert_each_is_listed_documented_and_caught(statistics, CAUGHT)


@pytest.mark.parametrize(("check", "prefix", "fault"), cases(CAUGHT))
async def test_a_store_with_a_fault_fails_its_check(
    check: StatisticsCheck, prefix: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check raises, by an assertion or by an error of statcore from the store; no other error counts."""
    broken: Any = Broken(ColumnarStatistics(), fault, prefix=prefix)
    monkeypatch.setattr(writes, "_EXPIRY_S", 1.5)  # for how long the check of expiry waits in vain
    with pytest.raises((AssertionError, InputError, UnavailableError)):
        await check(broken, broken)


@pytest.mark.parametrize("check", statistics.CHECKS)
async def test_a_store_without_a_fault_passes(check: StatisticsCheck) -> None:
    """The store whose methods get the faults keeps every promise; `test_memory.py` checks it without columns."""
    right = ColumnarStatistics()
    await check(right, right)
