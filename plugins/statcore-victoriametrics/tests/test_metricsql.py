"""Expressions as MetricsQL, which VictoriaMetrics evaluates."""

from __future__ import annotations

import pytest

from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    Expression,
    HistogramQuantile,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.queriers import LabelMatcher
from statcore_victoriametrics.metricsql import metricsql_selector, metricsql_text

M = Selector("m", {"a": LabelMatcher.not_regex(".*")}, offset="1m")
WRITTEN = 'm{a!~"(.*)"}'


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (M, f"default_rollup({WRITTEN}[5m] offset 1m)"),
        (Call("rate", RangeSelector(M, "2m")), f"rate({WRITTEN}[2m] offset 1m)"),
        (Call("increase", RangeSelector(M, "2m")), f"increase_prometheus({WRITTEN}[2m] offset 1m)"),
        (
            Aggregation("max", Call("delta", Subquery(Selector("n"), "5m"))),
            "max(delta_prometheus((default_rollup(n[5m]))[5m:1m]))",
        ),
        (Aggregation("sum", M, ("b",)), f"sum by (b)(default_rollup({WRITTEN}[5m] offset 1m))"),
        (
            BinaryOperation("*", BinaryOperation("/", M, Selector("n")), Number(2)),
            f"(default_rollup({WRITTEN}[5m] offset 1m) / default_rollup(n[5m])) * 2.0",
        ),
        (
            Call("max_over_time", Subquery(Aggregation("sum", Selector("n")), "5m")),
            "max_over_time((sum(default_rollup(n[5m])))[5m:1m])",
        ),
        (
            HistogramQuantile(0.5, Aggregation("sum", Call("rate", RangeSelector(Selector("n"), "1m")), ("le",))),
            "histogram_quantile(0.5, sum by (le)(rate(n[1m])))",
        ),
    ],
)
def test_an_expression_in_metricsql(expression: Expression, expected: str) -> None:
    """Selectors have a lookback, subqueries a step, and increases their own window, however deep; all else stays."""
    assert expected == metricsql_text(expression)


def test_a_selector_keeps_its_other_matchers() -> None:
    """They are in order with the offset, and a label may recur."""
    labels: list[tuple[str, str | LabelMatcher]] = [
        ("a", "x"),
        ("b", LabelMatcher.regex(".*")),
        ("a", LabelMatcher.not_regex(".+")),
    ]
    assert 'm{a="x",b=~".*",a!~".+"} offset 5m' == metricsql_selector(Selector("m", labels, offset="5m")).text
