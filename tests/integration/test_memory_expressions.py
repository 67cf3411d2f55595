"""The memory adapter evaluates every expression as a real Prometheus does: random expressions over random series."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, get_args

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.integration.differential import (
    BASE_MS,
    Planted,
    Samples,
    ask_prometheus,
    assert_equal,
    load_into_memory,
    load_into_prometheus,
    loaded_ms,
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
from statcore.promql.syntax import AggregationOperator, BinaryOperator, Function, SetOperator
from statcore.queriers import LabelMatcher
from statcore.testing.servers import Server

CASES: Final = 60
QUESTIONS: Final = 600
METRICS: Final = ("left", "right")
BOUNDS: Final = ("", "0.5", "1", "1.0", "2.5e0", "+Inf", "Inf", "-1", "x")
WINDOWS: Final = ("15s", "1m", "2m30s", "5m", "11m")
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
    points = draw(st.lists(point, min_size=draw(st.sampled_from([1, 10, 25])), max_size=40))
    time, total, drawn = BASE_MS + draw(st.sampled_from([0, 0, 30_000, 7_321])), 0.0, Samples()
    for gap, number in points:
        time += gap
        total = total + number if number >= 0 else -number
        drawn.append((loaded_ms(time), total if is_counter else number))
    return drawn


LABELS: Final = st.fixed_dictionaries(
    {"a": st.sampled_from(["", "x", "y"]), "b": st.sampled_from(["", "1"]), "le": st.sampled_from(BOUNDS)}
).map(lambda labels: tuple(sorted(labels.items())))


@st.composite
def case(draw: st.DrawFn) -> Case:
    """Draw label sets, and series that have them: most of both metrics, so that they match."""
    sets = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    return {
        (metric, labels): draw(samples())
        for labels in sets
        for metric in draw(st.sampled_from([METRICS, METRICS, METRICS, METRICS[:1]]))
    }


def draw_cases() -> list[Case]:
    """Return the same random cases in every run."""
    cases: list[Case] = []

    @settings(max_examples=CASES, derandomize=True, database=None, phases=[Phase.generate])
    @given(case())
    def collect(case: Case) -> None:
        cases.append(case)

    collect()
    return cases


def planted(cases: list[Case]) -> Iterator[Planted]:
    """Yield the series of all cases, which the label `case` tells apart."""
    for number, case in enumerate(cases):
        for (name, labels), drawn in case.items():
            yield name, {"case": str(number), **dict(labels)}, drawn


@st.composite
def selectors(draw: st.DrawFn, case: int) -> Selector:
    """Draw a selector of a case."""
    labels: dict[str, Any] = {"case": str(case)}
    if draw(st.integers(0, 5)) == 0:
        labels[draw(st.sampled_from(["a", "le"]))] = draw(MATCHER)
    offset = draw(st.sampled_from([None, None, None, "15s", "1m", "5m"]))
    return Selector(draw(st.sampled_from(METRICS)), labels, offset=offset)


NUMBERS: Final = st.builds(Number, st.sampled_from([0, 1, 1, 3, -3, 0.5]))
MATCHER: Final = st.sampled_from([LabelMatcher.equal("x"), LabelMatcher.not_equal("+Inf"), LabelMatcher.regex("x|y|1")])


def expressions(case: int) -> st.SearchStrategy[Expression]:
    """Return expressions of every kind over the series of a case; outermost, each operator and function is as likely."""
    windows = st.sampled_from(WINDOWS)
    ranges = st.builds(RangeSelector, selectors(case), windows)
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
    return larger(st.recursive(selectors(case) | calls, larger, max_leaves=2))


@attrs.frozen
class Question:
    """What both are asked, in words that a failing test can show."""

    promql: str
    time_range: QueryTimeRange


@st.composite
def questions(draw: st.DrawFn, cases: list[Case]) -> tuple[Expression, Question]:
    """Draw an expression over one case, and a range that begins somewhere about its samples."""
    number = draw(st.integers(0, len(cases) - 1))
    near = draw(st.sampled_from([time for drawn in cases[number].values() for time, _ in drawn]))
    start_ms = near + draw(st.sampled_from([0, 0, 15_000, 60_000, 150_000, 300_000]) | st.integers(-60_000, 60_000))
    step_ms = draw(st.sampled_from([1_000, 15_000, 60_000, 77_777]))
    expression = draw(expressions(number))
    between = time_range(start_ms, start_ms + step_ms * draw(st.sampled_from([0, 5, 20])), step_ms)
    return expression, Question(expression.text, between)


def kinds_of(expression: object) -> set[str]:
    """Return the classes, operators and functions of all parts of an expression."""
    found = {type(expression).__name__}
    for field in attrs.fields(type(expression)) if attrs.has(type(expression)) else ():
        value = getattr(expression, field.name)
        if attrs.has(type(value)):
            found |= kinds_of(value)
        elif field.name in {"function", "operator", "modifier"}:
            found.add(value)
    return found


def test_random_expressions_of_random_series(tmp_path: Path, start_prometheus: Callable[..., Server]) -> None:
    """Ranges and instants of any expression, asked as text, give the same series with the same points, or are refused."""
    cases = draw_cases()
    load_into_prometheus(planted(cases), tmp_path)
    server = start_prometheus(tmp_path)
    answered, refused = Counter[str](), 0
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection, asyncio.Runner() as runner:
        memory = load_into_memory(planted(cases), semantics_of(connection))

        @settings(max_examples=QUESTIONS)
        @given(questions(cases))
        def check(asked: tuple[Expression, Question]) -> None:
            nonlocal refused
            expression, question = asked
            between = question.time_range
            start, end, step = between.start.isoformat(), between.end.isoformat(), format_duration(between.step)
            try:
                expected = ask_prometheus(connection, "query_range", query=question.promql, start=start, end=end, step=step)
            except QueryRejectedError:
                refused += 1
                with pytest.raises(QueryRejectedError):
                    runner.run(memory.query_range(question.promql, between))
                return
            assert_equal(expected, of_memory(runner.run(memory.query_range(question.promql, between))), question)
            expected = ask_prometheus(connection, "query", query=question.promql, time=end)
            now = of_memory(runner.run(memory.query(question.promql, time=between.end)))
            assert_equal(sorted(expected, key=labels_first), sorted(now, key=labels_first), question)
            if expected:
                answered.update(kinds_of(expression))

        check()
    assert refused
    every = {*get_args(Function), *get_args(AggregationOperator), "on", "ignoring", "+", "<", "and", "unless"}
    assert set() == every - set(answered), answered


def labels_first(series: tuple[list[tuple[str, str]], Any]) -> list[tuple[str, str]]:
    """Return what series are sorted by: servers answer instants in the order of their hash tables."""
    return series[0]
