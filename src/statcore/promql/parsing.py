"""Reads PromQL text with promql-parser: checks its limits, finds the places in a template, turns text into values.

No other module imports the parser. It is imported on first use, because it is an extra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args

import attrs

from statcore.errors import InputError, UnsupportedError
from statcore.imports import requires_extra
from statcore.model.text import describe
from statcore.promql.syntax import (
    Aggregation,
    AggregationOperator,
    BinaryOperation,
    BinaryOperator,
    Call,
    ConstantLabel,
    Expression,
    Function,
    HistogramQuantile,
    Matching,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator

_T = TypeVar("_T")
Placeholder: TypeAlias = Literal["labels", "window", "group_by"]
Place: TypeAlias = tuple[Placeholder, object]
"""A placeholder and a value in its place: a matcher as text, a range or an offset as a timedelta, a label as text."""

MAX_LENGTH: Final = 2_000
"""Characters of a text; characters in the strings of a query do not count."""
MAX_NESTING: Final = 100
"""Brackets inside one another: the parser recurses for each, and does not check its stack."""
MAX_OPERATORS: Final = 200
"""Operators, also of matchers: the parser recurses for each."""
MAX_REPETITIONS: Final = 1_000
"""Repetitions in regular expressions, such as 30 for `{30}`: the parser expands each of them."""
MAX_QUERY_LENGTH: Final = 100_000
"""Characters of a query, strings included."""

_STRING: Final = re.compile(r""" "(?:\\.|[^"\\])*"? | '(?:\\.|[^'\\])*'? | `[^`]*`? | \#[^\n]* """, re.VERBOSE | re.DOTALL)
"""A string, with or without its end, or a comment; a quotation mark in a comment does not begin a string."""
_OPERATOR: Final = re.compile(r"[-+*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"(\)?)\{(\d{1,9})(?:,(\d{0,9}))?\}")
_MIRRORED: Final[Mapping[BinaryOperator, BinaryOperator]] = {
    "+": "+",
    "*": "*",
    "==": "==",
    "!=": "!=",
    ">": "<",
    "<": ">",
    ">=": "<=",
    "<=": ">=",
}
"""Each operator, and the operator with the same meaning when the sides are exchanged."""
_MATCH_OPERATORS: Final = {
    "MatchOp.Equal": MatchOperator.EQUAL,
    "MatchOp.NotEqual": MatchOperator.NOT_EQUAL,
    "MatchOp.Re": MatchOperator.REGEX,
    "MatchOp.NotRe": MatchOperator.NOT_REGEX,
}
_UNSUPPORTED: Final = "PromQL beyond the expressions of statcore.promql"


