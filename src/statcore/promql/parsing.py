"""The parser of PromQL text: limits on the text, the call of the parser, and what a template needs from the tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias, TypeVar

from statcore.errors import InputError
from statcore.imports import requires_extra
from statcore.model.text import describe

_T = TypeVar("_T")
Placeholder: TypeAlias = Literal["labels", "window", "group_by"]
Place: TypeAlias = tuple[Placeholder, object]
"""A placeholder and a value in its place: a matcher as text, a range or an offset as a timedelta, a label as text."""

MAX_LENGTH: Final = 2_000
"""Characters of a text; characters in the strings of a query do not count."""
MAX_NESTING: Final = 100
"""Brackets inside one another: the parser recurses as deep, and does not check its stack."""
MAX_OPERATORS: Final = 200
"""Operators, also of matchers: the parser recurses for each."""
MAX_REPETITIONS: Final = 1_000
"""Repetitions in regular expressions, such as 30 for `{30}`: the parser expands each of them."""
MAX_QUERY_LENGTH: Final = 100_000
"""Characters of a query, strings included."""

_STRING: Final = re.compile(r""" "(?:\\.|[^"\\])*"? | '(?:\\.|[^'\\])*'? | `[^`]*`? | \#[^\n]* """, re.VERBOSE | re.DOTALL)
"""A string, also one without an end, or a comment, in which a quotation mark begins no string."""
_OPERATOR: Final = re.compile(r"[-+*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_COUNT: Final = re.compile(r"(\)?)\{(\d{1,9})(?:,(\d{0,9}))?\}")


def check_cost(text: str, *, what: str = "a template") -> None:
    """Check the limits of a text that the parser reads.

    Raises:
        InputError: the text exceeds a limit; the message names the limit.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"{what} of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if (nesting := _nesting(text)) > MAX_NESTING:
        raise InputError(f"{what} whose brackets are nested {nesting} deep; at most {MAX_NESTING} are allowed")
    if (operators := len(_OPERATOR.findall(text))) > MAX_OPERATORS:
        raise InputError(f"{what} with {operators} operators; at most {MAX_OPERATORS} are allowed")
    if _repetitions(text) > MAX_REPETITIONS:
        raise InputError(f"{what} whose regular expressions repeat more than {MAX_REPETITIONS} times")


def check_query_cost(text: str) -> None:
    """Check the limits of a query; strings, which may hold the ids of many objects, count only for repetitions.

    Raises:
        InputError: the query exceeds a limit; the message names the limit.
    """
    if len(text) > MAX_QUERY_LENGTH:
        raise InputError(f"a query of {len(text)} characters; at most {MAX_QUERY_LENGTH} are allowed")
    strings: list[str] = []

    def take(found: re.Match[str]) -> str:
        strings.append(found[0])
        return '""'

    check_cost(_STRING.sub(take, text), what="a query")
    if _repetitions("".join(strings)) > MAX_REPETITIONS:
        raise InputError(f"a query whose regular expressions repeat more than {MAX_REPETITIONS} times")


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _repetitions(text: str) -> int:
    """Return an upper bound: counts behind a group multiply, because they may repeat other counts; the others add up."""
    single, groups = 1, 1
    for group, least, most in _COUNT.findall(text):
        count = max(1, int(most or least))
        single, groups = (single, groups * count) if group else (single + count, groups)
    return single * groups


def read_places(promql: str) -> list[Place]:
    """Return every matcher of a selector, every label that an aggregation keeps or drops, and every range and offset.

    Left out are labels of a join (`on`, `group_left`, …), alternatives of matchers (`or`), and steps.

    Raises:
        InputError: the text is not PromQL, or has no value at a point in time.
        MissingExtraError: the parser is not installed.
    """
    return parse(promql, lambda tree: [place for node in _nodes_of_value(tree) for place in _places_in(node)])


def labels_fixed_beside(promql: str, matcher: str) -> frozenset[str]:
    """Return the labels that a selector with this matcher matches by `=`, without the matcher itself.

    Args:
        promql: a text that `read_places` reads.
        matcher: a matcher as `read_places` returns it.

    Raises:
        InputError: the text is not PromQL.
        MissingExtraError: the parser is not installed.
    """

    def read(tree: Any) -> frozenset[str]:  # noqa: ANN401 - the parser's nodes have no common type
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
    """Return the result of `read` for the parser's tree.

    Raises:
        InputError: the text is not PromQL.
        MissingExtraError: the parser is not installed.
    """
    with requires_extra("presets"):
        import promql_parser as parser  # noqa: PLC0415 - an extra, which only templates and text need

    try:
        return read(parser.parse(promql))
    except ValueError as error:  # the parser finds a number that it cannot hold only when that is read
        raise InputError(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the parser's own, a direct subclass of BaseException
            raise
        raise InputError(f"its parser fails: {describe(error)}") from None


def _nodes_of_value(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - the parser's nodes have no common type
    import promql_parser as parser  # noqa: PLC0415

    while isinstance(tree, parser.ParenExpr):
        tree = tree.expr
    if isinstance(tree, parser.MatrixSelector | parser.SubqueryExpr | parser.StringLiteral):
        raise InputError("it has no value at a point in time; expected a number or an instant vector")
    return _nodes(tree)


def _nodes(tree: Any) -> Iterator[Any]:  # noqa: ANN401 - the parser's nodes have no common type
    import promql_parser as parser  # noqa: PLC0415

    waiting: list[Any] = [tree]  # the parser's own `walk` takes minutes for deeply nested expressions
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


def _places_in(node: Any) -> Iterator[Place]:  # noqa: ANN401 - as above
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
