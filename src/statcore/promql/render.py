"""Expressions to PromQL text."""

from __future__ import annotations

from statcore.promql.syntax import Expression, RangeSelector, Subquery


def render(expression: Expression | RangeSelector | Subquery) -> str:
    """Write an expression as PromQL text."""
    return expression.text
