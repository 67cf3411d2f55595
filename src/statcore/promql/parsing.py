"""PromQL texts and their parser: how it is called, and what stands in the places that values may be put into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar

from statcore.errors import InputError
from statcore.imports import requires_extra
from statcore.model.text import describe

_T = TypeVar("_T")
Placeholder: TypeAlias = Literal["labels", "window", "group_by"]
Place: TypeAlias = tuple[Placeholder, object]
"""For what, and what is there: a matcher as text, the duration of a range or an offset as a timedelta, a label as text."""


def read_places(promql: str) -> list[Place]:
    """Return every matcher that selects, every label that an aggregation keeps or drops, and each range and offset.

    Labels that are joined by (`on`, `group_left`, …), alternatives of matchers (`or`) and steps are none of these.

    Raises:
        InputError: the text is no PromQL, or nothing that has a value at a point in time.
        MissingExtraError: the parser is not installed.
    """
    return parse(promql, lambda tree: [place for node in _nodes_of_value(tree) for place in _places_in(node)])


def labels_fixed_beside(promql: str, matcher: str) -> frozenset[str]:
    """Return the labels that have one value (`=`) in a selector that has this matcher, too, itself left out.

    Args:
        promql: a text that `read_places` reads.
        matcher: as `read_places` gives it.
    """

    def read(tree: Any) -> frozenset[str]:  # noqa: ANN401 - the parser's nodes have no type in common that says anything
        import promql_parser as parser  # noqa: PLC0415

        selectors = [node.matchers.matchers for node in _nodes(tree) if isinstance(node, parser.VectorSelector)]
        return frozenset(
            other.name
            for matchers in selectors
            if matcher in map(str, matchers)
            for other in matchers
            if other.op == parser.MatchOp.Equal and str(other) != matcher
        )

    return parse(promql, read)


def parse(promql: str, read: Callable[[Any], _T]) -> _T:
    """Return what `read` makes of the parser's tree.

    Raises:
        InputError: the text is no PromQL.
        MissingExtraError: the parser is not installed.
    """
    with requires_extra("presets"):
        import promql_parser as parser  # noqa: PLC0415 - an extra, which nothing but templates and queries as text need

    try:
        return read(parser.parse(promql))
    except ValueError as error:  # a number that the parser cannot hold is found only when it is looked at
        raise InputError(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the parser's own, which derives from nothing that it should
            raise
        raise InputError(f"its parser fails: {describe(error)}") from None


def _nodes_of_value(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - the parser's nodes have no type in common that says anything
    import promql_parser as parser  # noqa: PLC0415

    while isinstance(tree, parser.ParenExpr):
        tree = tree.expr
    if isinstance(tree, parser.MatrixSelector | parser.SubqueryExpr | parser.StringLiteral):
        raise InputError("it has no value at a point in time, as a number or an instant vector has")
    return _nodes(tree)


def _nodes(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - the parser's nodes have no type in common that says anything
    import promql_parser as parser  # noqa: PLC0415

    waiting: list[Any] = [tree]  # the parser's own `walk` takes minutes where expressions are nested deeply
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
                waiting += [inner, parameter]  # a parameter that is not there is None
            case parser.ParenExpr(expr=inner) | parser.UnaryExpr(expr=inner) | parser.SubqueryExpr(expr=inner):
                waiting.append(inner)
            case _:
                pass


def _places_in(node: Any) -> Iterator[Place]:  # noqa: ANN401 - likewise
    import promql_parser as parser  # noqa: PLC0415

    match node:
        case parser.VectorSelector(matchers=matchers, offset=offset):
            for matcher in matchers.matchers:
                yield "labels", str(matcher)
            yield "window", offset  # None where there is none
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
