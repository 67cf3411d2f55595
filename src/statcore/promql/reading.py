"""PromQL text as expressions of `statcore.promql`, for a backend that evaluates expressions; other PromQL is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast, get_args

import attrs

from statcore.errors import InputError, UnsupportedError
from statcore.promql.parsing import check_query_cost, parse
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


@attrs.frozen
class EvaluationTime:
    """`time()`: the time of each point, in unix seconds."""


Query: TypeAlias = Expression | Number | EvaluationTime


def read_query(promql: str) -> Query:
    """Return the expression, the number or the time that a PromQL text stands for.

    Raises:
        InputError: the text is not PromQL.
        UnsupportedError: `statcore.promql` has no expression for it, or it exceeds a limit of `statcore.promql.parsing`.
        MissingExtraError: the parser, which the extra `presets` installs, is not installed.
    """
    try:
        check_query_cost(promql)
    except InputError as error:
        raise UnsupportedError(str(error)) from None
    return parse(promql, _query)


def _query(tree: Any) -> Query:  # noqa: ANN401 - the parser's nodes have no type in common that says anything
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


def _expression(tree: Any) -> Expression:  # noqa: ANN401 - as above
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


def _selector(selector: Any) -> Selector:  # noqa: ANN401 - as above
    if selector.at is not None:
        raise _unsupported("the modifier @")
    if selector.matchers.or_matchers:
        raise _unsupported("`or` between matchers")
    name: str | None = selector.name
    labels: dict[str, LabelMatcher] = {}
    for matcher in selector.matchers.matchers:
        operator = _MATCH_OPERATORS[str(matcher.op)]
        if matcher.name == "__name__" and operator is MatchOperator.EQUAL and name is None:
            name = matcher.value
        elif matcher.name in labels:
            raise _unsupported(f"two matchers of the label {matcher.name}")
        else:
            labels[matcher.name] = LabelMatcher(operator, matcher.value)
    if name is None:
        raise _unsupported("a selector that names no metric")
    return Selector(name, labels, offset=_offset(selector.offset))


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


def _range(tree: Any) -> RangeSelector | Subquery:  # noqa: ANN401 - as above
    import promql_parser as parser  # noqa: PLC0415

    match _inside(tree):
        case parser.MatrixSelector(vector_selector=selector, range=window):
            return RangeSelector(_selector(selector), window)
        case parser.SubqueryExpr(expr=inner, range=timedelta() as window, step=None, offset=None, at=None):
            return Subquery(_expression(inner), window)
        case _:
            raise _unsupported("a subquery with a step, an offset or @")


def _aggregation(aggregation: Any) -> Aggregation:  # noqa: ANN401 - as above
    import promql_parser as parser  # noqa: PLC0415

    operator, modifier = cast("AggregationOperator", str(aggregation.op)), aggregation.modifier
    if operator not in get_args(AggregationOperator):
        raise _unsupported(f"the aggregation {operator}")
    if modifier is not None and modifier.type != parser.AggModifierType.By:
        raise _unsupported("`without`; list the labels that are kept, with `by`")
    return Aggregation(operator, _expression(aggregation.expr), modifier.labels if modifier else ())


def _operation(operation: Any) -> BinaryOperation:  # noqa: ANN401 - as above
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


def _matching(modifier: Any) -> Matching | None:  # noqa: ANN401 - as above
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


def _number(tree: Any) -> float:  # noqa: ANN401 - as above
    import promql_parser as parser  # noqa: PLC0415

    match _inside(tree):
        case parser.NumberLiteral(val=float(number)):
            return number
        case _:
            raise _unsupported("a quantile that is no number")


def _inside(tree: Any) -> Any:  # noqa: ANN401 - as above
    import promql_parser as parser  # noqa: PLC0415

    while isinstance(tree, parser.ParenExpr):
        tree = tree.expr
    return tree


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(f"{_UNSUPPORTED}: {what}")
