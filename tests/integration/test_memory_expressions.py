"""The memory adapter against a real Prometheus: random expressions, and known ones for each operator."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.differential import (
    BASE_MS,
    Planted,
    Samples,
    add_up,
    ask_prometheus,
    assert_equal,
    by_labels,
    drawn_cases,
    load_into_memory,
    load_into_prometheus,
    of_memory,
    semantics_of,
    time_range,
)

from statcore.errors import QueryRejectedError
from statcore.model import QueryTimeRange, format_duration
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Matching,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.promql.syntax import (
    AggregationOperator,
    ArithmeticOperator,
    BinaryOperator,
    ComparisonOperator,
    Function,
    SetOperator,
)
from statcore.queriers import LabelMatcher
from statcore.testing.servers import Server
from statcore_memory import MemoryMetrics

CASES: Final = 60
QUESTIONS: Final = 600
METRICS: Final = ("left", "right")
BOUNDS: Final = ("1", "+Inf", "", "0.5", "1.0", "2.5e0", "Inf", "-1", "x")
WINDOWS: Final = ("5m", "1m", "2m30s", "11m", "15s")
BY: Final = st.sets(st.sampled_from(["a", "b", "le", "case", "none"]), max_size=3)
GAPS: Final = (
    st.just(15_000),
    st.just(60_000),
    st.integers(13_500, 16_500),
    st.sampled_from([15_000, 60_000, 150_000, 300_000, 300_001, 420_000]),
)
# Whole numbers: how servers order a sum changes nothing in these.
GAUGE: Final = st.integers(-5, 20).map(float) | st.sampled_from([0.0, math.nan, math.inf, -math.inf])
STEPS: Final = st.integers(0, 40).map(float) | st.integers(-5, -1).map(float)
Case = dict[tuple[str, tuple[tuple[str, str], ...]], Samples]


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Draw the samples of a series: a counter that may be reset (a negative step), or a gauge."""
    is_counter = draw(st.booleans())
    point = st.tuples(draw(st.sampled_from(GAPS)), STEPS if is_counter else GAUGE)
    points = draw(st.lists(point, min_size=draw(st.sampled_from([30, 20, 1])), max_size=40))
    return add_up(BASE_MS + draw(st.sampled_from([0, 0, 30_000, 7_321])), points, is_counter=is_counter)


LABELS: Final = st.fixed_dictionaries(
    {"a": st.sampled_from(["", "x", "y"]), "b": st.sampled_from(["", "1"]), "le": st.sampled_from(BOUNDS)}
).map(lambda labels: tuple(sorted(labels.items())))


@st.composite
def case(draw: st.DrawFn) -> Case:
    """Draw label sets, and series with them; most sets are in both metrics, so that they match."""
    sets = draw(st.lists(LABELS, min_size=2, max_size=5, unique=True))
    return {
        (metric, labels): draw(samples())
        for labels in sets
        for metric in draw(st.sampled_from([METRICS, METRICS, METRICS, METRICS, METRICS[:1], METRICS[1:]]))
    }


def planted(cases: list[Case]) -> Iterator[Planted]:
    """Yield the series of all cases, each with its label `case`."""
    for number, case in enumerate(cases):
        for (name, labels), drawn in case.items():
            yield name, {"case": str(number), **dict(labels)}, drawn


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    """Draw a selector of the case."""
    labels: dict[str, Any] = {"case": str(draw(NUMBER_OF_CASE))}
    if draw(st.sampled_from([False] * 6 + [True])):
        labels[draw(st.sampled_from(["a", "le"]))] = draw(MATCHER)
    offset = draw(st.sampled_from([None, None, None, None, "15s", "1m", "5m"]))
    return Selector(draw(st.sampled_from(METRICS)), labels, offset=offset)


NUMBER_OF_CASE: Final = st.shared(st.integers(0, CASES - 1))
NUMBERS: Final = st.builds(Number, st.sampled_from([0, 1, 1, 3, -3, 0.5]))
MATCHER: Final = st.sampled_from([LabelMatcher.equal("x"), LabelMatcher.not_equal("+Inf"), LabelMatcher.regex("x|y|1")])


