"""Expressions of statcore as text that VictoriaMetrics evaluates as Prometheus would."""

from __future__ import annotations

from typing import Final

from statcore.promql import Call, Part, RangeSelector, Selector, Subquery
from statcore.queriers import LabelMatcher

LOOKBACK: Final = "5m"
"""How long a sample counts; without it the server guesses from the distances between samples."""
RESOLUTION: Final = "1m"
"""The step of subqueries that have none; without it the server uses the step of the query, which may be hours."""

# The server reads this regex as "has no value", but evaluates any other regex that matches everything correctly.
_MISREAD: Final = LabelMatcher.not_regex(".*")
_NOTHING: Final = LabelMatcher.not_regex("(.*)")
# Under their own names these include the sample before the window, and count from zero where a series begins.
_OF_THE_WINDOW_ALONE: Final = {"increase": "increase_prometheus", "delta": "delta_prometheus"}


def read_alike(expression: Part) -> str:
    """Return text that the server reads as Prometheus would read the expression."""
    match expression:
        case Selector() as selector:
            # Unlike last_over_time it stops at the markers of series that ended.
            return f"default_rollup({RangeSelector(select_alike(selector), LOOKBACK).text})"
        case RangeSelector(selector=selector, window=window):
            return RangeSelector(select_alike(selector), window).text
        case Subquery(expression=inside, window=window):
            return f"({read_alike(inside)})[{window}:{RESOLUTION}]"
        case Call(function=function, argument=argument) if function in _OF_THE_WINDOW_ALONE:
            return f"{_OF_THE_WINDOW_ALONE[function]}({read_alike(argument)})"
        case _:
            return expression.write(read_alike)


def select_alike(selector: Selector) -> Selector:
    """Return a selector with which the server selects what Prometheus would select with the given one."""
    matchers = [(label, _NOTHING if matcher == _MISREAD else matcher) for label, matcher in selector.matchers]
    return Selector(selector.name, matchers, offset=selector.offset)
