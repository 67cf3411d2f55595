"""What can be told of an expression without a server: its selectors, its windows, the labels that its answer has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from statcore.promql.syntax import (
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
from statcore.queriers.strategy import ResolvedQuerier
from statcore.testing.expectations import expect

_Part: TypeAlias = Expression | RangeSelector | Subquery | Number
_RATES: Final = ("rate", "irate", "increase")
_BUCKET: Final = "le"


def parts(expression: _Part) -> Iterator[Selector | Call]:
    """Yield every selector and every call of a function in it."""
    match expression:
        case Selector():
            yield expression
        case RangeSelector(selector=selector):
            yield selector
        case Call(argument=argument):
            yield expression
            yield from parts(argument)
        case Aggregation(expression=inner) | Subquery(expression=inner) | HistogramQuantile(buckets=inner):
            yield from parts(inner)
        case BinaryOperation(left=left, right=right):
            yield from parts(left)
            yield from parts(right)
        case _:  # a number
            return


def rate_windows(expression: Expression) -> set[str]:
    """Return the windows that rates are taken over."""
    calls = [part for part in parts(expression) if isinstance(part, Call)]
    return {call.argument.window for call in calls if call.function in _RATES}


def kept_labels(expression: _Part) -> frozenset[str] | None:
    """Return the labels of the answer's series, or None where only the series themselves tell.

    Raises:
        AssertionError: two sides of an operation have different labels, or there are no buckets for a quantile.
    """
    match expression:
        case Aggregation(by=by):
            return frozenset(by)
        case Call(argument=inner) | Subquery(expression=inner) | BinaryOperation(left=inner, right=Number()):
            return kept_labels(inner)
        case HistogramQuantile(buckets=buckets):
            kept = kept_labels(buckets)
            if kept is not None and _BUCKET not in kept:
                raise AssertionError(f"{expression.text} has no buckets: the label {_BUCKET} is gone")
            return None if kept is None else kept - {_BUCKET}
        case BinaryOperation(left=left, right=right):
            kept, other = kept_labels(left), kept_labels(right)
            if kept is not None and other is not None:
                expect(kept, other, f"the labels of the right side in {expression.text}")
                return kept
        case _:
            pass
    return None


def expect_answers(asked: ResolvedQuerier, expression: Expression) -> None:
    """Fail unless the answer's series have the labels grouped by, and are selected by the matchers: of all, not of one."""
    kept = kept_labels(expression)
    if kept is not None:
        expect(frozenset(asked.group_by), kept, f"the labels of the answer to {expression.text}")
    selectors = [part for part in parts(expression) if isinstance(part, Selector)]
    for label, matcher in asked.labels.items():
        found = [selector.labels[label] for selector in selectors if label in selector.labels]
        if matcher not in found:
            raise AssertionError(f"the label {label}, matched by {matcher!r:.200}, is not in {expression.text}")
        if any(other.value in matcher.alternatives for other in found):
            values = ", ".join(matcher.alternatives)
            raise AssertionError(f"{label} is to be any of {values}, and only one in {expression.text}")
