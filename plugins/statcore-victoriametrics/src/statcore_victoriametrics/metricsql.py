"""Expressions of statcore, written so that VictoriaMetrics reads them as Prometheus does: values in, text out."""

from __future__ import annotations

from typing import Final

from statcore.promql import Call, Part, RangeSelector, Selector, Subquery
from statcore.queriers import LabelMatcher

LOOKBACK: Final = "5m"
"""How long a sample counts; left to itself the server guesses it from the distances between samples."""
RESOLUTION: Final = "1m"
"""The step of subqueries that name none; left to itself the server takes that of the query, which may be hours."""

# The server takes this one regex for "has no value", and any other that matches everything for what it is.
_MISREAD: Final = LabelMatcher.not_regex(".*")
_NOTHING: Final = LabelMatcher.not_regex("(.*)")
# By their own names these count the sample before the window, too, and from zero where a series begins.
_OF_THE_WINDOW_ALONE: Final = {"increase": "increase_prometheus", "delta": "delta_prometheus"}


def read_alike(expression: Part) -> str:
    """Return text that the server reads as Prometheus would read the expression."""
    match expression:
        case Selector() as selector:
            # Unlike last_over_time it heeds the marks of series that ended.
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
    """Return a selector by which the server selects what Prometheus would select by this one."""
    labels = {name: _NOTHING if matcher == _MISREAD else matcher for name, matcher in selector.labels.items()}
    return Selector(selector.name, labels, offset=selector.offset)
