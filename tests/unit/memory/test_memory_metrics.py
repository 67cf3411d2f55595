"""The metric backend in memory: what a scrape does, what is kept, what is refused; its promises are in the conformance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from statcore.errors import InputError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.promql import Aggregation, BinaryOperation, Number, Selector
from statcore.queriers import LabelMatcher, QueryStrategy
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics
from statcore_memory.evaluation import Utilization

NOW = 1_795_000_000.0
UP = FixedQuerier("up", group_by=["job"])


def at(time: float) -> datetime:
    """Return a time so many seconds after the first scrape."""
    return datetime.fromtimestamp(NOW + time, UTC)


def scrape(metrics: MemoryMetrics, time: float, /, *jobs: str, target: str = "t", value: float = 1.0) -> None:
    """Append a scrape that has `up` for some jobs, so many seconds after the first."""
    metrics.append_scrape([("up", {"job": job}, value) for job in jobs], target=target, time=NOW + time)


async def values(metrics: MemoryMetrics, time: float) -> dict[str, float]:
    """Return the value of each job at a time."""
    result = await metrics.query_utilization_now(UP, time=at(time))
    return {sample.labels.get("job", ""): sample.value for sample in result.samples}


async def points(metrics: MemoryMetrics, querier: FixedQuerier = UP, *, end: float, step: str = "1s") -> dict[float, float]:
    """Return the only series of a range from the first scrape on, by seconds since then."""
    result = await metrics.query_utilization(querier, QueryTimeRange(start=at(0), end=at(end), step=step))
    (series,) = result.series
    return {time - NOW: value for time, value in zip(series.timestamps, series.values, strict=True)}


async def test_a_series_ends_with_the_scrape_that_lacks_it() -> None:
    """What a target no longer has is gone at once, what another target has stays; it may come back."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 1, "other", target="u")
    scrape(metrics, 2, "b")
    assert {"a", "b", "other"} == set(await values(metrics, 1.999))
    assert {"b", "other"} == set(await values(metrics, 2))
    scrape(metrics, 3, "a", "b")
    assert {"a", "b", "other"} == set(await values(metrics, 3))
    assert {0.0, 1.0, 3.0} == set(await points(metrics, FixedQuerier("up", {"job": "a"}), end=3))


async def test_a_scrape_without_samples_ends_all_series_of_its_target() -> None:
    """A target that is down has no series any more."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 0, "other", target="u")
    scrape(metrics, 1)
    assert {"other": 1.0} == await values(metrics, 1)


async def test_a_series_moves_between_targets() -> None:
    """A series that another target has at that time or later does not end with its former target's scrape."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a")
    scrape(metrics, 5, "a", target="u")
    scrape(metrics, 3, target="t")
    assert {"a": 1.0} == await values(metrics, 4)
    with pytest.raises(InputError, match="not before"):
        scrape(metrics, 4, "a", target="v")


async def test_an_empty_label_is_no_label() -> None:
    """Labels with an empty value are left out, as a server does."""
    metrics = MemoryMetrics()
    metrics.append_scrape([("up", {"job": "", "a": "1"}, 1)], target="t", time=at(0))
    assert [{"__name__": "up", "a": "1"}] == await metrics.series(Selector("up"))


@pytest.mark.parametrize(
    ("samples", "time"),
    [
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "new"}, 2.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "new", "x": ""}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ('u"p', {}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("", {}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"a}": "x"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"a": "\ud800"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"__name__": "down"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, 1.0)], 0.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "other"}, 1.0)], 5.0),
        ([("up", {"job": str(number)}, 1.0) for number in range(10)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, None)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, 10**400)], 1.0),
        ([], 0.0),
        ([], -1.0),
        ([], float("nan")),
        ([], datetime(2026, 11, 22)),  # noqa: DTZ001 - a time without a zone is what is refused
    ],
)
async def test_a_bad_scrape_is_refused_as_a_whole(samples: list[tuple[str, dict[str, str], Any]], time: Any) -> None:
    """After a refused scrape everything is as before: nothing added, nothing ended."""
    metrics = MemoryMetrics(max_series=10)
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 5, "other", target="u")
    with pytest.raises(InputError):
        metrics.append_scrape(samples, target="t", time=time if isinstance(time, datetime) else NOW + time)
    assert {"a", "b", "other"} == set(await values(metrics, 5))
    scrape(metrics, 6, "a")
    assert {"a", "other"} == set(await values(metrics, 6))


