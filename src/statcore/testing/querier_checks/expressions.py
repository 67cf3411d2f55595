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
from statcore.queriers.matcher import MatchOperator
from statcore.queriers.strategy import ResolvedQuerier
from statcore.testing.expectations import expect

_Part: TypeAlias = Expression | RangeSelector | Subquery | Number
_RATES: Final = ("rate", "irate", "increase", "delta")
"""Those that say how fast something changes; over what a mean or a maximum is taken may be part of its meaning."""
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
    """Return the windows that rates and changes are taken over."""
    calls = [part for part in parts(expression) if isinstance(part, Call)]
    return {call.argument.window for call in calls if call.function in _RATES}


def kept_labels(expression: _Part) -> frozenset[str] | None:
    """Return the labels of the answer's series, or None where only the series themselves tell.

    Raises:
        AssertionError: two sides of an operation have different labels, or such as cannot be told to be the same; an
            aggregation keeps what is not there any more; or there are no buckets for a quantile.
    """
    match expression:
        case Aggregation(expression=inner, by=by):
            kept = kept_labels(inner)
            if kept is not None and (gone := sorted(set(by) - kept)):
                raise AssertionError(f"{expression.text} keeps {', '.join(gone)}, which {inner.text} does not have")
            return frozenset(by)
        case Call(argument=inner) | Subquery(expression=inner) | BinaryOperation(left=inner, right=Number()):
            return kept_labels(inner)
        case HistogramQuantile(buckets=buckets):
            kept = kept_labels(buckets)
            if kept is not None and _BUCKET not in kept:
                raise AssertionError(f"{expression.text} has no buckets: the label {_BUCKET} is gone")
            return None if kept is None else kept - {_BUCKET}
        case BinaryOperation(left=left, right=right):
            kept = kept_labels(left)
            expect(kept, kept_labels(right), f"the labels of the right side in {expression.text} (None is all there are)")
            return kept
        case _:
            return None


def expect_answers(asked: ResolvedQuerier, expression: Expression) -> None:
    """Fail unless the answer's series have the labels grouped by, and every selector in it the querier's labels.

    They have the querier's matchers: of all the values, not of one. One may have a constant in the place of a matcher, as
    the capacity beside what is current, but not of a label that is grouped by, since then no two series would meet.
    """
    kept = kept_labels(expression)
    if kept is None:
        raise AssertionError(f"the answer has all labels of its series, since nothing is aggregated in {expression.text}")
    expect(frozenset(asked.group_by), kept, f"the labels of the answer to {expression.text}")
    selectors = [part for part in parts(expression) if isinstance(part, Selector)]
    for label, matcher in asked.labels.items():
        for selector in selectors:
            _expect_matched(asked, label, selector)
        if all(selector.labels[label] != matcher for selector in selectors):
            raise AssertionError(f"the label {label}, matched by {matcher!r:.200}, is not in {expression.text}")


def overridden(asked: ResolvedQuerier, expression: Expression) -> set[str]:
    """Return the querier's labels that have a matcher of the strategy's own somewhere."""
    selectors = [part for part in parts(expression) if isinstance(part, Selector)]
    labels = asked.labels
    return {label for label in labels if any(selector.labels.get(label) != labels[label] for selector in selectors)}


def _expect_matched(asked: ResolvedQuerier, label: str, selector: Selector) -> None:
    wanted, found = asked.labels[label], selector.labels.get(label)
    if found is None:
        raise AssertionError(
            f"the label {label}, matched by {wanted!r:.200}, is not in {selector.text}; what is to be matched in some"
            " selectors alone is none of the querier's labels, but the strategy's to add"
        )
    if found.value in wanted.alternatives:
        values = ", ".join(wanted.alternatives)
        raise AssertionError(f"{label} is to be any of {values}, and only one in {selector.text}")
    if label in asked.group_by and found != wanted and found.operator is MatchOperator.EQUAL:
        raise AssertionError(f"{label} is grouped by, and another value than {wanted!r:.200} matched in {selector.text}")
