"""Checks of `statcore.testing.metrics`: each fails for a backend with a fault."""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, timedelta
from typing import Any

import attrs
import pytest
from tests.conformance.broken import (
    Broken,
    Fault,
    assert_listed_and_documented,
    closes_once,
    confuses_concurrent_calls,
    is_down,
    swallows_cancellation,
)

from statcore.errors import InputError, PluginError, QueryRejectedError, UnavailableError
from statcore.model import MatrixResult, QueryTimeRange, Sample, Series, VectorResult
from statcore.promql import Selector
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


def changed(querier: UtilizationMetricQuerier, **answers: Any) -> FixedQuerier:
    """Return a querier with some of its answers changed."""
    fixed = FixedQuerier(
        querier.name(), querier.labels(), group_by=querier.group_by_labels(), strategy=querier.query_strategy()
    )
    return attrs.evolve(fixed, **answers)


def rematched(querier: UtilizationMetricQuerier, change: Callable[[LabelMatcher], LabelMatcher]) -> FixedQuerier:
    """Return a querier with its matchers changed."""
    labels = {name: change(m) if isinstance(m, LabelMatcher) else m for name, m in querier.labels().items()}
    return changed(querier, matchers=labels)


async def answers_the_next_sample(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return values that are one too high."""
    return redrawn(await query(querier, *rest, **options), lambda points: [(t, v + 1) for t, v in points])


async def says_it_is_partial(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Report a partial result where nothing is missing."""
    return attrs.evolve(await query(*arguments, **options), partial=True)


async def takes_nan_for_zero(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Turn NaN into 0."""
    result = await query(*arguments, **options)
    return redrawn(result, lambda points: [(t, 0.0 if math.isnan(v) else v) for t, v in points])


async def rates_per_minute(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return rates that are 60 times too high."""
    factor = 1 if querier.query_strategy() is QueryStrategy.GAUGE else 60
    return redrawn(await query(querier, *rest, **options), lambda points: [(t, v * factor) for t, v in points])


async def ignores_the_window(_: Any, query: Query, *arguments: Any, **_options: Any) -> Any:
    """Always use the default window."""
    return await query(*arguments)


async def subtracts_for_a_rate(_: Any, query: Query, querier: Any, time_range: QueryTimeRange) -> Any:
    """Subtract the first value from the last, which a counter reset makes negative."""
    gauge = changed(querier, strategy=QueryStrategy.GAUGE)
    earlier = attrs.evolve(time_range, start=time_range.start - FIVE_MINUTES, end=time_range.end - FIVE_MINUTES)
    (first,), (last,) = (await query(gauge, earlier)).series, (await query(gauge, time_range)).series
    rates = array("d", [(b - a) / 300 for a, b in zip(first.values, last.values, strict=True)])
    return MatrixResult(series=(attrs.evolve(last, values=rates),))


async def divides_by_five(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Divide normalized rates by 5."""
    result = await query(querier, *rest, **options)
    if querier.query_strategy() is not QueryStrategy.RATE_NORMALIZED or not isinstance(result, MatrixResult):
        return result
    fifths = [attrs.evolve(one, values=array("d", [value / 5 for value in one.values])) for one in result.series]
    return attrs.evolve(result, series=tuple(fifths))


async def forgets_the_kernels(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return twice the percentage, as sums without matching would."""
    result = await query(querier, *rest, **options)
    if not isinstance(querier.query_strategy(), PercentOfCapacity):
        return result
    return attrs.evolve(result, samples=tuple(attrs.evolve(one, value=one.value * 2) for one in result.samples))


async def shows_the_raw_counter(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return the counter where there is no rate."""
    result = await query(querier, *rest, **options)
    return result if getattr(result, "series", ()) else await query(changed(querier, strategy=QueryStrategy.GAUGE), *rest)


async def rates_capacities(_: Any, query: Query, querier: Any, *rest: Any) -> Any:
    """Return the rate of a capacity, which is constant."""
    counted = querier.labels().get("container_metric_name") == "net_rx"
    return await query(changed(querier, strategy=QueryStrategy.RATE_NORMALIZED) if counted else querier, *rest)


async def leaves_out_the_last_point(_: Any, query: Query, *arguments: Any) -> Any:
    """Leave out the point at the end of the range."""
    return redrawn(await query(*arguments), lambda points: list(points)[:-1])


async def begins_a_step_late(_: Any, query: Query, querier: Any, time_range: QueryTimeRange) -> Any:
    """Leave out the point at the start of the range."""
    late = min(time_range.start + time_range.step, time_range.end)
    return await query(querier, attrs.evolve(time_range, start=late))


async def asks_in_whole_seconds(_: Any, query: Query, querier: Any, *time_range: Any, time: Any = None) -> Any:
    """Cut off the milliseconds of a time."""
    if time is None:
        return await query(querier, *time_range)
    return redrawn(
        await query(querier, time=time.replace(microsecond=0)), lambda points: [(time.timestamp(), v) for _, v in points]
    )


async def draws_on(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Return one more point after a series has ended."""
    result = await query(*arguments, **options)
    if isinstance(result, VectorResult):
        return result
    step = arguments[1].step.total_seconds()
    return redrawn(result, lambda points: [*(found := list(points)), (found[-1][0] + step, found[-1][1])])


async def looks_back_a_minute(_: Any, query: Query, *arguments: Any, time: Any = None) -> Any:
    """Return no value where the newest sample is a few minutes old."""
    if time is None:
        return await query(*arguments)
    result = await query(*arguments, time=time)
    return result if (await query(*arguments, time=time + timedelta(minutes=4))).samples else VectorResult(samples=())


async def answers_11000_points(_: Any, query: Query, *arguments: Any) -> Any:
    """Return only the first 11,000 points."""
    return redrawn(await query(*arguments), lambda points: list(points)[:11_000])


async def repeats_the_seam(_: Any, query: Query, *arguments: Any) -> Any:
    """Return the point at which two parts meet twice."""
    return redrawn(await query(*arguments), lambda points: [*(p := list(points))[:11_000], p[10_999], *p[11_000:]])


async def answers_as_of_now(_: Any, query: Query, *arguments: Any, **_options: Any) -> Any:
    """Ignore the given time."""
    return await query(*arguments)


async def shows_the_time_of_the_sample(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Return the time of the sample instead of the time of the query."""
    return redrawn(await query(*arguments, **options), lambda points: [(t - 10, v) for t, v in points])


async def answers_as_of_an_hour_ago(_: Any, query: Query, *arguments: Any) -> Any:
    """Return the values of an hour ago."""
    return redrawn(await query(*arguments), lambda points: [(t - 3_600, v) for t, v in points])


async def keeps_the_name(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Keep the metric name of aggregated series."""
    return relabelled(await query(*arguments, **options), lambda labels: {"__name__": "x", **labels})


async def writes_absent_labels_as_empty(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Return a label with an empty value where the label is missing."""
    return relabelled(await query(*arguments, **options), lambda labels: {"user": "", **labels})


async def sums_nothing_up(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Keep every label."""
    return await query(changed(querier, group_by=["case", "user", "object"]), *rest, **options)


async def searches_for_regexes(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Search for a regex anywhere in the value."""

    def unanchor(matcher: LabelMatcher) -> LabelMatcher:
        return LabelMatcher.regex(f".*(?:{matcher.value}).*") if matcher.operator is MatchOperator.REGEX else matcher

    return await query(rematched(querier, unanchor), *rest, **options)


async def takes_absent_for_unlike(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Select no series without the label."""
    result = await query(querier, *rest, **options)
    return attrs.evolve(result, series=tuple(series for series in result.series if series.labels))


async def takes_values_for_patterns(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
    """Do not escape the values of `one_of`."""

    def unescape(matcher: LabelMatcher) -> LabelMatcher:
        return LabelMatcher.regex(matcher.value.replace("\\", ""))

    return await query(rematched(querier, unescape), *rest, **options)


async def tidies_line_ends(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Turn CR LF into LF."""
    result = await query(*arguments, **options)
    return relabelled(result, lambda labels: {name: text.replace("\r\n", "\n") for name, text in labels.items()})


async def refuses_what_does_not_exist(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Raise where there is no series."""
    result = await query(*arguments, **options)
    if not getattr(result, "series", getattr(result, "samples", ())):
        raise QueryRejectedError("no such metric")
    return result


async def loses_the_agent(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Leave out the label of the agent."""
    result = await query(*arguments, **options)
    return relabelled(result, lambda labels: {name: text for name, text in labels.items() if name != "agent_id"})


Call = Callable[..., Awaitable[Any]]


async def gives_values_unsorted(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Return values in the reverse order."""
    return list(await call(*arguments, **options))[::-1]


async def gives_values_twice(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Return every value twice."""
    return sorted([*(values := await call(*arguments, **options)), *values])


async def ignores_match(_: Any, call: Call, label: str, **_options: Any) -> Any:
    """Ignore the selector."""
    return await call(label)


async def ignores_matchers(_: Any, call: Call, match: Selector, **options: Any) -> Any:
    """Use only the name of the selector."""
    return await call(Selector(match.name), **options)


async def ignores_the_time(_: Any, call: Call, *arguments: Any, match: Any = None, **_options: Any) -> Any:
    """Ignore the time range."""
    return await (call(*arguments) if match is None else call(*arguments, match=match))


async def trims_values(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Cut off spaces around values."""
    return sorted({value.strip() for value in await call(*arguments, **options)})


async def gives_series_without_a_name(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Leave out `__name__`."""
    return [
        {label: text for label, text in labels.items() if label != "__name__"}
        for labels in await call(*arguments, **options)
    ]


async def falls_back_to_five_minutes(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Use the default window where the window is not valid."""
    try:
        return await call(*arguments, **options)
    except InputError:
        return await call(*arguments)


async def lets_the_parser_fail(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Raise an exception that is not an error of statcore."""
    try:
        return await call(*arguments, **options)
    except InputError as error:
        raise RuntimeError(str(error)) from error


async def takes_any_zone_for_utc(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Take a time without a zone for UTC."""
    if "time" in options:
        options["time"] = options["time"].replace(tzinfo=UTC)
    return await call(*arguments, **options)


async def takes_any_zone_of_a_range_for_utc(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Take times of a range without a zone for UTC."""
    options["time_range"] = tuple(time.replace(tzinfo=UTC) for time in options["time_range"])
    return await call(*arguments, **options)


async def finds_nothing_by_a_hostile_name(_: Any, call: Call, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return an empty result for a name that is not valid."""
    try:
        return await call(querier, *rest, **options)
    except InputError:
        return MatrixResult(series=()) if rest else VectorResult(samples=())


async def blames_the_caller(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Raise `InputError` for a broken querier."""
    try:
        return await call(*arguments, **options)
    except PluginError as error:
        raise InputError(str(error)) from error


async def blames_no_method(_: Any, call: Call, *arguments: Any, **options: Any) -> Any:
    """Raise a `PluginError` that does not name the method."""
    try:
        return await call(*arguments, **options)
    except PluginError as error:
        raise PluginError(str(error)) from error


async def answers_broken_queriers(_: Any, call: Call, querier: Any, *rest: Any, **options: Any) -> Any:
    """Return an empty result for a broken querier."""
    try:
        return await call(querier, *rest, **options)
    except PluginError:
        return MatrixResult(series=()) if rest else VectorResult(samples=())


CAUGHT: dict[MetricCheck, list[tuple[str, Fault]]] = {
    metrics.check_gauges_are_the_newest_sample: [("query_", answers_the_next_sample), ("query_", says_it_is_partial)],
    metrics.check_values_are_exact: [("query_utilization_now", takes_nan_for_zero), ("query_", takes_nan_for_zero)],
    metrics.check_rates_are_per_second: [("query_", rates_per_minute)],
    metrics.check_rates_survive_a_counter_reset: [("query_", subtracts_for_a_rate)],
    metrics.check_rates_are_normalized_by_the_interval: [("query_", divides_by_five)],
    metrics.check_percent_is_of_the_capacity: [("query_", forgets_the_kernels)],
    metrics.check_one_sample_has_no_rate: [("query_", shows_the_raw_counter), ("query_", ignores_the_window)],
    metrics.check_capacities_are_gauges: [("query_", rates_capacities)],
    metrics.check_points_lie_on_the_grid: [("query_", leaves_out_the_last_point), ("query_", begins_a_step_late)],
    metrics.check_times_are_kept_to_the_millisecond: [("query_", asks_in_whole_seconds)],
    metrics.check_a_series_ends_after_the_lookback: [("query_", draws_on), ("query_", looks_back_a_minute)],
    metrics.check_long_ranges_are_answered_whole: [("query_", answers_11000_points), ("query_", repeats_the_seam)],
    metrics.check_now_is_the_time_given: [("query_", answers_as_of_now), ("query_", shows_the_time_of_the_sample)],
    metrics.check_now_is_the_present_by_default: [("query_", answers_as_of_an_hour_ago)],
    metrics.check_group_by_keeps_those_labels_alone: [
        ("query_", keeps_the_name),
        ("query_", writes_absent_labels_as_empty),
        ("query_", sums_nothing_up),
    ],
    metrics.check_matchers_select_as_documented: [("query_", searches_for_regexes), ("query_", takes_absent_for_unlike)],
    metrics.check_one_of_takes_values_literally: [("query_", takes_values_for_patterns)],
    metrics.check_hostile_values_round_trip: [("query_", tidies_line_ends)],
    metrics.check_no_series_is_an_empty_answer: [("query_", refuses_what_does_not_exist)],
    metrics.check_queriers_of_containers_are_answered: [("query_", loses_the_agent)],
    metrics.check_label_values_of_all_series: [
        ("label_values", gives_values_unsorted),
        ("label_values", gives_values_twice),
    ],
    metrics.check_label_values_can_be_narrowed: [("label_values", ignores_match)],
    metrics.check_label_values_keep_hostile_text: [("label_values", trims_values)],
    metrics.check_series_are_whole_label_sets: [("series", gives_series_without_a_name)],
    metrics.check_series_obey_matchers: [("series", ignores_matchers)],
    metrics.check_nothing_exists_a_day_earlier: [("label_values", ignores_the_time), ("series", ignores_the_time)],
    metrics.check_bad_rate_intervals_are_refused: [
        ("query_", falls_back_to_five_minutes),
        ("query_utilization_now", falls_back_to_five_minutes),
        ("query_", lets_the_parser_fail),
    ],
    metrics.check_bad_times_are_refused: [
        ("query_", takes_any_zone_for_utc),
        ("label_values", takes_any_zone_of_a_range_for_utc),
        ("series", takes_any_zone_of_a_range_for_utc),
    ],
    metrics.check_hostile_names_are_refused: [
        ("query_", finds_nothing_by_a_hostile_name),
        ("query_utilization_now", finds_nothing_by_a_hostile_name),
        ("label_values", lets_the_parser_fail),
    ],
    metrics.check_broken_queriers_are_named: [
        ("query_", blames_the_caller),
        ("query_", blames_no_method),
        ("query_utilization_now", answers_broken_queriers),
    ],
    metrics.check_ping_returns: [("ping", is_down)],
    metrics.check_concurrent_queries_get_their_own_answers: [("query_utilization_now", confuses_concurrent_calls)],
    metrics.check_cancelled_queries_leave_the_backend_usable: [("query_", swallows_cancellation)],
    metrics.check_closing_twice_is_allowed: [("aclose", closes_once)],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, and the fault."""


CASES = [(check, prefix, fault) for check, faults in CAUGHT.items() for prefix, fault in faults]


def test_every_check_catches_a_fault() -> None:
    """The table has each check, and no check is without a fault."""
    assert set(metrics.CHECKS) == {check for check, *_ in CASES}


def test_every_check_is_listed_and_documented() -> None:
    """No check of the package is left out or listed twice, and each has a docstring, which is its contract."""
    assert_listed_and_documented(metrics)


@pytest.mark.parametrize(("check", "prefix", "fault"), CASES, ids=lambda part: getattr(part, "__name__", part))
async def test_a_backend_with_a_fault_fails_its_check(
    check: MetricCheck, prefix: str, fault: Fault, right_metrics: tuple[MetricDataset, MemoryMetrics]
) -> None:
    """The check raises, by an assertion or because of what the backend did; `test_memory.py` has the right backend."""
    dataset, right = right_metrics
    broken: Any = Broken(right, fault, prefix=prefix)
    with pytest.raises((AssertionError, QueryRejectedError, UnavailableError)):
        await check(broken, dataset)
