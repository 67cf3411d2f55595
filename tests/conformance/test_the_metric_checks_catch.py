"""What the metric checks are there for: backends that answer wrongly, each failing its check."""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

import attrs
import pytest

from statcore.errors import QueryRejectedError
from statcore.model import MatrixResult, QueryTimeRange, Sample, Series, VectorResult
from statcore.queriers import LabelMatcher, MatchOperator, PercentOfCapacity, QueryStrategy, UtilizationMetricQuerier
from statcore.testing import metrics
from statcore.testing.metrics import MetricCheck, MetricDataset
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics

Query = Callable[..., Awaitable[Any]]
Points = Iterable[tuple[float, float]]
FIVE_MINUTES = timedelta(minutes=5)


def redrawn(result: Any, change: Callable[[Points], Points]) -> Any:
    """Return an answer with the points of each series, or each sample, changed."""
    if isinstance(result, VectorResult):
        pairs = [(s.labels, point) for s in result.samples for point in change([(s.timestamp, s.value)])]
        return VectorResult(samples=tuple(Sample(labels=labels, timestamp=t, value=v) for labels, (t, v) in pairs))
    series = [(one.labels, list(change(zip(one.timestamps, one.values, strict=True)))) for one in result.series]
    return MatrixResult(
        series=tuple(
            Series(labels=labels, timestamps=array("d", [t for t, _ in points]), values=array("d", [v for _, v in points]))
            for labels, points in series
        )
    )


