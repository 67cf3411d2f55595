"""The Hypothesis strategies of queriers: what they draw keeps its contract and becomes PromQL that parses."""

from __future__ import annotations

import re

from hypothesis import given

from statcore.model.text import check_text
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, MatchOperator
from statcore.testing.strategies import (
    container_queriers,
    label_matchers,
    label_names,
    label_values,
    metric_names,
)


@given(label_values())
def test_a_label_value_is_text_that_can_be_sent(value: str) -> None:
    """It may be hostile, but has no lone surrogate."""
    assert value == check_text(value, what="a label value").encode().decode()


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
