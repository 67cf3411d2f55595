"""PromQL expressions as values: each node checks its fields and writes its `text` when it is built.

The set of nodes is closed: every part of an expression has exactly one of these types, and not a subclass. So code that
walks an expression, to evaluate it or to find its selectors, reaches every part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal, Self, TypeAlias, final, get_args

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text
from statcore.model.time import format_duration
from statcore.promql.quoting import escape, grouped_text, grouping_text, label_text, quote, selector_parts
from statcore.queriers.matcher import LabelMatcher, Matchers, as_labels, as_matcher, as_matchers, as_pairs

AggregationOperator: TypeAlias = Literal["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
ArithmeticOperator: TypeAlias = Literal["+", "-", "*", "/"]
ComparisonOperator: TypeAlias = Literal["==", "!=", ">", "<", ">=", "<="]
"""A filter: it keeps the samples of the left side for which the comparison is true."""
SetOperator: TypeAlias = Literal["and", "unless"]
"""A filter: it keeps the series of the left side that have a partner on the right side (`and`), or none (`unless`)."""
BinaryOperator: TypeAlias = Literal[ArithmeticOperator, ComparisonOperator, SetOperator]
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
        if type(word) is not str or word not in words:  # a member of an enumeration formats as its name
            raise InputError(f"unknown {field.name} {word!r:.100}; expected one of {', '.join(words)}")

    return check


def _part(*kinds: str) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(owner: object, field: attrs.Attribute[Any], part: object) -> None:
        for kind in kinds:
            # By type and not by isinstance: a subclass could have a text that does not match its fields.
            if type(part) in _PARTS[kind]:
                return
        expected = " or ".join(kinds)
        raise InputError(f"the {field.name} of {type(owner).__name__} must be {expected}, not {type(part).__name__}")

    return check


def _finite(value: float) -> float:
    try:
        number = math.nan if isinstance(value, str | bytes | bytearray) else float(value)
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


def matcher_texts(matchers: Matchers) -> list[str]:
    """Return matchers as they are written between the braces of a selector.

    Raises:
        InputError: a label name that is not valid, or a value that is neither text nor a LabelMatcher.
    """
    texts: list[str] = []
    for label, matcher in matchers:
        if isinstance(matcher, str):
            texts.append(f'{label_text(label)}="{escape(matcher)}"')
        elif type(matcher) is LabelMatcher:  # a subclass could be compared as one matcher and written as another
            texts.append(f'{label_text(label)}{matcher.operator}"{escape(matcher.value)}"')
        else:
            raise InputError(f"the label {label!r} is matched by text or a LabelMatcher, not by {matcher!r:.100}")
    return texts


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of a grouping: checked, sorted, distinct.

    Raises:
        InputError: a single text instead of a collection, or a label name that is not valid.
    """
    if isinstance(names, str):
        raise InputError(f"expected a collection of label names, not one text: {names!r:.100}")
    try:
        return _checked_names(tuple(names))
    except TypeError:  # not a collection, or a collection of other things than text
        raise InputError(f"expected a collection of label names, not {names!r:.100}") from None


@lru_cache(maxsize=1024)  # programs group by few sets of labels, many times
def _checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        label_text(name)
    return tuple(sorted(set(names)))


@attrs.frozen
class _Node:
    """A node of an expression: a subclass writes its text from the texts of the nodes inside."""

    text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Write the text, which checks the names and values in it."""
        object.__setattr__(self, "text", self.write(render))

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text; `inside` writes each inner node, so that an adapter can write some nodes in another way."""
        raise NotImplementedError


def _distinct(matchers: Matchers) -> frozenset[tuple[str, LabelMatcher]]:
    return frozenset([(label, as_matcher(matcher)) for label, matcher in matchers])