def relabelled(result: Any, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Any:
    """Return an answer with the labels of each series or sample changed."""
    if isinstance(result, VectorResult):
        return VectorResult(samples=tuple(attrs.evolve(s, labels=change(s.labels)) for s in result.samples))
    return MatrixResult(series=tuple(attrs.evolve(s, labels=change(s.labels)) for s in result.series))


def asked_anew(querier: UtilizationMetricQuerier, **answers: Any) -> FixedQuerier:
    """Return a querier with some of its answers changed."""
    fixed = FixedQuerier(
        querier.name(), querier.labels(), group_by=querier.group_by_labels(), strategy=querier.query_strategy()
    )
    return attrs.evolve(fixed, **answers)


def rematched(querier: UtilizationMetricQuerier, change: Callable[[LabelMatcher], LabelMatcher]) -> FixedQuerier:
    """Return a querier with its matchers changed."""
    labels = {name: change(m) if isinstance(m, LabelMatcher) else m for name, m in querier.labels().items()}
    return asked_anew(querier, matchers=labels)


async def answers_the_next_sample(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """One later than is known."""
    return redrawn(await query(querier, *rest, **options), lambda points: [(t, v + 1) for t, v in points])


async def says_it_is_partial(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """Doubt where there is none."""
    return attrs.evolve(await query(*asked, **options), partial=True)


async def takes_nan_for_zero(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """No number becomes one."""
    result = await query(*asked, **options)
    return redrawn(result, lambda points: [(t, 0.0 if math.isnan(v) else v) for t, v in points])


async def rates_per_minute(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Sixty times too much."""
    factor = 1 if querier.query_strategy() is QueryStrategy.GAUGE else 60
    return redrawn(await query(querier, *rest, **options), lambda points: [(t, v * factor) for t, v in points])


async def ignores_the_window(_: Any, query: Query, *asked: Any, **_options: Any) -> Any:
    """Always five minutes."""
    return await query(*asked)


async def subtracts_for_a_rate(_: Any, query: Query, querier: Any, time_range: QueryTimeRange) -> Any:
    """Last minus first, which a reset makes negative."""
    gauge = asked_anew(querier, strategy=QueryStrategy.GAUGE)
    earlier = attrs.evolve(time_range, start=time_range.start - FIVE_MINUTES, end=time_range.end - FIVE_MINUTES)
    (first,), (last,) = (await query(gauge, earlier)).series, (await query(gauge, time_range)).series
    rates = array("d", [(b - a) / 300 for a, b in zip(first.values, last.values, strict=True)])
    return MatrixResult(series=(attrs.evolve(last, values=rates),))


async def divides_by_five(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """What was once taken for the interval of every agent."""
    result = await query(querier, *rest, **options)
    if querier.query_strategy() is not QueryStrategy.RATE_NORMALIZED or not isinstance(result, MatrixResult):
        return result
    fifths = [attrs.evolve(one, values=array("d", [value / 5 for value in one.values])) for one in result.series]
    return attrs.evolve(result, series=tuple(fifths))


async def forgets_the_kernels(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """A percentage counts whatever there is of either series, as two sums without matching would."""
    result = await query(querier, *rest, **options)
    if not isinstance(querier.query_strategy(), PercentOfCapacity):
        return result
    return attrs.evolve(result, samples=tuple(attrs.evolve(one, value=one.value * 2) for one in result.samples))


async def shows_the_raw_counter(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Where there is no rate."""
    result = await query(querier, *rest, **options)
    return (
        result if getattr(result, "series", ()) else await query(asked_anew(querier, strategy=QueryStrategy.GAUGE), *rest)
    )


async def rates_capacities(_: Any, query: Query, querier: Any, *rest: Any) -> Any:
    """The rate of a constant."""
    counted = querier.labels().get("container_metric_name") == "net_rx"
    return await query(asked_anew(querier, strategy=QueryStrategy.RATE_NORMALIZED) if counted else querier, *rest)


async def leaves_out_the_last_point(_: Any, query: Query, *asked: Any) -> Any:
    """As if the end were not included."""
    return redrawn(await query(*asked), lambda points: list(points)[:-1])


async def begins_a_step_late(_: Any, query: Query, querier: Any, time_range: QueryTimeRange) -> Any:
    """As if the start were not included."""
    late = min(time_range.start + time_range.step, time_range.end)
    return await query(querier, attrs.evolve(time_range, start=late))


async def asks_in_whole_seconds(_: Any, query: Query, querier: Any, *time_range: Any, time: Any = None) -> Any:
    """Milliseconds are cut off."""
    if time is None:
        return await query(querier, *time_range)
    return redrawn(
        await query(querier, time=time.replace(microsecond=0)), lambda points: [(time.timestamp(), v) for _, v in points]
    )


async def draws_on(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """A series that has ended keeps its last value."""
    result = await query(*asked, **options)
    if isinstance(result, VectorResult):
        return result
    step = asked[1].step.total_seconds()
    return redrawn(result, lambda points: [*(found := list(points)), (found[-1][0] + step, found[-1][1])])


async def looks_back_a_minute(_: Any, query: Query, *asked: Any, time: Any = None) -> Any:
    """Samples are gone too soon."""
    if time is None:
        return await query(*asked)
    result = await query(*asked, time=time)
    return result if (await query(*asked, time=time + timedelta(minutes=4))).samples else VectorResult(samples=())


async def answers_11000_points(_: Any, query: Query, *asked: Any) -> Any:
    """The rest is cut off."""
    return redrawn(await query(*asked), lambda points: list(points)[:11_000])


async def repeats_the_seam(_: Any, query: Query, *asked: Any) -> Any:
    """Two parts share a point."""
    return redrawn(await query(*asked), lambda points: [*(p := list(points))[:11_000], p[10_999], *p[11_000:]])


async def answers_as_of_now(_: Any, query: Query, *asked: Any, **_options: Any) -> Any:
    """Whatever time was given."""
    return await query(*asked)


async def shows_the_time_of_the_sample(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """Not the time that was asked about."""
    return redrawn(await query(*asked, **options), lambda points: [(t - 10, v) for t, v in points])


async def answers_as_of_an_hour_ago(_: Any, query: Query, *asked: Any) -> Any:
    """A clock that is slow."""
    return redrawn(await query(*asked), lambda points: [(t - 3_600, v) for t, v in points])


async def keeps_the_name(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """Summed up, and still called as before."""
    return relabelled(await query(*asked, **options), lambda labels: {"__name__": "x", **labels})


async def writes_absent_labels_as_empty(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """A label without a value."""
    return relabelled(await query(*asked, **options), lambda labels: {"user": "", **labels})


async def sums_nothing_up(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Every label is kept."""
    return await query(asked_anew(querier, group_by=["case", "user", "object"]), *rest, **options)


async def searches_for_regexes(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Anywhere in the value."""

    def unanchor(matcher: LabelMatcher) -> LabelMatcher:
        return LabelMatcher.regex(f".*(?:{matcher.value}).*") if matcher.operator is MatchOperator.REGEX else matcher

    return await query(rematched(querier, unanchor), *rest, **options)


async def takes_absent_for_unlike(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """A series without the label is never selected."""
    result = await query(querier, *rest, **options)
    return attrs.evolve(result, series=tuple(series for series in result.series if series.labels))


async def takes_values_for_patterns(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """The values of `one_of` are not escaped."""

    def unescape(matcher: LabelMatcher) -> LabelMatcher:
        return LabelMatcher.regex(matcher.value.replace("\\", ""))

    return await query(rematched(querier, unescape), *rest, **options)


async def tidies_line_ends(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    r"""`\r\n` becomes `\n`."""
    result = await query(*asked, **options)
    return relabelled(result, lambda labels: {name: text.replace("\r\n", "\n") for name, text in labels.items()})


async def refuses_what_does_not_exist(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """No series is an error."""
    result = await query(*asked, **options)
    if not getattr(result, "series", getattr(result, "samples", ())):
        raise QueryRejectedError("no such metric")
    return result


async def loses_the_agent(_: Any, query: Query, *asked: Any, **options: Any) -> Any:
    """One owner is missing."""
    result = await query(*asked, **options)
    return relabelled(result, lambda labels: {name: text for name, text in labels.items() if name != "agent_id"})


CAUGHT: list[tuple[MetricCheck, str, Callable[..., Any]]] = [
    (metrics.check_gauges_are_the_newest_sample, "query_", answers_the_next_sample),
    (metrics.check_gauges_are_the_newest_sample, "query_", says_it_is_partial),
    (metrics.check_values_are_exact, "query_utilization_now", takes_nan_for_zero),
    (metrics.check_values_are_exact, "query_", takes_nan_for_zero),
    (metrics.check_rates_are_per_second, "query_", rates_per_minute),
    (metrics.check_rates_survive_a_counter_reset, "query_", subtracts_for_a_rate),
    (metrics.check_rates_are_normalized_by_the_interval, "query_", divides_by_five),
    (metrics.check_percent_is_of_the_capacity, "query_", forgets_the_kernels),
    (metrics.check_one_sample_has_no_rate, "query_", shows_the_raw_counter),
    (metrics.check_one_sample_has_no_rate, "query_", ignores_the_window),
    (metrics.check_capacities_are_gauges, "query_", rates_capacities),
    (metrics.check_points_lie_on_the_grid, "query_", leaves_out_the_last_point),
    (metrics.check_points_lie_on_the_grid, "query_", begins_a_step_late),
    (metrics.check_times_are_kept_to_the_millisecond, "query_", asks_in_whole_seconds),
    (metrics.check_a_series_ends_after_the_lookback, "query_", draws_on),
    (metrics.check_a_series_ends_after_the_lookback, "query_", looks_back_a_minute),
    (metrics.check_long_ranges_are_answered_whole, "query_", answers_11000_points),
    (metrics.check_long_ranges_are_answered_whole, "query_", repeats_the_seam),
    (metrics.check_now_is_the_time_given, "query_", answers_as_of_now),
    (metrics.check_now_is_the_time_given, "query_", shows_the_time_of_the_sample),
    (metrics.check_now_is_the_present_by_default, "query_", answers_as_of_an_hour_ago),
    (metrics.check_group_by_keeps_those_labels_alone, "query_", keeps_the_name),
    (metrics.check_group_by_keeps_those_labels_alone, "query_", writes_absent_labels_as_empty),
    (metrics.check_group_by_keeps_those_labels_alone, "query_", sums_nothing_up),
    (metrics.check_matchers_select_as_documented, "query_", searches_for_regexes),
    (metrics.check_matchers_select_as_documented, "query_", takes_absent_for_unlike),
    (metrics.check_one_of_takes_values_literally, "query_", takes_values_for_patterns),
    (metrics.check_hostile_values_round_trip, "query_", tidies_line_ends),
    (metrics.check_no_series_is_an_empty_answer, "query_", refuses_what_does_not_exist),
    (metrics.check_queriers_of_containers_are_answered, "query_", loses_the_agent),
]


@pytest.mark.parametrize(("check", "prefix", "fault"), CAUGHT, ids=lambda part: getattr(part, "__name__", part))
async def test_a_backend_that_answers_wrongly_fails_its_check(
    check: MetricCheck,
    prefix: str,
    fault: Callable[..., Any],
    faulty: Any,
    right_metrics: tuple[MetricDataset, MemoryMetrics],
) -> None:
    """By an assertion, or by the error that it raises where none is due."""
    dataset, right = right_metrics
    with pytest.raises((AssertionError, QueryRejectedError)):
        await check(faulty(right, fault, prefix=prefix), dataset)


def test_every_check_of_answers_catches_something() -> None:
    """None is without a backend that fails it."""
    answers = ("values", "time", "selection")
    assert {check for check in metrics.CHECKS if check.__module__.endswith(answers)} == {check for check, *_ in CAUGHT}
