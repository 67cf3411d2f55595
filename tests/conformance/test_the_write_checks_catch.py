"""What the statistics checks are there for: stores that write wrongly, each failing its check."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import MetricValue
from statcore.testing import statistics
from statcore.testing.statistics import StatisticsCheck, writes
from statcore_memory import MemoryStatistics

Store = Callable[..., Awaitable[None]]
Entries = Mapping[str, Mapping[str, Any]]


def each(entries: Entries, change: Callable[[Any], Any]) -> dict[str, dict[str, Any]]:
    """Return entries with every metric changed."""
    return {id_: {name: change(value) for name, value in metrics.items()} for id_, metrics in entries.items()}


async def takes_no_capacity_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """None becomes 0."""
    await store(each(entries, lambda value: attrs.evolve(value, capacity=value.capacity or "0")))


async def loses_the_rate(_: Any, store: Store, entries: Entries) -> None:
    """One moving statistic is not written."""
    await store(each(entries, lambda value: attrs.evolve(value, stats={**value.stats, "rate": "0"})))


async def takes_nan_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """No number becomes one."""
    await store(each(entries, lambda value: attrs.evolve(value, current=value.current.replace("NaN", "0"))))


async def tidies_numbers(_: Any, store: Store, entries: Entries) -> None:
    """1E+30 becomes 30 zeros."""

    def tidy(value: MetricValue) -> MetricValue:
        return attrs.evolve(value, current=f"{Decimal(value.current):f}") if "E+" in value.current else value

    await store(each(entries, tidy))


async def normalizes_names(_: Any, store: Store, entries: Entries) -> None:
    """Two texts that look alike become one."""
    named = ((id_, metrics.items()) for id_, metrics in entries.items())
    await store({id_: {unicodedata.normalize("NFC", name): value for name, value in items} for id_, items in named})


async def takes_no_count_for_zero(_: Any, store: Store, entries: Entries) -> None:
    """An unknown count becomes a count."""
    await store(each(entries, lambda value: {**value, "count": value.get("count") or 0}))


async def makes_thresholds_numbers(_: Any, store: Store, entries: Entries) -> None:
    """`2.5` the text becomes 2.5 the number."""

    def convert(value: Any) -> Any:
        histogram = isinstance(value["current"], dict)
        return {**value, "current": {float(le): count for le, count in value["current"].items()}} if histogram else value

    await store(each(entries, convert))


async def merges(broken: Any, store: Store, entries: Entries) -> None:
    """Metrics of an earlier write stay."""
    old = await broken.right.fetch_kernel_statistics(list(entries))
    kept = [{name: MetricValue.from_map(value) for name, value in (entry or {}).items()} for entry in old]
    await store({id_: {**before, **entries[id_]} for id_, before in zip(entries, kept, strict=True)})


async def replaces_everything(broken: Any, store: Store, entries: Entries) -> None:
    """Other entries are gone."""
    await broken.right.remove(broken.memo)
    broken.memo[:] = entries
    await store(entries)


async def refuses_nothing(_: Any, store: Store, entries: Entries) -> None:
    """No entries are an error."""
    if not entries:
        raise InputError("nothing to write")
    await store(entries)


async def keeps_the_callers_mapping(broken: Any, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """The mapping is written when somebody reads."""
    if "store_kernel" in repr(call):
        broken.memo += arguments[0].items()
        return None
    await broken.right.store_kernel_statistics(dict(broken.memo))
    return await call(*arguments)


async def changes_what_it_answered(broken: Any, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Entries that were given away are updated in place."""
    if "fetch" not in repr(call):
        for entry in broken.memo:
            entry.clear()
        return await call(*arguments)
    batch = await call(*arguments)
    broken.memo += filter(None, batch)
    return batch


async def takes_no_metrics_for_nothing(_: Any, store: Store, entries: Entries) -> None:
    """A kernel without metrics is not written."""
    await store({id_: metrics for id_, metrics in entries.items() if metrics})


async def keeps_an_agent_for_an_hour(_: Any, store: Store, agent_id: str, **metrics: Any) -> None:
    """A dead agent looks alive."""
    await store(agent_id, **{**metrics, "interval_s": 900})


async def removes_nothing(*_: Any) -> None:
    """Do nothing."""


async def removes_what_is_there(broken: Any, remove: Store, ids: Iterable[str]) -> None:
    """An id without statistics is an error."""
    ids = list(ids)
    if None in await broken.right.fetch_kernel_statistics(ids):
        raise InputError("no such kernel")
    await remove(ids)


async def removes_the_first(_: Any, remove: Store, ids: Iterable[str]) -> None:
    """The others stay."""
    await remove(list(ids)[:1])


async def removes_kernels_alone(_: Any, remove: Store, ids: Iterable[str]) -> None:
    """Agents stay."""
    await remove(id_ for id_ in ids if not id_.startswith("i-"))


async def counts_among_the_statistics(broken: Any, _: Store, agent_id: str, count: int) -> None:
    """The count takes the agent's key."""
    broken.right.plant(agent_id, {"node": {"count": count}, "devices": {}})


CAUGHT: list[tuple[StatisticsCheck, str, Callable[..., Any]]] = [
    (statistics.check_every_field_round_trips, "store_kernel", takes_no_capacity_for_zero),
    (statistics.check_every_field_round_trips, "store_kernel", loses_the_rate),
    (statistics.check_numbers_stay_the_text_they_were, "store_kernel", takes_nan_for_zero),
    (statistics.check_numbers_stay_the_text_they_were, "store_kernel", tidies_numbers),
    (statistics.check_any_text_round_trips, "store_kernel", normalizes_names),
    (statistics.check_histograms_round_trip, "store_endpoint", takes_no_count_for_zero),
    (statistics.check_histograms_round_trip, "store_endpoint", makes_thresholds_numbers),
    (statistics.check_writes_replace_the_whole_entry, "store_kernel", merges),
    (statistics.check_writes_leave_other_entries_alone, "store_kernel", replaces_everything),
    (statistics.check_writing_nothing_is_allowed, "store_replica", refuses_nothing),
    (statistics.check_writing_nothing_is_allowed, "store_kernel", takes_no_metrics_for_nothing),
    (statistics.check_writes_keep_what_they_were_given, "", keeps_the_callers_mapping),
    (statistics.check_answers_do_not_change_afterwards, "", changes_what_it_answered),
    (statistics.check_removed_entries_are_gone, "remove", removes_nothing),
    (statistics.check_removed_entries_are_gone, "remove", removes_what_is_there),
    (statistics.check_removed_entries_are_gone, "remove", removes_the_first),
    (statistics.check_removed_agents_are_gone, "remove", removes_kernels_alone),
    (statistics.check_container_counts_are_kept_apart, "store_container", counts_among_the_statistics),
    (statistics.check_agent_statistics_expire, "store_agent", keeps_an_agent_for_an_hour),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_a_store_that_writes_wrongly_fails_its_check(
    check: StatisticsCheck, prefix: str, fault: Callable[..., Any], faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an assertion, or by the error that it raises where none is due; the same store without the fault passes."""
    broken = faulty(MemoryStatistics(), fault, prefix=prefix)
    monkeypatch.setattr(writes, "_EXPIRY_S", 1.5)
    with pytest.raises((AssertionError, InputError)):
        await check(broken, broken)
    monkeypatch.undo()
    right = MemoryStatistics()
    await check(right, right)


def test_every_check_of_writing_catches_something() -> None:
    """None is without a store that fails it."""
    writing = ("values", "writes")
    assert {check for check in statistics.CHECKS if check.__module__.endswith(writing)} == {check for check, *_ in CAUGHT}