@final
@attrs.frozen
class Selector(_Node):
    """An instant vector selector: the newest sample of every series of a metric that all matchers accept.

    Args:
        name: the metric name, or None for every metric; then there must be a matcher.
        labels: label name to matcher, or pairs of the two, in the order in which they are written; text means an exact
            match. In pairs a label may recur.
        offset: how long before the time of the query, as a positive duration.

    Raises:
        InputError: a name that is not valid, a value that is neither text nor a LabelMatcher, `__name__` among the labels,
            which a server refuses beside a name, neither a name nor a matcher, or an offset that is not a positive
            duration.
    """

    name: str | None
    _matchers: Matchers = attrs.field(default=(), converter=as_pairs, alias="labels", eq=_distinct, hash=False)
    offset: timedelta | str | None = attrs.field(default=None, kw_only=True)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text; there are no nodes inside."""
        del inside
        before, first = ("", "") if self.name is None else selector_parts(self.name)
        texts = matcher_texts(self._matchers)
        if first:
            texts.insert(0, first)
        if "__name__" in dict(self._matchers):
            raise InputError(f"the label __name__ beside the metric name {self.name!r}")
        if self.name is None and not texts:
            raise InputError("a selector has neither a metric name nor a matcher")
        text = f"{before}{{{','.join(texts)}}}" if texts else before
        if self.offset is not None:
            text = f"{text} offset {format_duration(self.offset)}"
        return text

    @classmethod
    def equal(cls, name: str | None, **labels: str) -> Self:
        """Return a selector that matches each label exactly."""
        return cls(name, labels)

    @property
    def matchers(self) -> list[tuple[str, LabelMatcher]]:
        """The pairs of label and matcher, in order; a label may recur, and then each of its matchers holds."""
        return [(label, as_matcher(matcher)) for label, matcher in self._matchers]

    @property
    def labels(self) -> dict[str, LabelMatcher]:
        """The matcher of every label, in order.

        Raises:
            UnsupportedError: a label recurs; a mapping would lose one of its matchers. Use `matchers`.
        """
        return as_matchers(as_labels(self._matchers))


@final
@attrs.frozen
class RangeSelector(_Node):
    """A range vector selector: the samples of the last `window`."""

    selector: Selector = attrs.field(validator=_part("a Selector"))
    window: str = attrs.field(converter=format_duration)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text, with the window in front of the offset."""
        offset = self.selector.offset
        if offset is None:
            return f"{inside(self.selector)}[{self.window}]"
        return f"{inside(attrs.evolve(self.selector, offset=None))}[{self.window}] offset {format_duration(offset)}"


@final
@attrs.frozen
class Subquery(_Node):
    """An expression evaluated over the last `window`, at the server's default step."""

    expression: Expression = attrs.field(validator=_part("an expression"))
    window: str = attrs.field(converter=format_duration)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text."""
        return f"({inside(self.expression)})[{self.window}:]"


@final
@attrs.frozen
class Call(_Node):
    """A function of one range vector."""

    function: Function = attrs.field(validator=_one_of(get_args(Function)))
    argument: RangeSelector | Subquery = attrs.field(validator=_part("a RangeSelector", "a Subquery"))

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text."""
        return f"{self.function}({inside(self.argument)})"


@final
@attrs.frozen
class Aggregation(_Node):
    """An aggregation that keeps the labels `by`: sorted and distinct; without any, everything becomes one series."""

    operator: AggregationOperator = attrs.field(validator=_one_of(get_args(AggregationOperator)))
    expression: Expression = attrs.field(validator=_part("an expression"))
    by: tuple[str, ...] = attrs.field(converter=label_names, default=())

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text."""
        return f"{self.operator}{grouping_text(self.by)}({inside(self.expression)})"


@final
@attrs.frozen
class Number(_Node):
    """A finite number."""

    value: float = attrs.field(converter=_finite)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the shortest text that reads back as the same number."""
        del inside
        return repr(self.value)


@final
@attrs.frozen
class Matching:
    """The labels by which a series of one side finds its partner on the other: `on` these, or all but these (`ignoring`).

    Build it with the class methods. The metric name counts only where it is matched `on`.

    Raises:
        InputError: an unknown modifier, or a label name that is not valid.
    """

    modifier: Literal["on", "ignoring"] = attrs.field(validator=_one_of(("on", "ignoring")))
    labels: tuple[str, ...] = attrs.field(converter=label_names)

    @classmethod
    def on(cls, *labels: str) -> Self:
        """Match by these labels; without any, every series matches every other."""
        return cls("on", labels)

    @classmethod
    def ignoring(cls, *labels: str) -> Self:
        """Match by all labels but these."""
        return cls("ignoring", labels)


def _check_right(operation: BinaryOperation, field: attrs.Attribute[Any], right: Expression | Number) -> None:
    del field
    if isinstance(right, Number) and operation.operator in get_args(SetOperator):
        raise InputError(f"{operation.operator} is between two expressions; {right.text} is a number")


def _check_matching(operation: BinaryOperation, field: attrs.Attribute[Any], matching: object) -> None:
    if matching is None:
        return
    if type(matching) is not Matching:
        raise InputError(f"the {field.name} of BinaryOperation must be a Matching or None, not {type(matching).__name__}")
    if isinstance(operation.right, Number):
        raise InputError(f"the number {operation.right.text} has no labels to match; leave matching out")


