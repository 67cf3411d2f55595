"""A real Prometheus reads what the builders write, over plain HTTP.

`/api/v1/query` must answer, and `/api/v1/format_query`, the server's own reading written out, must be the same query.
The two texts are compared through promql-parser, with sorted matchers, since the server sorts them when it writes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.prometheus_api import asking, assert_same_query
from tests.support.promql_expressions import expressions, is_grouped_by_the_parser

from statcore.promql import (
    Aggregation,
    Expression,
    Selector,
    render,
    utilization_query,
)
from statcore.queriers import LabelMatcher, UtilizationMetricQuerier
from statcore.testing.metrics.dataset import HOSTILE_VALUES, PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, plant_openmetrics
from statcore.testing.strategies import durations, label_matchers, label_names, label_values, metric_names, queriers

WORDS: Final = (
    *("and", "or", "unless", "atan2"),
    *("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile"),
    *("limitk", "limit_ratio", "offset", "smoothed", "anchored", "by", "on", "ignoring", "group_left"),
    *("group_right", "fill", "fill_left", "fill_right", "bool", "start", "end", "step", "range"),
    *("rate", "vector", "time", "infinity", "nan_", "x", "e", "_", "__", "a1"),
)
NEVER_GROUPED: Final = ("inf", "nan", "without")  # no text makes this server group by these labels

selectors: Final = st.builds(
    Selector,
    metric_names(),
    st.dictionaries(label_names(), label_values() | label_matchers(), max_size=4),
    offset=st.none() | durations(),
)


def test_every_querier_is_answered(start_prometheus: Callable[..., Server]) -> None:
    """The server reads the query with any window as promql-parser does."""
    with asking(start_prometheus()) as ask:

        @settings(max_examples=300)
        @given(queriers(), durations())
        def check(querier: UtilizationMetricQuerier, window: timedelta | str) -> None:
            text = render(utilization_query(querier, rate_interval=window))
            answer = ask("query", query=text)
            assert ("success", []) == (answer["status"], answer.get("data", {}).get("result")), (text, answer)
            assert_same_query(ask, text)

        check()


def test_every_expression_is_read(start_prometheus: Callable[..., Server]) -> None:
    """Offsets, subqueries and arithmetic, too; they are only read, since a subquery of years takes long to evaluate."""
    with asking(start_prometheus()) as ask:

        @settings(max_examples=300)
        @given(expressions(selectors, by=st.lists(label_names())))
        def check(expression: Expression) -> None:
            assert_same_query(ask, render(expression))

        check()


def test_words_of_the_language_are_names(start_prometheus: Callable[..., Server]) -> None:
    """They are read as a metric, a label, and a label to group by, in any case; only three labels cannot be grouped by."""
    with asking(start_prometheus()) as ask:
        for word in WORDS + NEVER_GROUPED:
            for name in (word, word.upper(), word.title()):
                by = [] if word in NEVER_GROUPED else [name]
                text = render(Aggregation("sum", Selector(name, {name: "x"}), by=by))
                assert "success" == ask("query", query=text)["status"], text
                if is_grouped_by_the_parser(word):
                    assert_same_query(ask, text)
        for word in NEVER_GROUPED:
            assert "bad_data" == ask("query", query=f"sum by ({word})(up)")["errorType"]


TIME: Final = 1_795_000_000


def planted_values() -> list[str]:
    """Return label values: every ASCII character, the hostile ones, and random Unicode of all planes."""
    chance = random.Random(4)  # noqa: S311 - the same in every run
    planes = [(0x20, 0x7F), (0x80, 0x2FFF), (0x3000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    anything = [
        "".join(chr(chance.randint(*chance.choice(planes))) for _ in range(chance.randint(1, 5))) for _ in range(200)
    ]
    return sorted({*map(chr, range(128)), *HOSTILE_VALUES, *anything, "a", "A", "a\\", 'a"', "a.", "a|b", "a\n", "ab"})


@pytest.fixture
def planted(tmp_path: Path, start_prometheus: Callable[..., Server]) -> tuple[Server, list[str]]:
    """A server with one series for each value, whose sample is the value's position."""
    values = planted_values()
    series = [PlantedSeries("planted", {"text": text}, [(TIME, float(number))]) for number, text in enumerate(values)]
    plant_openmetrics(tmp_path, openmetrics_text(series))
    return start_prometheus(tmp_path), values


def test_any_label_value_selects_exactly_its_series(planted: tuple[Server, list[str]]) -> None:
    """An exact match, `one_of`, whose escaped alternatives RE2 reads, and their negations select the right series."""
    server, values = planted
    with asking(server) as ask:

        def found(matcher: str | LabelMatcher) -> list[str]:
            answer = ask("query", query=render(Selector("planted", {"text": matcher})), time=str(TIME))
            assert "success" == answer["status"], (matcher, answer)
            numbers = {series["metric"]["text"]: int(series["value"][1]) for series in answer["data"]["result"]}
            assert [values[number] for number in numbers.values()] == list(numbers)
            return sorted(numbers)

        for value in values:
            assert [value] == found(value)
            assert [value] == found(LabelMatcher.one_of([value]))
            assert sorted({value, "a"}) == found(LabelMatcher.one_of([value, "a", "nobody has it"]))
        assert values[1:] == found(LabelMatcher.not_equal(values[0]))

        @settings(max_examples=200)
        @given(st.sets(st.sampled_from(values), min_size=1))
        def check(chosen: set[str]) -> None:
            assert sorted(chosen) == found(LabelMatcher.one_of(chosen))

        check()
