"""The expressions that statcore writes, as values; each checks itself when it is built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Literal, Self, TypeAlias

import attrs

from statcore.errors import InputError
from statcore.model.duration import format_duration
from statcore.promql.names import is_bare_label_name, is_bare_metric_name
from statcore.queriers.matcher import LabelMatcher

AggregationOperator: TypeAlias = Literal["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
BinaryOperator: TypeAlias = Literal["+", "-", "*", "/"]
Function: TypeAlias = Literal[
    "rate",
    "irate",
    "increase",
    "delta",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "last_over_time",
]


def _check_duration(_: object, __: object, duration: str | None) -> None:
    if duration is not None:
        format_duration(duration)


def _duration(duration: timedelta | str) -> str:
    return format_duration(duration)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"not a finite number: {value!r}")
    return float(value)


def _label_names(names: Iterable[str]) -> tuple[str, ...]:
    distinct = tuple(sorted(set(names)))
    for name in distinct:
        is_bare_label_name(name)
    return distinct


@attrs.frozen
class Selector:
    """An instant vector selector: the newest sample of every series of a metric that the matchers accept.

    Raises:
        InputError: a name that cannot be one, or `__name__` among the labels, which the server refuses beside a name.
    """

    name: str
    labels: Mapping[str, LabelMatcher] = attrs.field(factory=dict[str, LabelMatcher], hash=False)
    offset: str | None = attrs.field(default=None, kw_only=True, validator=_check_duration)

    def __attrs_post_init__(self) -> None:
        """Check the names."""
        is_bare_metric_name(self.name)
        for label in self.labels:
            is_bare_label_name(label)
        if "__name__" in self.labels:
            raise InputError(f"the label __name__ beside the metric name {self.name!r}")

    @classmethod
    def equal(cls, name: str, **labels: str) -> Self:
        """Return a selector whose labels match exactly."""
        return cls(name, {label: LabelMatcher.equal(value) for label, value in labels.items()})


@attrs.frozen
class RangeSelector:
    """A range vector selector: the samples of the last `window`."""

    selector: Selector
    window: str = attrs.field(converter=_duration)


@attrs.frozen
class Subquery:
    """An expression evaluated over the last `window`, at the server's default step."""

    expression: Expression
    window: str = attrs.field(converter=_duration)


@attrs.frozen
class Call:
    """A function of one range vector."""

    function: Function
    argument: RangeSelector | Subquery


@attrs.frozen
class Aggregation:
    """An aggregation that keeps the labels `by`: sorted and distinct; without any, everything becomes one series."""

    operator: AggregationOperator
    expression: Expression
    by: tuple[str, ...] = attrs.field(converter=_label_names, default=(), kw_only=True)


@attrs.frozen
class Number:
    """A finite number."""

    value: float = attrs.field(converter=_finite)


@attrs.frozen
class BinaryOperation:
    """An arithmetic operation of an expression and a number."""

    operator: BinaryOperator
    left: Expression
    right: Number


Expression: TypeAlias = Selector | Call | Aggregation | BinaryOperation