def expressions() -> st.SearchStrategy[Expression]:
    """Return a strategy for expressions over the case; the outermost operator or function is drawn evenly."""
    windows = st.sampled_from(WINDOWS)
    ranges = st.builds(RangeSelector, selectors(), windows)
    matchings = st.none() | st.builds(Matching, st.sampled_from(["on", "ignoring"]), BY)

    def with_sides(operator: BinaryOperator, inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        joined = st.builds(BinaryOperation, st.just(operator), inner, inner, matching=matchings)
        if operator in get_args(SetOperator):
            return joined
        return joined | st.builds(BinaryOperation, st.just(operator), inner, NUMBERS)

    def larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        return st.one_of(
            *(st.builds(Aggregation, st.just(operator), inner, by=BY) for operator in get_args(AggregationOperator)),
            *(
                st.builds(Call, st.just(function), ranges | st.builds(Subquery, inner, windows))
                for function in get_args(Function)
            ),
            *(with_sides(operator, inner) for operator in get_args(BinaryOperator)),
            st.builds(HistogramQuantile, st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), inner),
            st.builds(ConstantLabel, inner, st.sampled_from(["a", "b", "new"]), st.sampled_from(["x", "1", "$1"])),
        )

    calls = st.builds(Call, st.sampled_from(get_args(Function)), ranges)
    return larger(st.recursive(selectors() | calls, larger, max_leaves=2))


@attrs.frozen
class BothQuery:
    """A query for both backends."""

    promql: str
    time_range: QueryTimeRange


EXPRESSIONS: Final = expressions()


@st.composite
def queries(draw: st.DrawFn, cases: list[Case]) -> BothQuery:
    """Draw a query and a range near its samples."""
    near = draw(st.sampled_from([time for drawn in cases[draw(NUMBER_OF_CASE)].values() for time, _ in drawn]))
    start_ms = near + draw(st.sampled_from([0, 0, 15_000, 60_000, 150_000, 300_000]) | st.integers(-60_000, 60_000))
    step_ms = draw(st.sampled_from([1_000, 15_000, 60_000, 77_777]))
    between = time_range(start_ms, start_ms + step_ms * draw(st.sampled_from([0, 5, 20])), step_ms)
    return BothQuery(draw(EXPRESSIONS).text, between)


@attrs.frozen
class Both:
    """The memory adapter and a real server with the same samples."""

    memory: MemoryMetrics
    connection: HTTPConnection
    runner: asyncio.Runner

    def compare(self, query: BothQuery) -> int | None:
        """Compare both answers, over the range and at its end; return the number of series, or None where both refuse."""
        between = query.time_range
        start, end, step = between.start.isoformat(), between.end.isoformat(), format_duration(between.step)
        try:
            expected = ask_prometheus(self.connection, "query_range", query=query.promql, start=start, end=end, step=step)
        except QueryRejectedError:
            with pytest.raises(QueryRejectedError):
                self.runner.run(self.memory.query_range(query.promql, between))
            return None
        found = of_memory(self.runner.run(self.memory.query_range(query.promql, between)))
        assert_equal(expected, found, query)
        instant = ask_prometheus(self.connection, "query", query=query.promql, time=end)
        now = of_memory(self.runner.run(self.memory.query(query.promql, time=between.end)))
        assert_equal(by_labels(instant), by_labels(now), query)
        return len(expected)


@contextmanager
def both(series: Sequence[Planted], folder: Path, start: Callable[..., Server]) -> Iterator[Both]:
    """Load the series into a server and into the memory adapter with the semantics of its version."""
    load_into_prometheus(series, folder)
    server = start(folder)
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection, asyncio.Runner() as runner:
        yield Both(load_into_memory(series, semantics_of(connection)), connection, runner)


def test_random_expressions_of_random_series(tmp_path: Path, start_prometheus: Callable[..., Server]) -> None:
    """Any expression as text gives the same series and points, or is refused by both."""
    cases = drawn_cases(case(), CASES)
    answered = Counter[bool | None]()
    with both(list(planted(cases)), tmp_path, start_prometheus) as backends:

        @settings(max_examples=QUESTIONS)
        @given(queries(cases))
        def check(query: BothQuery) -> None:
            series = backends.compare(query)
            answered[None if series is None else series > 0] += 1

        check()
    assert answered[True] > QUESTIONS // 5, answered


def known_series() -> Iterator[Planted]:
    """Yield counters with resets, gauges with odd values, limits, gaps and histograms, every 15 s for twenty minutes."""
    times = [BASE_MS + 15_000 * number for number in range(81)]
    for a in ("x", "y"):
        yield "limit", {"a": a}, [(time, 10.0) for time in times]
        for b in ("1", "2"):
            labels = {"a": a, "b": b}
            step = float(len(a + b)) + (b == "2")
            yield "total", labels, [(time, step * (number % 30)) for number, time in enumerate(times)]
            values = [float(number % 13) for number in range(81)]
            values[7], values[20], values[33], values[40] = math.nan, math.inf, -math.inf, -1.5
            # None of `b="2"` for longer than the lookback.
            yield (
                "gauge",
                labels,
                [pair for pair in zip(times, values, strict=True) if b == "1" or pair[1] != 5 or a == "y"],
            )
        # None for longer than the lookback.
        yield "gap", {"a": a}, [(time, 1.0) for number, time in enumerate(times) if not 20 < number < 50]
    for kind, buckets in HISTOGRAMS.items():
        for le, count in buckets.items():
            name = "seconds_bucket"
            yield name, {"kind": kind, "le": le}, [(time, count * number) for number, time in enumerate(times)]


