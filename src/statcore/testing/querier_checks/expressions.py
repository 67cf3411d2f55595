"""Facts about an expression that need no server: its selectors, its windows, the labels of its answer."""

from __future__ import annotations

from typing import Final, get_args

from statcore.promql.syntax import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Number,
    Part,
    SetOperator,
    Subquery,
    parts_in,
    selectors_in,
)
from statcore.queriers.interface import MetricQuery
from statcore.testing.expectations import expect

_RATES: Final = ("rate", "irate", "increase", "delta")
"""Functions whose window is a setting; the window of a mean or a maximum may be part of its meaning."""
_BUCKET: Final = "le"


def rate_windows(expression: Expression) -> set[str]:
    """Return the windows of the rates and changes in an expression."""
    calls = (part for part in parts_in(expression) if isinstance(part, Call))
    return {call.argument.window for call in calls if call.function in _RATES}


def kept_labels(expression: Part) -> frozenset[str] | None:
    """Return the labels of the answer's series, or None where they depend on the series.

    Raises:
        AssertionError: the sides of an operation have different labels, or labels that may differ; an aggregation keeps a
            label that was dropped inside it; or a quantile has no buckets.
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
        case BinaryOperation():
            return _kept_of_both(expression)
        case ConstantLabel(expression=inner, name=name):
            kept = kept_labels(inner)
            return None if kept is None else kept | {name}
        case _:
            return None


def _kept_of_both(operation: BinaryOperation) -> frozenset[str] | None:
    left, right = kept_labels(operation.left), kept_labels(operation.right)
    joined, about = left, f"the labels of the right side in {operation.text} (None is all there are)"
    if operation.matching is None:
        expect(left, right, about)
    elif operation.matching.modifier == "on":
        joined = frozenset(operation.matching.labels)
        for kept in (left, right):
            if kept is not None and (gone := sorted(joined - kept)):
                raise AssertionError(f"{operation.text} matches on {', '.join(gone)}, which a side of it does not have")
    else:
        ignored = frozenset(operation.matching.labels)
        joined, other = (None if kept is None else kept - ignored for kept in (left, right))
        expect(joined, other, about)
    return left if operation.operator in get_args(SetOperator) else joined


def expect_answers(query: MetricQuery, expression: Expression) -> None:
    """Fail unless the answer's series have the labels grouped by, from selectors that match every value of the query.

    The expression may add constant labels that the query does not have. Building the expression has already checked that
    each selector carries the query's matchers, except for labels that the strategy replaces.
    """
    answer = expression
    while isinstance(answer, ConstantLabel):
        if answer.name in query.labels or answer.name in query.group_by:
            raise AssertionError(
                f"the label {answer.name} is the querier's, and the same for all series in {expression.text}"
            )
        answer = answer.expression
    kept = kept_labels(answer)
    if kept is None:
        raise AssertionError(f"the answer has all labels of its series, since nothing is aggregated in {expression.text}")
    expect(frozenset(query.group_by), kept, f"the labels of the answer to {expression.text}")
    for label, matcher in query.labels.items():
        for selector in selectors_in(expression):
            carried = [other for name, other in selector.matchers if name == label]
            if any(other != matcher and other.is_within(matcher) for other in carried):
                values = ", ".join(matcher.alternatives)
                raise AssertionError(f"{label} is to be any of {values}, and not all of them are in {selector.text}")
    if grouped := sorted(replaced(query, expression).intersection(query.group_by)):
        labels = ", ".join(grouped)
        raise AssertionError(
            f"the answer is grouped by {labels}, and not all selectors match that alike in {expression.text}"
        )


def replaced(query: MetricQuery, expression: Expression) -> set[str]:
    """Return the labels of a query that some selector lacks, or matches in another way than the query."""
    selectors = [selector.matchers for selector in selectors_in(expression)]
    return {
        label for label, matcher in query.labels.items() if any((label, matcher) not in matchers for matchers in selectors)
    }
