"""Expressions to PromQL text; the only place where text is quoted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from statcore.promql.names import is_bare_label_name, is_bare_metric_name, is_classic_metric_name
from statcore.promql.syntax import Aggregation, BinaryOperation, Call, Expression, RangeSelector, Selector, Subquery
from statcore.queriers.matcher import LabelMatcher

# Servers refuse U+FFFD when it comes raw, since their lexer takes it for broken UTF-8; astral characters stay as they are.
_ESCAPES: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\ufffd": r"\ufffd"}
_TO_ESCAPE: Final = re.compile(r'["\\\n\ufffd]')


def quote(text: str) -> str:
    """Write text as a PromQL string in double quotes."""
    if _TO_ESCAPE.search(text):
        text = _TO_ESCAPE.sub(lambda found: _ESCAPES[found.group()], text)
    return f'"{text}"'


def render(expression: Expression | RangeSelector | Subquery) -> str:
    """Write an expression as PromQL text."""
    match expression:
        case Selector(name, labels, offset=offset):
            return f"{_selector(name, labels)} offset {offset}" if offset else _selector(name, labels)
        case RangeSelector(Selector(name, labels, offset=offset), window):
            modifier = f" offset {offset}" if offset else ""
            return f"{_selector(name, labels)}[{window}]{modifier}"
        case Call(function, argument):
            return f"{function}({render(argument)})"
        case Aggregation(operator, inner, by=by):
            grouping = f" by ({','.join(map(_label_name, by))})" if by else ""
            return f"{operator}{grouping}({render(inner)})"
        case Subquery(inner, window):
            return f"({render(inner)})[{window}:]"
        case BinaryOperation(operator, left, right):
            operand = f"({render(left)})" if isinstance(left, BinaryOperation) else render(left)
            return f"{operand} {operator} {right.value!r}"


def _label_name(name: str) -> str:
    return name if is_bare_label_name(name) else quote(name)


def _selector(name: str, labels: Mapping[str, LabelMatcher]) -> str:
    matchers = [f"{_label_name(label)}{matcher.operator}{quote(matcher.value)}" for label, matcher in labels.items()]
    if is_bare_metric_name(name):
        return f"{name}{{{','.join(matchers)}}}" if matchers else name
    in_braces = f"__name__={quote(name)}" if is_classic_metric_name(name) else quote(name)
    return f"{{{','.join([in_braces, *matchers])}}}"
