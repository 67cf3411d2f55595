"""Live statistics from any samples: they are readable, complete, and what the collector would store."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.statistics.live_backend import NOW, Figures, LiveBackend

from statcore.model import MetricValue, StatisticsBatch, finite_number, id_text, unit_hint
from statcore.model.statistics import STATS, has_bound
from statcore.promql.live_stat import RATED_METRICS
from statcore.services import KernelLiveStatService
from statcore.testing.strategies import ids
from statcore_collector.metric import METRICS, MetricTracker, RawValue

KERNELS = [str(UUID(int=number)) for number in range(300)]
NAMES = [*METRICS, "cuda_mem", "cuda_util", "io_scratch_size", "temperature"]
KINDS = ("current", "capacity", "rate_now", "max", "avg", "rate_max", "rate_avg")
VALUES = st.floats() | st.floats(0, 1e12) | st.integers(-5, 1000).map(float) | st.just(0.0)

PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]{0,2}[1-9])?")
PERCENT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]{2}")


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    """Return figures of a few kernels, of which any may be missing, and any number."""
    keys = st.tuples(st.sampled_from(KERNELS[:3]), st.sampled_from(NAMES), st.sampled_from(KINDS))
    return draw(st.dictionaries(keys, VALUES, max_size=60))


def read(planted: Figures, kernel_ids: Sequence[UUID | str]) -> StatisticsBatch:
    """Return what the service says of the kernels."""
    return asyncio.run(KernelLiveStatService(LiveBackend(planted)).fetch_kernel_statistics(kernel_ids, time=NOW))


@given(figures())
def test_every_map_is_a_metric_value_of_plain_numbers(planted: Figures) -> None:
    """Read and written again it is the same; no exponent, no NaN, `pct` with two places, a capacity always.

    All keys that managers answer are there; only an average or a maximum that is not finite is left out.
    """
    for entry in filter(None, read(planted, KERNELS[:3])):
        for metric, fields in entry.items():
            assert {**MetricValue.from_map(fields).to_map(), "stats.version": None} == fields
            assert PERCENT.fullmatch(fields["pct"])
            numbers = [text for name, text in fields.items() if name not in {"pct", "unit_hint", "stats.version"}]
            assert {f"stats.{name}" for name in (*STATS, "version")} - fields.keys() <= {"stats.max", "stats.avg"}
            assert all(PLAIN.fullmatch(text) and text != "-0" for text in numbers)
            assert all(finite_number(text) is not None for text in (*numbers, fields["pct"]))
            assert unit_hint(metric) == fields["unit_hint"]
            shown = metric not in {"cpu_used", "io_read", "io_write"}
            highest = fields.get("stats.max", fields["current"]) if shown else fields["current"]
            assert finite_number(highest) >= finite_number(fields["current"])  # type: ignore[operator]


@given(figures())
def test_every_metric_is_there_or_has_a_reason(planted: Figures) -> None:
    """It is there with its planted numbers, is named as not finite, or has no rate yet."""
    batch = read(planted, KERNELS[:3])
    for position, kernel in enumerate(KERNELS[:3]):
        mine = {(metric, kind): value for (of, metric, kind), value in planted.items() if of == kernel}
        entry, problem = batch[position], batch.problems.get(position)
        assert (entry is not None) == any(kind in {"current", "capacity"} for _, kind in mine)
        for metric in {metric for metric, kind in mine if kind == "current"}:
            assert entry is not None
            value = mine.get((metric, "rate_now" if metric in RATED_METRICS else "current"))
            if value is None:
                assert metric not in entry
            elif metric not in entry:
                assert problem is not None
                assert f"{metric} is not finite" in problem.message.split("; ")
                capacity = mine.get((metric, "capacity"), 0.0)
                share = value / capacity * 100 if capacity else 0.0
                assert not math.isfinite(value) or abs(share) > 1e300 or abs(capacity) < 0.01
            else:
                assert math.isclose(float(entry[metric]["current"]), value, rel_tol=1e-9, abs_tol=0.0006)
        assert set(entry or ()) <= {metric for metric, kind in mine if kind == "current"}


def spellings(id_: str) -> list[UUID | str]:
    """Return the ways to write an id."""
    return [id_, id_.upper(), id_.replace("-", ""), UUID(id_)]


@given(figures(), st.lists(st.sampled_from(KERNELS[:6]), max_size=12), st.data())
def test_a_batched_read_equals_single_reads(planted: Figures, kernel_ids: list[str], data: st.DataObject) -> None:
    """Ids may be in any order, number and spelling, duplicates included."""
    spelled = [data.draw(st.sampled_from(spellings(id_))) for id_ in kernel_ids]
    batch = read(planted, spelled)
    singles = [read(planted, [id_]) for id_ in kernel_ids]
    assert [single[0] for single in singles] == list(batch)
    assert {position: single.problems[0] for position, single in enumerate(singles) if single.problems} == dict(
        batch.problems
    )


@given(st.lists(ids(), max_size=5), st.lists(st.integers(0, 299), max_size=700))
def test_each_kernel_is_queried_once(others: list[UUID | str], chosen: list[int]) -> None:
    """There are six queries for 256 distinct kernels, however often each occurs."""
    kernel_ids = [*others, *(KERNELS[number] for number in chosen)]
    backend = LiveBackend({(kernel, "mem", "current"): 1.0 for kernel in KERNELS})
    batch = asyncio.run(KernelLiveStatService(backend).fetch_kernel_statistics(kernel_ids, time=NOW))
    distinct = set(map(id_text, kernel_ids))
    assert 6 * math.ceil(len(distinct) / 256) == len(backend.queries)
    assert [id_text(id_) in KERNELS for id_ in kernel_ids] == [entry is not None for entry in batch]


@given(
    st.sampled_from(sorted(METRICS)),
    st.integers(0, 2**50),
    st.integers(0, 2**50),
    st.integers(1, 100),
    st.none() | st.integers(1, 2**50),
)
def test_the_collector_would_have_stored_the_same(
    metric: str, first: int, more: int, seconds: int, capacity: int | None
) -> None:
    """The same two readings give the same number, percentage and unit, and a capacity if there can be one."""
    capacity = capacity if has_bound(metric) else None
    tracker = MetricTracker(metric)
    tracker.observe(0, RawValue(first, capacity))
    stored = tracker.observe(seconds, RawValue(first + more, capacity))
    planted: dict[tuple[str, str, str], float] = {(KERNELS[0], metric, "current"): first + more}
    planted[KERNELS[0], metric, "rate_now"] = more / seconds
    if capacity is not None:
        planted[KERNELS[0], metric, "capacity"] = capacity
    (entry,) = read(planted, KERNELS[:1])
    assert stored is not None
    assert entry is not None
    live: dict[str, Any] = entry[metric]
    assert (stored.current, stored.unit_hint) == (live["current"], live["unit_hint"])
    assert (stored.capacity or "9223372036854775807") == live["capacity"]
    assert finite_number(stored.pct) == finite_number(live["pct"])
