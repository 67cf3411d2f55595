"""The expressions that statcore writes, as values: each checks itself and writes its `text` when it is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, Self, TypeAlias, get_args

import attrs

from statcore.errors import InputError
from statcore.model.duration import format_duration
from statcore.promql.names import grouping_text, label_text, selector_parts
from statcore.promql.quote import escape
from statcore.queriers.matcher import LabelMatcher, as_matchers

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


def _one_of(words: tuple[str, ...]) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, field: attrs.Attribute[Any], word: object) -> None:
        if word not in words:
            raise InputError(f"unknown {field.name} {word!r}; expected one of {', '.join(words)}")

    return check


def _finite(value: float) -> float:
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"not a finite number: {value!r:.100}")
    return number


def _quantile(value: float) -> float:
    quantile = _finite(value)
    if not 0 <= quantile <= 1:
        raise InputError(f"a quantile is from 0 to 1, not {value!r:.100}")
    return quantile


def matcher_texts(labels: Mapping[str, str | LabelMatcher]) -> list[str]:
    """Return matchers as they are written between the braces of a selector.

    Raises:
        InputError: a name that cannot be one, or a value that is no text.
    """
    texts: list[str] = []
    for label, wanted in labels.items():
        if isinstance(wanted, str):
            texts.append(f'{label_text(label)}="{escape(wanted)}"')
        elif isinstance(wanted, LabelMatcher):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            texts.append(f'{label_text(label)}{wanted.operator}"{escape(wanted.value)}"')
        else:
            raise InputError(f"the label {label!r} is matched by text or a LabelMatcher, not by {wanted!r:.100}")
    return texts


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of a grouping: checked, sorted, without duplicates.

    Raises:
        InputError: one text instead of a collection, or a name that cannot be one.
    """
    if isinstance(names, str):
        raise InputError(f"expected a collection of label names, not one text: {names!r:.100}")
    try:
        return _checked_names(tuple(names))
    except TypeError:  # no collection, or of things that are no text
        raise InputError(f"expected a collection of label names, not {names!r:.100}") from None


@lru_cache(maxsize=1024)  # programs group by few sets of labels, many times
def _checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        label_text(name)
    return tuple(sorted(set(names)))


def _own(labels: Mapping[str, str | LabelMatcher]) -> dict[str, str | LabelMatcher]:
    return dict(labels)


@attrs.frozen
class Selector:
    """An instant vector selector: the newest sample of every series of a metric that the matchers accept.

    Args:
        name: the metric name.
        labels: label name to matcher, in the order in which they are to be written; text means an exact match.
        offset: how long before the time of the query, as a positive duration.

    Raises:
        InputError: a name that cannot be one, a value that is no text, `__name__` among the labels, which the server
            refuses beside a name, or an offset that is not a positive duration.
    """

    name: str
    _labels: Mapping[str, str | LabelMatcher] = attrs.field(
        factory=dict[str, "str | LabelMatcher"], converter=_own, eq=as_matchers, hash=False
    )
    offset: timedelta | str | None = attrs.field(default=None, kw_only=True)
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text, which checks everything that is in it."""
        before, first = selector_parts(self.name)
        inside = [first, *matcher_texts(self._labels)] if first else matcher_texts(self._labels)
        if "__name__" in self._labels:
            raise InputError(f"the label __name__ beside the metric name {self.name!r}")
        text = f"{before}{{{','.join(inside)}}}" if inside else before
        if self.offset is not None:
            text = f"{text} offset {format_duration(self.offset)}"
        object.__setattr__(self, "text", text)

    @classmethod
    def equal(cls, name: str, **labels: str) -> Self:
        """Return a selector whose labels match exactly."""
        return cls(name, labels)

    @property
    def labels(self) -> dict[str, LabelMatcher]:
        """The matcher of every label, in order."""
        return as_matchers(self._labels)


@attrs.frozen
class RangeSelector:
    """A range vector selector: the samples of the last `window`."""

    selector: Selector
    window: str = attrs.field(converter=format_duration)
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text, with the window in front of the offset."""
        offset = self.selector.offset
        if offset is None:
            text = f"{self.selector.text}[{self.window}]"
        else:
            text = f"{attrs.evolve(self.selector, offset=None).text}[{self.window}] offset {format_duration(offset)}"
        object.__setattr__(self, "text", text)


@attrs.frozen
class Subquery:
    """An expression evaluated over the last `window`, at the server's default step."""

    expression: Expression
    window: str = attrs.field(converter=format_duration)
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text."""
        object.__setattr__(self, "text", f"({self.expression.text})[{self.window}:]")


@attrs.frozen
class Call:
    """A function of one range vector."""

    function: Function = attrs.field(validator=_one_of(get_args(Function)))
    argument: RangeSelector | Subquery
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text."""
        object.__setattr__(self, "text", f"{self.function}({self.argument.text})")


@attrs.frozen
class Aggregation:
    """An aggregation that keeps the labels `by`: sorted and distinct; without any, everything becomes one series."""

    operator: AggregationOperator = attrs.field(validator=_one_of(get_args(AggregationOperator)))
    expression: Expression
    by: tuple[str, ...] = attrs.field(converter=label_names, default=())
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text."""
        object.__setattr__(self, "text", f"{self.operator}{grouping_text(self.by)}({self.expression.text})")


@attrs.frozen
class Number:
    """A finite number."""

    value: float = attrs.field(converter=_finite)


@attrs.frozen
class BinaryOperation:
    """An arithmetic operation of an expression and a number, or another expression whose series have the same labels."""

    operator: BinaryOperator = attrs.field(validator=_one_of(get_args(BinaryOperator)))
    left: Expression
    right: Expression | Number
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text."""
        right = repr(self.right.value) if isinstance(self.right, Number) else _operand(self.right)
        object.__setattr__(self, "text", f"{_operand(self.left)} {self.operator} {right}")


def _operand(expression: Expression) -> str:
    return f"({expression.text})" if isinstance(expression, BinaryOperation) else expression.text


@attrs.frozen
class HistogramQuantile:
    """A quantile, from 0 to 1, of classic histograms: `buckets` has the label `le`, which the answer has not."""

    quantile: float = attrs.field(converter=_quantile)
    buckets: Expression
    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text."""
        object.__setattr__(self, "text", f"histogram_quantile({self.quantile!r}, {self.buckets.text})")


Expression: TypeAlias = Selector | Call | Aggregation | BinaryOperation | HistogramQuantile