async def test_samples_are_kept_for_the_retention() -> None:
    """What is older than the retention is gone, of series that go on and of such that ended."""
    metrics = MemoryMetrics(retention="10s")
    for second in range(21):
        scrape(metrics, second, *("a",) if second < 15 else ("b",))
    assert [10, *range(11, 21)] == sorted(await points(metrics, FixedQuerier("up"), end=20))
    assert [{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}] == await metrics.series(Selector("up"))
    scrape(metrics, 25, "b")
    assert [] == await metrics.series(Selector.equal("up", job="a"))
    assert ["b"] == await metrics.label_values("job")
    assert [15.0, 25.0] == [round(time) for time in await points(metrics, end=25) if time in {14.0, 15.0, 25.0}]


async def test_nothing_is_left_of_what_nobody_scrapes_any_more() -> None:
    """Series, names and targets beyond the retention are forgotten with the next scrape of any target."""
    metrics = MemoryMetrics(retention="1m")
    for number in range(100):
        metrics.append_scrape([(f"metric_{number}", {"a": str(number)}, 1.0)], target=str(number), time=NOW + number)
    tsdb = metrics._tsdb
    assert [61, 61, 61] == [len(tsdb._series), len(tsdb._by_name), len(tsdb._targets)]


@pytest.mark.parametrize("still_there", [("a",), ()])
async def test_what_goes_on_keeps_nothing_else(still_there: tuple[str, ...]) -> None:
    """What was scraped or ended more recently does not keep what was not, whichever was first."""
    metrics = MemoryMetrics(retention="1m")
    scrape(metrics, 0, "a")
    scrape(metrics, 1, "b", target="u")
    scrape(metrics, 50, *still_there)
    scrape(metrics, 100, *still_there)
    assert ["t"] == list(metrics._tsdb._targets)
    assert ["a"] == [series.labels["job"] for series in metrics._tsdb._series.values()]


async def test_ended_series_make_room() -> None:
    """New series beyond the bound take the place of those that ended first; without any, the scrape is refused."""
    metrics = MemoryMetrics(max_series=3)
    scrape(metrics, 0, "a", "b", "c")
    scrape(metrics, 1, "b", "c")
    scrape(metrics, 2, "c")
    scrape(metrics, 3, "c", "d")
    assert ["b", "c", "d"] == await metrics.label_values("job")
    scrape(metrics, 4, "b", "c")
    scrape(metrics, 5, "c", "e", "f")  # in place of d, which ended, and of b, which ends now
    assert ["c", "e", "f"] == await metrics.label_values("job")
    with pytest.raises(InputError, match="1 more than max_series=3"):
        scrape(metrics, 6, "x", target="u")
    scrape(metrics, 6, "c", "e")
    with pytest.raises(InputError, match="1 more than max_series=3"):
        scrape(metrics, 7, "c", "e", "f", "x")  # f ended, but is about to come back
    assert {"c", "e"} == set(await values(metrics, 7))


async def test_a_series_has_a_bounded_number_of_samples() -> None:
    """However often it is scraped, a series keeps a sample per second of the retention, and an hour's worth at least."""
    metrics = MemoryMetrics(retention="1h")
    for number in range(4_000):
        scrape(metrics, number / 10, "a", value=float(number))
    assert 3_600 == len(next(iter(metrics._tsdb._series.values())).times)
    assert [40.0, 41.0] == sorted(await points(metrics, end=41))
    assert 400.0 == (await points(metrics, end=41))[40.0]


async def test_now_is_the_clock() -> None:
    """Without a time the clock's is taken, to the millisecond."""
    metrics = MemoryMetrics(clock=lambda: NOW + 300.0004)
    scrape(metrics, 0, "a")
    result = await metrics.query_utilization_now(UP)
    assert [NOW + 300] == [sample.timestamp for sample in result.samples]


async def test_the_normalization_interval_divides() -> None:
    """`rate_normalized` divides the rate by the interval that the backend was made with."""
    metrics = MemoryMetrics(normalization_interval_s=2.5)
    for second in range(0, 61, 15):
        scrape(metrics, second, "a", value=second * 100.0)
    querier = FixedQuerier("up", strategy=QueryStrategy.RATE_NORMALIZED)
    result = await metrics.query_utilization_now(querier, time=at(60), rate_interval="1m")
    assert [40.0] == [sample.value for sample in result.samples]


