"""Templates for tests, and the trees that promql-parser reads for their texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

import promql_parser

from statcore.model import format_duration, parse_duration
from statcore.promql.templates import Template
from statcore.queriers import LabelMatcher

Tree: TypeAlias = Any

VALID: Final = (
    "up",
    "up{${{ labels }}}",
    'sum by (${{ group_by }})(rate(x_total{job="a",${{ labels }}}[${{ window }}]))',
    'sum by (job,${{ group_by }}) (up{ job=~"a|b" , ${{ labels }} })',
    'sum(up{${{labels}}}) by (${{group_by}}) / on (job) group_left () sum by (job)(up{job!="",${{ labels }}})',
    "histogram_quantile(0.9, sum by (le,${{ group_by }})(rate(x_bucket{${{ labels }}}[${{ window }}])))",
    "max_over_time((sum by (${{ group_by }})(up{${{ labels }}}))[${{ window }}:1m] offset 1h) > bool 1",
    "topk by (${{ group_by }})(5, -rate(x_total{${{ labels }}}[${{   window   }}]))",
    '# how many ${ labels }\nsum without (instance)(up{\n  job="a", # \'\n  ${{ labels }}\n\t}) # the end',
    "quantile(scalar(max(up{${{ labels }}})), up)",
    'label_replace(up{${{ labels }}}, "a", "$1", "b", "(.*)")',
    'sum without (${{ group_by }}, pod)(x_total{${{ labels }}, value_type="current"} offset ${{ window }})',
    'sum by (${{group_by}},job)(rate(x_total{a=~"b",${{ labels }} , c="d"}[${{ window }}] offset ${{ window }}))',
)
"""Templates with each placeholder in all of its places."""

MATCHER: Final = ("here_a_label", "=", "here a value")
WINDOW: Final = timedelta(milliseconds=1_234_567)
GROUP: Final = "here_a_group"

_OPERATORS: Final = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "VectorSelector": ("name", "matchers", "offset", "at"),
    "Matchers": ("matchers", "or_matchers"),
    "MatrixSelector": ("vector_selector", "range"),
    "SubqueryExpr": ("expr", "range", "step", "offset", "at"),
    "ParenExpr": ("expr",),
    "UnaryExpr": ("expr",),
    "Call": ("func", "args"),
    "Function": ("name",),
    "AggregateExpr": ("op", "expr", "param", "modifier"),
    "AggModifier": ("type", "labels"),
    "BinaryExpr": ("op", "lhs", "rhs", "modifier"),
    "NumberLiteral": ("val",),
    "StringLiteral": ("val",),
}


def read(text: str) -> Tree:
    """Return what the parser reads, as nested tuples and lists."""
    return tree_of(promql_parser.parse(text))


def tree_of(node: Any) -> Tree:
    """Return a parsed node, or a value in one, as nested tuples and lists."""
    kind = type(node).__name__
    if kind == "Matcher":
        return (node.name, _OPERATORS[str(node.op)], node.value)
    if kind in _FIELDS:
        return (kind, *(tree_of(getattr(node, field)) for field in _FIELDS[kind]))
    if isinstance(node, list):
        return [tree_of(item) for item in node]
    if isinstance(node, float) and math.isnan(node):
        return "NaN"  # which equals itself
    return node if isinstance(node, str | float | bool | timedelta | None) else str(node)


def places(template: Template) -> Tree:
    """Return the tree of a template, with `MATCHER`, `WINDOW` and `GROUP` in the places of values."""
    label, _, value = MATCHER
    labels = {label: value} if "labels" in template.placeholders else {}
    group_by = [GROUP] if "group_by" in template.placeholders else []
    return read(template.render(labels, window=WINDOW, group_by=group_by))


def count(tree: Tree, item: object) -> int:
    """Return how often a value is in a tree."""
    inside = sum(count(part, item) for part in tree) if isinstance(tree, tuple | list) else 0
    return inside + (type(tree) is type(item) and tree == item)


def filled(tree: Tree, labels: Mapping[str, str | LabelMatcher], window: timedelta | str, group_by: Sequence[str]) -> Tree:
    """Return the tree of a template with values in place of `MATCHER`, `WINDOW` and `GROUP`."""
    matchers = [
        (label, "=", matcher) if isinstance(matcher, str) else (label, str(matcher.operator), matcher.value)
        for label, matcher in labels.items()
    ]

    groups = sorted(set(group_by))

    def fill(part: Tree) -> Tree:
        if part == WINDOW:
            return parse_duration(format_duration(window))
        if isinstance(part, list):
            return [new for item in part for new in put(item)]
        return tuple(map(fill, part)) if isinstance(part, tuple) else part

    def put(item: Tree) -> Tree:
        return matchers if item == MATCHER else groups if item == GROUP else [fill(item)]

    return fill(tree)