HISTOGRAMS: Final = {
    "usual": {"0.5": 2.0, "1": 6.0, "2.5": 7.0, "+Inf": 8.0},
    "empty": {"1": 0.0, "+Inf": 0.0},
    "below zero": {"-1": 4.0, "0": 6.0, "1": 8.0, "+Inf": 8.0},
    "all below zero": {"-2": 8.0, "+Inf": 8.0},
    "without infinity": {"1": 4.0, "2": 8.0},
    "infinity alone": {"+Inf": 8.0},
    "falling": {"1": 6.0, "2": 4.0, "3": 7.0, "+Inf": 8.0},
    "twice": {"1": 1.0, "1.0": 2.0, "1e0": 1.0, "2": 6.0, "Inf": 4.0, "+Inf": 4.0},
    "odd bounds": {"1": 2.0, "x": 9.0, " 2": 9.0, "1_0": 9.0, "1e999": 9.0, "+Inf": 4.0},
    "beyond": {"1": 2.0, "+Inf": 8.0},
}


def known_queries() -> Iterator[str]:
    """Yield expressions that distinguish every operator and function from the others."""
    for function in get_args(Function):
        yield f"{function}(total[1m])"
        yield f"{function}(total[5m] offset 2m)"
        yield f"{function}(gauge[3m])"
        yield f"{function}(gap[10m])"
        yield f"{function}((sum by (a)(total))[5m:])"
        yield f"sum({function}((gauge offset 1m)[2m30s:]))"
    for operator in get_args(AggregationOperator):
        yield f"{operator}(gauge)"
        yield f"{operator} by (a)(total)"
        yield f"{operator} by (a,__name__,none)(gauge)"
        yield f"{operator} by (a,__name__)(rate(total[1m]))"
    for operator in (*get_args(ArithmeticOperator), *get_args(ComparisonOperator)):
        for number in ("0.0", "3.0", "-1.5"):
            yield f"gauge {operator} {number}"
        yield f"total {operator} gauge"
        yield f"total {operator} on (a,b) gauge"
        yield f"sum by (a)(gauge) {operator} ignoring (b) limit"
        yield f"(sum by (a)(total) {operator} limit) + 1.0"
    for operator in get_args(SetOperator):
        yield f"gauge {operator} total > 3.0"
        yield f"gauge {operator} on (a) (limit offset 1m)"
        yield f'gauge {operator} ignoring (b) limit{{a="x"}}'
        yield f"gauge {operator} on () gap"
    for quantile in ("0.0", "0.2", "0.5", "0.75", "0.99", "1.0"):
        yield f"histogram_quantile({quantile}, seconds_bucket)"
        yield f"histogram_quantile({quantile}, rate(seconds_bucket[1m]))"
        yield f'histogram_quantile({quantile}, sum by (le)(seconds_bucket{{kind="usual"}}))'
    yield from ("limit offset 5m", "gap", 'label_replace(gauge, "c", "$$1", "", "")')
    yield 'label_replace(limit{a="x"}, "a", "z", "", "")'


REFUSED: Final = (
    "limit / on (a) gauge",
    "gauge - on (a) limit",
    "gauge >= on (a) gauge",
    'label_replace(gauge, "b", "1", "", "")',
    'sum(label_replace(limit, "a", "1", "", ""))',
    "max_over_time((gauge + on () gauge)[5m:])",
)


def test_every_operator_and_function(tmp_path: Path, start_prometheus: Callable[..., Server]) -> None:
    """Over known series, each expression gives the same series on both; both refuse the same ones."""
    between = time_range(BASE_MS - 30_000, BASE_MS + 1_600_000, 15_000)
    with both(list(known_series()), tmp_path, start_prometheus) as backends:
        without = [promql for promql in known_queries() if not backends.compare(BothQuery(promql, between))]
        refused = [promql for promql in REFUSED if backends.compare(BothQuery(promql, between)) is None]
    assert [] == without
    assert list(REFUSED) == refused
