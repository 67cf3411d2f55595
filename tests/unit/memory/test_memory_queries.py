"""Queries of the memory backend: times, ranges, selections and turns; tests/conformance has its promises."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.turns import counting_turns
from tests.unit.memory.scrapes import NOW, UP, at, scrape

from statcore.errors import InputError, QueryRejectedError
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore.queriers import LabelMatcher, QueryStrategy
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics


async def test_now_is_the_clock() -> None:
    """The default time is the clock's, to the millisecond."""
    metrics = MemoryMetrics(clock=lambda: NOW + 299.0004)
    scrape(metrics, 0, "a")
    result = await metrics.query_utilization_now(UP)
    assert [NOW + 299] == [sample.timestamp for sample in result.samples]


async def test_the_normalization_interval_divides() -> None:
    """`rate_normalized` divides the rate by the interval that the backend was made with."""
    metrics = MemoryMetrics(normalization_interval_s=2.5)
    for second in range(0, 61, 15):
        scrape(metrics, second, "a", value=second * 100.0)
    querier = FixedQuerier("up", strategy=QueryStrategy.RATE_NORMALIZED)
    result = await metrics.query_utilization_now(querier, time=at(60), rate_interval="1m")
    assert [pytest.approx(40.0)] == [sample.value for sample in result.samples]


async def test_sums_are_made_in_the_order_of_labels() -> None:
    """Floats are added in the order of a server, not in the order of their first scrapes."""
    metrics = MemoryMetrics()
    for job, value in (("c", 1.0), ("a", 1e16), ("b", -1e16)):
        scrape(metrics, 0, job, target=job, value=value)
    result = await metrics.query_utilization_now(FixedQuerier("up"), time=at(0))
    assert [1.0] == [sample.value for sample in result.samples]


async def test_a_range_beyond_all_samples_costs_nothing() -> None:
    """Only points that can have a value are evaluated: three hundred years by the second take no time."""
    metrics = MemoryMetrics(max_range_points=10**10)
    scrape(metrics, 0, "a")
    centuries = QueryTimeRange(start="1970-01-01T00:00:00Z", end="2270-01-01T00:00:00Z", step="1s")
    for querier, expected in ((UP, 300), (FixedQuerier("up", strategy=QueryStrategy.RATE), 0)):
        result = await metrics.query_utilization(querier, centuries)
        assert expected == sum(map(len, result.series))


async def test_a_range_of_too_many_points_is_refused() -> None:
    """The error names the setting and a step that would do; a range of as many points as allowed is answered."""
    metrics = MemoryMetrics(max_range_points=61)
    scrape(metrics, 0, "a")
    with pytest.raises(InputError, match=r"^62 points are too many: max_range_points is 61; take a step of 2s or more"):
        await metrics.query_utilization(UP, QueryTimeRange(start=NOW, end=NOW + 61, step="1s"))
    result = await metrics.query_utilization(UP, QueryTimeRange(start=NOW, end=NOW + 60, step="1s"))
    assert [61] == [len(series) for series in result.series]


async def test_big_queries_do_not_hold_the_event_loop() -> None:
    """Other tasks run every few hundred points."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, *map(str, range(100)))
    query = metrics.query_utilization(UP, QueryTimeRange(start=at(0), end=at(255), step="1s"))
    async with counting_turns() as turns:
        result = await query
    assert 100 * 256 == sum(map(len, result.series))
    assert 90 < turns.count


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, 10, ["a", "b"]), (0, 4.999, ["a"]), (0.001, 5, ["b"]), (5, 5, ["b"]), (5.001, 99, []), (-9, -0.001, [])],
)
async def test_a_time_range_narrows_to_series_with_samples_in_it(start: float, end: float, found: list[str]) -> None:
    """Both ends are included; a staleness mark is no sample."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a")
    scrape(metrics, 5, "b")
    within = (at(start), at(end))
    assert found == await metrics.label_values("job", match=Selector("up"), time_range=within)
    assert found == await metrics.label_values("job", time_range=within)
    assert found == [labels["job"] for labels in await metrics.series(Selector("up"), time_range=within)]


async def test_a_series_may_be_removed_during_a_query() -> None:
    """Other tasks run during a long query; series that retention removes meanwhile are absent from the rest."""
    metrics = MemoryMetrics()
    jobs = [str(number) for number in range(50)]
    scrape(metrics, 0, *jobs)
    scrape(metrics, 1)
    every = FixedQuerier("up", group_by=["job"])
    query = asyncio.create_task(metrics.query_utilization(every, QueryTimeRange(start=at(0), end=at(300), step="1s")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    metrics.append_scrape([("other", {}, 1.0)], target="u", time=NOW + 3_600.5)
    assert [] == await metrics.series(Selector("up"))
    found = [series.labels["job"] for series in (await query).series]
    assert sorted(found) == found
    assert 0 < len(found) < len(jobs)


async def test_series_are_the_callers_own() -> None:
    """Label sets are sorted copies."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "b", "a")
    for labels in await metrics.series(Selector("up", {"job": LabelMatcher.regex("a|b")})):
        dict.clear(labels)  # type: ignore[arg-type]
    assert [{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}] == await metrics.series(Selector("up"))


async def test_bad_selections_are_refused() -> None:
    """Ranges that end before they start, and offsets are refused as by a server."""
    metrics = MemoryMetrics()
    with pytest.raises(InputError, match="before it starts"):
        await metrics.series(Selector("up"), time_range=(at(1), at(0)))
    with pytest.raises(QueryRejectedError, match="up offset 5m"):
        await metrics.series(Selector("up", offset="5m"))
