"""What can be told of an expression without a server: its selectors, its windows, the labels that its answer has."""

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
from statcore.queriers.query import ResolvedQuerier
from statcore.testing.expectations import expect

_RATES: Final = ("rate", "irate", "increase", "delta")
"""Those that say how fast something changes; over what a mean or a maximum is taken may be part of its meaning."""
_BUCKET: Final = "le"


def rate_windows(expression: Expression) -> set[str]:
    """Return the windows that rates and changes are taken over."""
    calls = (part for part in parts_in(expression) if isinstance(part, Call))
    return {call.argument.window for call in calls if call.function in _RATES}


def kept_labels(expression: Part) -> frozenset[str] | None:
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


def expect_answers(asked: ResolvedQuerier, expression: Expression) -> None:
    """Fail unless the answer's series have the labels grouped by, from selectors that match all of the querier's values.

    The expression may add constant labels that are none of the querier's. That each selector carries the querier's
    matchers, but for what the strategy replaces, was checked when the expression was built.
    """
    answer = expression
    while isinstance(answer, ConstantLabel):
        if answer.name in asked.labels or answer.name in asked.group_by:
            raise AssertionError(
                f"the label {answer.name} is the querier's, and the same for all series in {expression.text}"
            )
        answer = answer.expression
    kept = kept_labels(answer)
    if kept is None:
        raise AssertionError(f"the answer has all labels of its series, since nothing is aggregated in {expression.text}")
    expect(frozenset(asked.group_by), kept, f"the labels of the answer to {expression.text}")
    for label, wanted in asked.labels.items():
        for selector in selectors_in(expression):
            found = selector.labels.get(label)
            if found is not None and found != wanted and found.is_within(wanted):
                values = ", ".join(wanted.alternatives)
                raise AssertionError(f"{label} is to be any of {values}, and not all of them are in {selector.text}")
    if grouped := sorted(replaced(asked, expression).intersection(asked.group_by)):
        labels = ", ".join(grouped)
        raise AssertionError(
            f"the answer is grouped by {labels}, and not all selectors match that alike in {expression.text}"
        )


def replaced(asked: ResolvedQuerier, expression: Expression) -> set[str]:
    """Return the querier's labels that some selector lacks, or matches otherwise than the querier."""
    selectors, labels = selectors_in(expression), asked.labels
    return {label for label in labels if any(selector.labels.get(label) != labels[label] for selector in selectors)}