def check_cost(text: str, *, what: str = "a template") -> None:
    """Check the limits of a text that the parser reads.

    Raises:
        InputError: the text exceeds a limit; the message names the limit.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"{what} of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if (nesting := _nesting(text)) > MAX_NESTING:
        raise InputError(f"{what} with brackets nested {nesting} deep; at most {MAX_NESTING} are allowed")
    if (operators := len(_OPERATOR.findall(text))) > MAX_OPERATORS:
        raise InputError(f"{what} with {operators} operators; at most {MAX_OPERATORS} are allowed")
    if _repetitions(text) > MAX_REPETITIONS:
        raise InputError(f"{what} with regular expressions that repeat more than {MAX_REPETITIONS} times")


def _check_query_cost(text: str) -> None:
    """Check the limits of a query; strings, which may hold the ids of many objects, count only for repetitions.

    Raises:
        InputError: the query exceeds a limit; the message names the limit.
    """
    if len(text) > MAX_QUERY_LENGTH:
        raise InputError(f"a query of {len(text)} characters; at most {MAX_QUERY_LENGTH} are allowed")
    check_cost(_STRING.sub('""', text), what="a query")
    if _repetitions("".join(_STRING.findall(text))) > MAX_REPETITIONS:
        raise InputError(f"a query with regular expressions that repeat more than {MAX_REPETITIONS} times")


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _repetitions(text: str) -> int:
    """Return an upper bound: counts behind a group multiply, because they may repeat other counts; the others add up."""
    single, groups = 0, 1
    for group, least, most in _COUNT.findall(text):
        count = max(1, int(most or least))
        single, groups = (single, groups * count) if group else (single + count, groups)
    return max(1, single) * groups


def read_places(promql: str) -> list[Place]:
    """Return every matcher of a selector, every label that an aggregation keeps or drops, and every range and offset.

    Labels of a join (`on`, `group_left`, …), alternatives of matchers (`or`), and steps are left out.

    Raises:
        InputError: the text is not PromQL, or has no value at a point in time.
        MissingExtraError: the parser is not installed.
    """
    return _parse(promql, lambda tree: [place for node in _nodes_of_value(tree) for place in _places_in(node)])


def labels_fixed_beside(promql: str, matcher: str) -> frozenset[str]:
    """Return the labels that a selector with this matcher matches by `=`, without the matcher itself.

    Args:
        promql: a text that `read_places` reads.
        matcher: a matcher as `read_places` returns it.

    Raises:
        InputError: the text is not PromQL.
        MissingExtraError: the parser is not installed.
    """

    def read(tree: Any) -> frozenset[str]:  # noqa: ANN401 - a node of the parser
        import promql_parser as parser  # noqa: PLC0415

        selectors = [node.matchers.matchers for node in _nodes(tree) if isinstance(node, parser.VectorSelector)]
        return frozenset(
            other.name
            for matchers in selectors
            if matcher in map(str, matchers)
            for other in matchers
            if other.op == parser.MatchOp.Equal and str(other) != matcher
        )

    return _parse(promql, read)


def selector_without(promql: str, matcher: str) -> str | None:
    """Return a selector that may select series which this matcher does not accept, or None where each has the matcher.

    Args:
        promql: a text that `read_places` reads.
        matcher: a matcher as `read_places` returns it.

    Raises:
        InputError: the text is not PromQL.
        MissingExtraError: the parser is not installed.
    """

    def read(tree: Any) -> str | None:  # noqa: ANN401 - a node of the parser
        import promql_parser as parser  # noqa: PLC0415

        for node in _nodes(tree):
            match node:
                case parser.VectorSelector(matchers=matchers):
                    if matchers.or_matchers or matcher not in map(str, matchers.matchers):
                        return str(node)
                case parser.Call(func=function) if function.name == "info":  # reads series that no selector names
                    return str(node)
                case _:
                    pass
        return None

    return _parse(promql, read)


def _parse(promql: str, read: Callable[[Any], _T]) -> _T:
    """Return the result of `read` for the parser's tree.

    Raises:
        InputError: the text is not PromQL.
        MissingExtraError: the parser is not installed.
    """
    with requires_extra("presets"):
        import promql_parser as parser  # noqa: PLC0415 - an extra, which only templates and text need

    try:
        return read(parser.parse(promql))
    except (ValueError, OverflowError) as error:  # some numbers that the parser cannot hold are reported when they are read
        raise InputError(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the parser's own, a direct subclass of BaseException
            raise
        raise InputError(f"its parser fails: {describe(error)}") from None


def _nodes_of_value(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    inner = _inside(tree)
    if isinstance(inner, parser.MatrixSelector | parser.SubqueryExpr | parser.StringLiteral):
        raise InputError("it has no value at a point in time; expected a number or an instant vector")
    return _nodes(inner)


def _nodes(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    waiting: list[Any] = [tree]  # the parser's own `walk` may take minutes for deeply nested expressions
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case parser.MatrixSelector(vector_selector=selector):
                waiting.append(selector)
            case parser.BinaryExpr(lhs=left, rhs=right):
                waiting += [left, right]
            case parser.Call(args=arguments):
                waiting += arguments
            case parser.AggregateExpr(expr=inner, param=parameter):
                waiting += [inner, parameter]  # the parameter may be None
            case parser.ParenExpr(expr=inner) | parser.UnaryExpr(expr=inner) | parser.SubqueryExpr(expr=inner):
                waiting.append(inner)
            case _:
                pass


def _places_in(node: Any) -> Iterator[Place]:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    match node:
        case parser.VectorSelector(matchers=matchers, offset=offset):
            for matcher in matchers.matchers:
                yield "labels", str(matcher)
            yield "window", offset  # may be None
        case parser.MatrixSelector(range=window):
            yield "window", window
        case parser.SubqueryExpr(range=window, offset=offset):
            yield "window", window
            yield "window", offset
        case parser.AggregateExpr(modifier=modifier) if modifier:
            for label in modifier.labels:
                yield "group_by", label
        case _:
            pass


@attrs.frozen
class EvaluationTime:
    """`time()`: the time of each point, in unix seconds."""


Query: TypeAlias = Expression | Number | EvaluationTime


def read_query(promql: str) -> Query:
    """Return the expression, the number or the time that a PromQL text stands for.

    Raises:
        InputError: the text is not PromQL.
        UnsupportedError: `statcore.promql` has no expression for it, or it exceeds a limit of this module.
        MissingExtraError: the parser, which the extra `presets` installs, is not installed.
    """
    try:
        _check_query_cost(promql)
    except InputError as error:
        raise UnsupportedError(str(error)) from None
    return _parse(promql, _query)


def _query(tree: Any) -> Query:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415 - an extra

    try:
        match _inside(tree):
            case parser.NumberLiteral(val=number):
                return Number(number)
            case parser.Call(func=function) if function.name == "time":
                return EvaluationTime()
            case parser.MatrixSelector() | parser.SubqueryExpr():
                raise UnsupportedError("the query selects a range of samples; wrap it in a function such as rate(…)")
            case parser.StringLiteral():
                raise UnsupportedError("the query is a text, which is not a sample; expected a vector or a number")
            case node:
                return _expression(node)
    except InputError as error:  # PromQL that no expression can hold, for example an infinite number
        raise UnsupportedError(f"{_UNSUPPORTED}: {error}") from None


def _expression(tree: Any) -> Expression:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    match _inside(tree):
        case parser.VectorSelector() as selector:
            return _selector(selector)
        case parser.Call(func=function, args=arguments):
            return _call(function.name, arguments)
        case parser.AggregateExpr() as aggregation:
            return _aggregation(aggregation)
        case parser.BinaryExpr() as operation:
            return _operation(operation)
        case parser.NumberLiteral():
            raise _unsupported("a number in the place of a vector")
        case parser.UnaryExpr():
            raise _unsupported("a sign before an expression; multiply by -1")
        case node:
            raise _unsupported(str(node))


def _selector(selector: Any) -> Selector:  # noqa: ANN401 - a node of the parser
    if selector.at is not None:
        raise _unsupported("the modifier @")
    if selector.matchers.or_matchers:
        raise _unsupported("`or` between matchers")
    name: str | None = selector.name
    pairs: list[tuple[str, LabelMatcher]] = []
    for matcher in selector.matchers.matchers:
        operator = _MATCH_OPERATORS[str(matcher.op)]
        if matcher.name == "__name__" and operator is MatchOperator.EQUAL and name is None:
            name = matcher.value
        else:
            pairs.append((matcher.name, LabelMatcher(operator, matcher.value)))
    if name is None:
        raise _unsupported("a selector that names no metric")
    return Selector(name, pairs, offset=_offset(selector.offset))


def _offset(offset: timedelta | None) -> timedelta | None:
    if offset is not None and offset < timedelta(0):
        raise _unsupported("a negative offset")
    return offset or None


def _call(name: str, arguments: list[Any]) -> Expression:
    match name, arguments:
        case "histogram_quantile", [quantile, buckets]:
            return HistogramQuantile(_number(quantile), _expression(buckets))
        case "label_replace", [inner, *texts]:
            label, replacement, source, regex = (_inside(text).val for text in texts)
            value = replacement.replace("$$", "")
            if source or regex or "$" in value or not value:
                raise _unsupported('label_replace other than label_replace(…, "label", "constant", "", "")')
            return ConstantLabel(_expression(inner), label, replacement.replace("$$", "$"))
        case _, [argument] if name in get_args(Function):
            return Call(cast("Function", name), _range(argument))
        case _:
            raise _unsupported(f"the function {name}")


def _range(tree: Any) -> RangeSelector | Subquery:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    match _inside(tree):
        case parser.MatrixSelector(vector_selector=selector, range=window):
            return RangeSelector(_selector(selector), window)
        case parser.SubqueryExpr(expr=inner, range=timedelta() as window, step=None, offset=None, at=None):
            return Subquery(_expression(inner), window)
        case _:
            raise _unsupported("a subquery with a step, an offset or @")


def _aggregation(aggregation: Any) -> Aggregation:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    operator, modifier = cast("AggregationOperator", str(aggregation.op)), aggregation.modifier
    if operator not in get_args(AggregationOperator):
        raise _unsupported(f"the aggregation {operator}")
    if modifier is not None and modifier.type != parser.AggModifierType.By:
        raise _unsupported("`without`; list the labels that are kept, with `by`")
    return Aggregation(operator, _expression(aggregation.expr), modifier.labels if modifier else ())


def _operation(operation: Any) -> BinaryOperation:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    operator = cast("BinaryOperator", str(operation.op))
    if operator not in get_args(BinaryOperator):
        raise _unsupported(f"the operator {operator}")
    left, right, matching = _inside(operation.lhs), _inside(operation.rhs), _matching(operation.modifier)
    if isinstance(right, parser.NumberLiteral):
        return BinaryOperation(operator, _expression(left), Number(right.val))
    if not isinstance(left, parser.NumberLiteral):
        return BinaryOperation(operator, _expression(left), _expression(right), matching=matching)
    if operator == "-":
        return BinaryOperation("+", BinaryOperation("*", _expression(right), Number(-1)), Number(left.val))
    if operator not in _MIRRORED:
        raise _unsupported(f"a number on the left of {operator}")
    return BinaryOperation(_MIRRORED[operator], _expression(right), Number(left.val))


def _matching(modifier: Any) -> Matching | None:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    if modifier is None:
        return None
    if modifier.return_bool:
        raise _unsupported("the modifier bool")
    if modifier.card in (parser.VectorMatchCardinality.ManyToOne, parser.VectorMatchCardinality.OneToMany):
        raise _unsupported("group_left and group_right")
    if (modifier.fill_values.lhs, modifier.fill_values.rhs) != (None, None):
        raise _unsupported("the modifier fill")
    if modifier.matching is None:
        return None
    on = modifier.matching.type == parser.LabelModifierType.Include
    return Matching("on" if on else "ignoring", modifier.matching.labels)


def _number(tree: Any) -> float:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    match _inside(tree):
        case parser.NumberLiteral(val=float(number)):
            return number
        case _:
            raise _unsupported("a quantile that is not a number")


def _inside(tree: Any) -> Any:  # noqa: ANN401 - a node of the parser
    import promql_parser as parser  # noqa: PLC0415

    while isinstance(tree, parser.ParenExpr):
        tree = tree.expr
    return tree


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(f"{_UNSUPPORTED}: {what}")
