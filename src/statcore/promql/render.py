"""Expressions to PromQL text."""

from __future__ import annotations

from statcore.promql.syntax import Part


def render(expression: Part) -> str:
    """Write an expression, or a part of one, as PromQL text."""
    return expression.text