async def test_sums_are_made_in_the_order_of_labels() -> None:
    """Floats are added series by series as a server adds them, whatever the order in which they were first scraped."""
    metrics = MemoryMetrics()
    for job, value in (("c", 1.0), ("a", 1e16), ("b", -1e16)):
        scrape(metrics, 0, job, target=job, value=value)
    result = await metrics.query_utilization_now(FixedQuerier("up"), time=at(0))
    assert [1.0] == [sample.value for sample in result.samples]


async def test_a_range_beyond_all_samples_costs_nothing() -> None:
    """Only points that can have a value are evaluated: three hundred years by the second are answered at once."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a")
    centuries = QueryTimeRange(start="1970-01-01T00:00:00Z", end="2270-01-01T00:00:00Z", step="1s")
    for querier, expected in ((UP, 301), (FixedQuerier("up", strategy=QueryStrategy.RATE), 0)):
        result = await metrics.query_utilization(querier, centuries)
        assert expected == sum(map(len, result.series))


async def test_big_queries_do_not_hold_the_event_loop() -> None:
    """Other tasks get their turn every few hundred points."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, *map(str, range(100)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    result = await metrics.query_utilization(UP, QueryTimeRange(start=at(0), end=at(255), step="1s"))
    others.cancel()
    assert 100 * 256 == sum(map(len, result.series))
    assert 90 < turns


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, 10, ["a", "b"]), (0, 4.999, ["a"]), (0.001, 5, ["b"]), (5, 5, ["b"]), (5.001, 99, []), (-9, -0.001, [])],
)
async def test_a_time_range_narrows_to_series_with_samples_in_it(start: float, end: float, found: list[str]) -> None:
    """Both ends are included; the mark that a series ended is no sample of it."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a")
    scrape(metrics, 5, "b")
    within = (at(start), at(end))
    assert found == await metrics.label_values("job", match=Selector("up"), time_range=within)
    assert found == await metrics.label_values("job", time_range=within)
    assert found == [labels["job"] for labels in await metrics.series(Selector("up"), time_range=within)]


async def test_a_series_may_go_while_it_is_asked_for() -> None:
    """A long query lets others run: what retention takes away meanwhile is absent from the rest of the answer."""
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
    assert found == sorted(found)
    assert 0 < len(found) < len(jobs)


async def test_series_are_the_callers_own() -> None:
    """Label sets are sorted copies."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "b", "a")
    for labels in await metrics.series(Selector("up", {"job": LabelMatcher.regex("a|b")})):
        dict.clear(labels)  # type: ignore[arg-type]
    assert [{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}] == await metrics.series(Selector("up"))


async def test_bad_selections_are_refused() -> None:
    """A label that cannot be one, a range that ends before it starts, and an offset."""
    metrics = MemoryMetrics()
    with pytest.raises(InputError, match="label"):
        await metrics.label_values('a"')
    with pytest.raises(InputError, match="before it starts"):
        await metrics.series(Selector("up"), time_range=(at(1), at(0)))
    with pytest.raises(UnsupportedError, match="up offset 5m"):
        await metrics.series(Selector("up", offset="5m"))


@pytest.mark.parametrize(
    "expression",
    [
        Selector("up"),
        Aggregation("avg", Selector("up")),
        BinaryOperation("*", Aggregation("sum", Selector("up")), Number(2)),
    ],
)
def test_other_expressions_are_unsupported(expression: Any) -> None:
    """What is no querier's expression is refused, not evaluated as if it were one."""
    with pytest.raises(UnsupportedError, match="up"):
        Utilization.of(expression)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("retention", value) for value in ("1x", "", 3600, None, timedelta(0), timedelta(microseconds=1))),
        *(("max_series", value) for value in (0, 1.5, "10", True)),
        *(("normalization_interval_s", value) for value in (0, -5.0, float("inf"), float("nan"), "5", True)),
    ],
)
def test_bad_settings_are_named(setting: str, value: Any) -> None:
    """A setting that cannot be one is refused by name."""
    with pytest.raises(InputError, match=setting):
        MemoryMetrics(**{setting: value})
