"""Expressions of statcore, written so that VictoriaMetrics reads them as Prometheus does: values in, text out."""

from __future__ import annotations

from typing import Any, Final, get_args

import attrs

from statcore.promql import Call, Expression, RangeSelector, Selector, Subquery
from statcore.queriers import LabelMatcher

LOOKBACK: Final = "5m"
"""How long a sample counts; left to itself the server guesses it from the distances between samples."""
RESOLUTION: Final = "1m"
"""The step of subqueries that name none; left to itself the server takes that of the query, which may be hours."""

_PARTS: Final = (*get_args(Expression), RangeSelector, Subquery)
# The server takes this one regex for "has no value", and any other that matches everything for what it is.
_MISREAD: Final = LabelMatcher.not_regex(".*")
_NOTHING: Final = LabelMatcher.not_regex("(.*)")
# By their own names these count the sample before the window, too, and from zero where a series begins.
_OF_THE_WINDOW_ALONE: Final = {"increase": "increase_prometheus", "delta": "delta_prometheus"}


@attrs.frozen
class _Written:
    """Text in the place of an expression."""

    text: str


def read_alike(expression: Expression) -> str:
    """Return text that the server reads as Prometheus would read the expression."""
    text: str = _rewritten(expression).text
    return text


def select_alike(selector: Selector) -> Selector:
    """Return a selector by which the server selects what Prometheus would select by this one."""
    labels = {name: _NOTHING if matcher == _MISREAD else matcher for name, matcher in selector.labels.items()}
    return Selector(selector.name, labels, offset=selector.offset)


def _rewritten(part: Any) -> Any:  # noqa: ANN401 - part of an expression, to what stands in its place
    match part:
        case Selector():
            # Unlike last_over_time it heeds the marks of series that ended.
            return _Written(f"default_rollup({RangeSelector(select_alike(part), LOOKBACK).text})")
        case RangeSelector(selector, window):
            return RangeSelector(select_alike(selector), window)
        case Subquery(expression, window):
            return _Written(f"({_rewritten(expression).text})[{window}:{RESOLUTION}]")
        case Call(function, argument) if function in _OF_THE_WINDOW_ALONE:
            return _Written(f"{_OF_THE_WINDOW_ALONE[function]}({_rewritten(argument).text})")
        case _:
            inner = {field.name: getattr(part, field.name) for field in attrs.fields(type(part)) if field.init}
            return attrs.evolve(
                part, **{name: _rewritten(value) for name, value in inner.items() if isinstance(value, _PARTS)}
            )