@final
@attrs.frozen
class BinaryOperation(_Node):
    """An operation of an expression and a number, or of two expressions.

    Arithmetic and comparison of two expressions join each series with the series of the other side that has the same
    labels: all labels, or the labels of `matching`. A series without a partner has no result, and the server refuses the
    query where a series has several partners. `and` and `unless` keep series of the left side, with all their labels.

    Args:
        operator: arithmetic; a comparison, which keeps the samples of the left side for which it is true; `and`; `unless`.
        left: an expression.
        right: an expression, or a number unless the operator is `and` or `unless`.
        matching: the labels by which partners are found, by default all labels; None beside a number.

    Raises:
        InputError: an unknown operator, a part of another type, or a number where none is allowed.
    """

    operator: BinaryOperator = attrs.field(validator=_one_of(get_args(BinaryOperator)))
    left: Expression = attrs.field(validator=_part("an expression"))
    right: Expression | Number = attrs.field(validator=[_part("an expression", "a Number"), _check_right])
    matching: Matching | None = attrs.field(default=None, kw_only=True, validator=_check_matching)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text, with an operation inside it in parentheses."""
        matching = self.matching
        joined = "" if matching is None else f"{matching.modifier} ({grouped_text(matching.labels)}) "
        left, right = (
            f"({inside(side)})" if isinstance(side, BinaryOperation) else inside(side) for side in (self.left, self.right)
        )
        return f"{left} {self.operator} {joined}{right}"


@final
@attrs.frozen
class HistogramQuantile(_Node):
    """A quantile, from 0 to 1, of classic histograms: `buckets` has the label `le`, and the answer does not."""

    quantile: float = attrs.field(converter=_quantile)
    buckets: Expression = attrs.field(validator=_part("an expression"))

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text."""
        return f"histogram_quantile({self.quantile!r}, {inside(self.buckets)})"


def _check_constant_name(_: object, field: attrs.Attribute[Any], name: str) -> None:
    del field
    label_text(name)
    if name == "__name__":
        raise InputError("__name__ is the metric's name, not a label to set")


def _constant_value(value: str) -> str:
    if text := check_text(value, what="a label value"):
        return text
    raise InputError("the value of a constant label is empty; expected text, since an empty value would remove the label")


@final
@attrs.frozen
class ConstantLabel(_Node):
    """An expression with a label that has the same value in every series; a label of that name is replaced.

    Args:
        expression: no two of its series may differ in this label alone, or the server refuses the query.
        name: the label.
        value: any text except the empty text, which would remove the label.

    Raises:
        InputError: a part of another type, a name that is not valid or is `__name__`, or a value that is empty or not text.
    """

    expression: Expression = attrs.field(validator=_part("an expression"))
    name: str = attrs.field(validator=_check_constant_name)
    value: str = attrs.field(converter=_constant_value)

    def write(self, inside: Callable[[Part], str]) -> str:
        """Return the text; a dollar sign is doubled, because a single one refers to a group of the regex."""
        value = self.value.replace("$", "$$")
        return f'label_replace({inside(self.expression)}, {quote(self.name)}, {quote(value)}, "", "")'


Expression: TypeAlias = Selector | Call | Aggregation | BinaryOperation | HistogramQuantile | ConstantLabel
Part: TypeAlias = Expression | RangeSelector | Subquery | Number
"""An expression, or a node that may stand only inside an expression."""

_PARTS: Final[Mapping[str, tuple[type, ...]]] = {
    "an expression": get_args(Expression),
    "a Selector": (Selector,),
    "a RangeSelector": (RangeSelector,),
    "a Subquery": (Subquery,),
    "a Number": (Number,),
}


def parts_in(expression: Part) -> Iterator[Part]:
    """Yield an expression and every node inside it, in the order in which they are written."""
    waiting = [expression]  # no recursion: an expression may be nested deeper than Python calls
    while waiting:
        part = waiting.pop()
        yield part
        match part:
            case RangeSelector(selector=inside) | Call(argument=inside) | HistogramQuantile(buckets=inside):
                waiting.append(inside)
            case Subquery(expression=inside) | Aggregation(expression=inside) | ConstantLabel(expression=inside):
                waiting.append(inside)
            case BinaryOperation(left=left, right=right):
                waiting += [right, left]
            case Selector() | Number():
                pass


def selectors_in(expression: Part) -> list[Selector]:
    """Return every selector of an expression, in the order in which they are written."""
    return [part for part in parts_in(expression) if isinstance(part, Selector)]


def render(expression: Part) -> str:
    """Return an expression, or a part of one, as PromQL text."""
    return expression.text
