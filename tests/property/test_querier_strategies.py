"""The Hypothesis strategies of queriers: what they draw keeps its contract and becomes PromQL that parses."""

from __future__ import annotations

import re
from datetime import timedelta

import promql_parser
from hypothesis import given

from statcore.errors import InputError
from statcore.model.text import check_text
from statcore.promql import Selector, render, utilization_query
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, MatchOperator, UtilizationMetricQuerier, resolve
from statcore.testing.strategies import (
    container_queriers,
    durations,
    hostile_texts,
    label_matchers,
    label_names,
    label_values,
    metric_names,
    queriers,
)


@given(label_values())
def test_a_label_value_is_text_that_can_be_sent(value: str) -> None:
    """It may be hostile, but has no lone surrogate."""
    assert value == check_text(value, what="a label value").encode().decode()


@given(hostile_texts())
def test_a_hostile_text_stays_in_its_place_or_cannot_be_sent(text: str) -> None:
    """It is never empty, and only a lone surrogate is refused."""
    assert text
    try:
        selector = Selector("up", {"x": text})
    except InputError:
        assert any("\ud800" <= character <= "\udfff" for character in text)
    else:
        parsed = promql_parser.parse(selector.text)
        assert isinstance(parsed, promql_parser.VectorSelector)
        assert [text] == [matcher.value for matcher in parsed.matchers.matchers]


@given(metric_names(), label_names())
def test_names_are_those_that_every_server_accepts(metric: str, label: str) -> None:
    """Classic names, and no label that servers reserve."""
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric)
    assert re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", label)


@given(label_matchers())
def test_a_matcher_is_one_of_the_four_and_its_regex_is_one(matcher: LabelMatcher) -> None:
    """Its regex is valid for Python, too."""
    assert matcher.operator in MatchOperator
    if matcher.operator in {MatchOperator.REGEX, MatchOperator.NOT_REGEX}:
        assert re.compile(matcher.value)


@given(container_queriers())
def test_a_container_is_grouped_by_what_it_is_filtered_by(querier: ContainerMetricQuerier) -> None:
    """Except by the metric name; a percentage reads two value types, and so filters by none."""
    assert {"container_metric_name", *querier.group_by_labels()} == set(querier.labels())
    assert (querier.value_type == "pct") == ("value_type" not in querier.labels())


@given(queriers(), durations())
def test_any_querier_resolves_and_renders(querier: UtilizationMetricQuerier, window: timedelta | str) -> None:
    """The labels stay in order, and an independent parser accepts the text."""
    assert list(querier.labels()) == list(resolve(querier).labels)
    assert promql_parser.parse(render(utilization_query(querier, rate_interval=window)))
