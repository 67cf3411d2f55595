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


def drawing(change: Callable[[Points], Points]) -> Fault:
    """Return a fault that changes the points of each series."""
    return answering(lambda result, *_: redrawn(result, change))


def labelling(change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Fault:
    """Return a fault that changes the labels of each series."""
    return answering(lambda result, *_: relabelled(result, change))


def failing(error: type[Exception], instead: type[Exception]) -> Fault:
    """Return a fault that raises another error in place of one."""

    async def fault(_: Any, call: Query, *arguments: Any, **options: Any) -> Any:
        try:
            return await call(*arguments, **options)
        except error as caught:
            raise instead(str(caught)) from caught

    return fault


def finding_nothing(error: type[Exception]) -> Fault:
    """Return a fault that answers nothing in place of an error."""

    async def fault(_: Any, query: Query, querier: Any, *rest: Any, **options: Any) -> Any:
        try:
            return await query(querier, *rest, **options)
        except error:
            return MatrixResult(series=()) if rest else VectorResult(samples=())

    return fault


def unanchored(matcher: LabelMatcher) -> LabelMatcher:
    """Return a regex that is searched for anywhere in the value."""
    return LabelMatcher.regex(f".*(?:{matcher.value}).*") if matcher.operator is MatchOperator.REGEX else matcher


def unescaped(matcher: LabelMatcher) -> LabelMatcher:
    """Return the values of `one_of` without escapes."""
    return LabelMatcher.regex(matcher.value.replace("\\", ""))


def rated(querier: UtilizationMetricQuerier) -> UtilizationMetricQuerier:
    """Return a querier of the rate of a capacity, which is constant."""
    counted = querier.labels().get("container_metric_name") == "net_rx"
    return changed(querier, strategy=QueryStrategy.RATE_NORMALIZED) if counted else querier


def nameless(series: Iterable[Mapping[str, str]], *_: object) -> list[dict[str, str]]:
    """Return series without `__name__`."""
    return [{label: text for label, text in labels.items() if label != "__name__"} for labels in series]


def with_labels(result: MatrixResult, *_: object) -> MatrixResult:
    """Return the series that have labels."""
    return attrs.evolve(result, series=tuple(series for series in result.series if series.labels))


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


async def answers_as_of_now(_: Any, query: Query, *arguments: Any, **_options: Any) -> Any:
    """Ignore the given time."""
    return await query(*arguments)


async def refuses_what_does_not_exist(_: Any, query: Query, *arguments: Any, **options: Any) -> Any:
    """Raise where there is no series."""
    result = await query(*arguments, **options)
    if not getattr(result, "series", getattr(result, "samples", ())):
        raise QueryRejectedError("no such metric")
    return result


async def ignores_match(_: Any, call: Query, label: str, **_options: Any) -> Any:
    """Ignore the selector."""
    return await call(label)


async def ignores_the_time(_: Any, call: Query, *arguments: Any, match: Any = None, **_options: Any) -> Any:
    """Ignore the time range."""
    return await (call(*arguments) if match is None else call(*arguments, match=match))


async def takes_any_zone_for_utc(_: Any, call: Query, *arguments: Any, **options: Any) -> Any:
    """Take a time without a zone for UTC."""
    if "time" in options:
        options["time"] = options["time"].replace(tzinfo=UTC)
    return await call(*arguments, **options)


async def takes_any_zone_of_a_range_for_utc(_: Any, call: Query, *arguments: Any, **options: Any) -> Any:
    """Take times of a range without a zone for UTC."""
    options["time_range"] = tuple(time.replace(tzinfo=UTC) for time in options["time_range"])
    return await call(*arguments, **options)


async def falls_back_to_five_minutes(_: Any, call: Query, *arguments: Any, **options: Any) -> Any:
    """Use the default window where the window is not valid."""
    try:
        return await call(*arguments, **options)
    except InputError:
        return await call(*arguments)


def rounded(number: float) -> float:
    """Return a number with 10 digits, but for those too large to be rounded."""
    return float(f"{number:.10g}") if abs(number) < LARGEST_ROUNDED else number


LARGEST_ROUNDED = 1e300
ZERO_FOR_NAN = drawing(lambda points: [(t, 0.0 if math.isnan(v) else v) for t, v in points])

METHODS = ("query_utilization", "query_utilization_now", "label_values", "series")

CAUGHT: dict[MetricCheck, list[tuple[str, str, Fault]]] = {
    metrics.check_gauges_are_the_newest_sample: [
        ("query_", "values one too high", drawing(lambda points: [(t, v + 1) for t, v in points])),
        ("query_", "partial", answering(lambda result, *_: attrs.evolve(result, partial=True))),
        ("query_", "the name", labelling(lambda labels: {"__name__": "x", **labels})),
    ],
    metrics.check_values_are_exact: [
        ("query_utilization_now", "0 for NaN", ZERO_FOR_NAN),
        ("query_", "0 for NaN", ZERO_FOR_NAN),
        ("query_", "10 digits", drawing(lambda points: [(t, rounded(v)) for t, v in points])),
    ],
    metrics.check_rates_are_per_second: [("query_", "per minute", rates_per_minute)],
    metrics.check_rates_survive_a_counter_reset: [("query_", "last minus first", subtracts_for_a_rate)],
    metrics.check_rates_are_normalized_by_the_interval: [("query_", "a fifth", divides_by_five)],
    metrics.check_percent_is_of_the_capacity: [("query_", "twice as much", forgets_the_kernels)],
    metrics.check_one_sample_has_no_rate: [
        ("query_", "the raw counter", shows_the_raw_counter),
        ("query_", "default window", ignores_the_window),
    ],
    metrics.check_capacities_are_gauges: [("query_", "a rate", calling(rated))],
    metrics.check_points_lie_on_the_grid: [
        ("query_", "a second late", drawing(lambda points: [(t + 1, v) for t, v in points])),
        ("query_", "no last point", drawing(lambda points: list(points)[:-1])),
        ("query_", "no first point", begins_a_step_late),
    ],
    metrics.check_times_are_kept_to_the_millisecond: [("query_", "whole seconds", asks_in_whole_seconds)],
    metrics.check_a_series_ends_after_the_lookback: [
        ("query_", "a point more", draws_on),
        ("query_", "a minute", looks_back_a_minute),
    ],
    metrics.check_long_ranges_are_answered_whole: [
        ("query_", "11,000 points", drawing(lambda points: list(points)[:11_000])),
        ("query_", "the seam twice", drawing(lambda points: [*(p := list(points))[:11_000], p[10_999], *p[11_000:]])),
    ],
    metrics.check_now_is_the_time_given: [
        ("query_", "now", answers_as_of_now),
        ("query_", "time of the sample", drawing(lambda points: [(t - 10, v) for t, v in points])),
        ("query_", "whole seconds", drawing(lambda points: [(t // 1, v) for t, v in points])),
        ("query_", "partial", answering(lambda result, *_: attrs.evolve(result, partial=True))),
    ],
    metrics.check_now_is_the_present_by_default: [
        ("query_", "an hour ago", drawing(lambda points: [(t - 3_600, v) for t, v in points]))
    ],
    metrics.check_group_by_keeps_those_labels_alone: [
        ("query_", "the name", labelling(lambda labels: {"__name__": "x", **labels})),
        ("query_", "empty labels", labelling(lambda labels: {"user": "", **labels})),
        ("query_", "every label", calling(lambda querier: changed(querier, group_by=["case", "user", "object"]))),
    ],
    metrics.check_matchers_select_as_documented: [
        ("query_", "unanchored", calling(lambda querier: rematched(querier, unanchored))),
        ("query_", "no series without labels", answering(with_labels)),
    ],
    metrics.check_one_of_takes_values_literally: [
        ("query_", "unescaped", calling(lambda querier: rematched(querier, unescaped)))
    ],
    metrics.check_hostile_values_round_trip: [
        (
            "query_",
            "LF for CR LF",
            labelling(lambda labels: {name: text.replace("\r\n", "\n") for name, text in labels.items()}),
        )
    ],
    metrics.check_no_series_is_an_empty_answer: [("query_", "an error", refuses_what_does_not_exist)],
    metrics.check_queriers_of_containers_are_answered: [
        (
            "query_",
            "no agent",
            labelling(lambda labels: {name: text for name, text in labels.items() if name != "agent_id"}),
        )
    ],
    metrics.check_label_values_of_all_series: [
        ("label_values", "the first alone", answering(lambda values, *_: list(values)[:1])),
        ("label_values", "unsorted", answering(lambda values, *_: list(values)[::-1])),
        ("label_values", "twice", answering(lambda values, *_: sorted([*values, *values]))),
    ],
    metrics.check_label_values_can_be_narrowed: [("label_values", "no selector", ignores_match)],
    metrics.check_label_values_keep_hostile_text: [
        ("label_values", "trimmed", answering(lambda values, *_: sorted({value.strip() for value in values})))
    ],
    metrics.check_series_are_whole_label_sets: [
        ("series", "no name", answering(nameless)),
        ("series", "at most 20", answering(lambda series, *_: list(series)[:20])),
    ],
    metrics.check_series_obey_matchers: [("series", "no matchers", calling(lambda match: Selector(match.name)))],
    metrics.check_nothing_exists_a_day_earlier: [
        ("label_values", "any time", ignores_the_time),
        ("series", "any time", ignores_the_time),
    ],
    metrics.check_bad_rate_intervals_are_refused: [
        ("query_", "default window", falls_back_to_five_minutes),
        ("query_utilization_now", "default window", falls_back_to_five_minutes),
        ("query_", "a foreign error", failing(InputError, RuntimeError)),
    ],
    metrics.check_bad_times_are_refused: [
        ("query_", "UTC without a zone", takes_any_zone_for_utc),
        ("label_values", "UTC without a zone", takes_any_zone_of_a_range_for_utc),
        ("series", "UTC without a zone", takes_any_zone_of_a_range_for_utc),
    ],
    metrics.check_hostile_names_are_refused: [
        ("query_", "an empty answer", finding_nothing(InputError)),
        ("query_utilization_now", "an empty answer", finding_nothing(InputError)),
        ("label_values", "a foreign error", failing(InputError, RuntimeError)),
    ],
    metrics.check_broken_queriers_are_named: [
        ("query_", "InputError", failing(PluginError, InputError)),
        ("query_", "no method", failing(PluginError, PluginError)),
        ("query_utilization_now", "an empty answer", finding_nothing(PluginError)),
    ],
    metrics.check_ping_returns: [("ping", "down", is_down)],
    metrics.check_concurrent_queries_get_their_own_answers: [
        (method, "confused", confuses_concurrent_calls) for method in METHODS
    ],
    metrics.check_cancelled_queries_leave_the_backend_usable: [
        *((method, "no CancelledError", swallows_cancellation) for method in METHODS),
        *((method, "the reply of a cancelled call", keeps_the_reply_of_a_cancelled_call) for method in METHODS),
    ],
    metrics.check_closing_twice_is_allowed: [("aclose", "closes once", closes_once)],
}
"""Each check, and the faults that it must catch: a prefix of the methods that have the fault, its name, and the fault."""


def test_every_check_catches_a_fault() -> None:
    """The table has each check of the package, which lists each once; the docstring of a check is its contract."""
    assert_each_is_listed_documented_and_caught(metrics, CAUGHT)


@pytest.mark.parametrize(("check", "prefix", "fault"), cases(CAUGHT))
async def test_a_backend_with_a_fault_fails_its_check(
    check: MetricCheck, prefix: str, fault: Fault, right_metrics: tuple[MetricDataset, MemoryMetrics]
) -> None:
    """The check raises, by an assertion or by an error of statcore from the backend; `test_memory.py` has the right one."""
    dataset, right = right_metrics
    broken: Any = Broken(right, fault, prefix=prefix)
    with pytest.raises((AssertionError, QueryRejectedError, UnavailableError)):
        await check(broken, dataset)
