"""Expressions of statcore as text in MetricsQL that VictoriaMetrics evaluates as Prometheus evaluates the expression."""

from __future__ import annotations

from typing import Final

from statcore.promql import Call, Part, RangeSelector, Selector, Subquery
from statcore.queriers import LabelMatcher

LOOKBACK: Final = "5m"
"""How long a sample counts as the current value; without it the server guesses from the distances between samples."""
RESOLUTION: Final = "1m"
"""The step of a subquery without a step; the server would use the step of the query, which may be hours."""

# The server reads this regex as "has no value", but evaluates any other regex that matches everything correctly.
_MISREAD: Final = LabelMatcher.not_regex(".*")
_NOTHING: Final = LabelMatcher.not_regex("(.*)")
# Under their names in Prometheus these include the sample before the window, and count from zero where a series begins.
_FUNCTIONS: Final = {"increase": "increase_prometheus", "delta": "delta_prometheus"}


def metricsql_text(expression: Part) -> str:
    """Return an expression as text in MetricsQL."""
    match expression:
        case Selector() as selector:
            # Unlike last_over_time, default_rollup ends at the staleness marker of a series that ended.
            return f"default_rollup({RangeSelector(metricsql_selector(selector), LOOKBACK).text})"
        case RangeSelector(selector=selector, window=window):
            return RangeSelector(metricsql_selector(selector), window).text
        case Subquery(expression=inside, window=window):
            return f"({metricsql_text(inside)})[{window}:{RESOLUTION}]"
        case Call(function=function, argument=argument) if function in _FUNCTIONS:
            return f"{_FUNCTIONS[function]}({metricsql_text(argument)})"
        case _:
            return expression.write(metricsql_text)


def metricsql_selector(selector: Selector) -> Selector:
    """Return a selector with which VictoriaMetrics selects the series that `selector` selects in Prometheus."""
    matchers = [(label, _NOTHING if matcher == _MISREAD else matcher) for label, matcher in selector.matchers]
    return Selector(selector.name, matchers, offset=selector.offset)
