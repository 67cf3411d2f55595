"""Every expression is read back as the same tree.

The oracle is promql-parser, an independent reader of the grammar, which also knows the quoted UTF-8 names of Prometheus 3.
What a real server reads is tested in test_promql_real_server.py.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import promql_parser
from hypothesis import given
from hypothesis import strategies as st
from tests.support.promql_expressions import expressions, is_grouped_by_the_parser

from statcore.model import format_duration, parse_duration
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    live_stat_queries,
    render,
    utilization_query,
)
from statcore.promql.parsing import read_query
from statcore.queriers import LabelMatcher, PercentOfCapacity, QueryStrategy, UtilizationMetricQuerier
from statcore.testing.queriers import FixedQuerier
from statcore.testing.strategies import durations, ids, label_matchers, label_names, label_values, metric_names, queriers

Tree: TypeAlias = tuple[Any, ...]

OPERATORS: Final = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
MATCHINGS: Final = {"LabelModifierType.Include": "on", "LabelModifierType.Exclude": "ignoring"}


def read(text: str) -> Tree:
    """Return what the parser reads."""
    return tree_of(promql_parser.parse(text))


def tree_of(node: Any) -> Tree:  # noqa: PLR0911 - one for each kind of node
    """Return a parsed node as nested tuples; parentheses show only in the order of operations."""
    match type(node).__name__:
        case "VectorSelector":
            matchers = [(matcher.name, OPERATORS[str(matcher.op)], matcher.value) for matcher in node.matchers.matchers]
            assert ([], None) == (node.matchers.or_matchers, node.at)
            name = node.name or next(value for label, _, value in matchers if label == "__name__")
            return ("selector", name, [matcher for matcher in matchers if matcher[0] != "__name__"], node.offset)
        case "MatrixSelector":
            return ("range", tree_of(node.vector_selector), node.range)
        case "SubqueryExpr":
            assert (None, None, None) == (node.step, node.offset, node.at)
            return ("subquery", tree_of(node.expr), node.range)
        case "ParenExpr":
            return tree_of(node.expr)
        case "Call":
            return ("call", node.func.name, *map(tree_of, node.args))
        case "AggregateExpr":
            assert node.param is None
            assert node.modifier is None or node.modifier.type == promql_parser.AggModifierType.By
            return ("aggregation", str(node.op), tuple(node.modifier.labels if node.modifier else ()), tree_of(node.expr))
        case "BinaryExpr":
            return ("operation", str(node.op), tree_of(node.lhs), tree_of(node.rhs), matching_of(node.modifier))
        case "StringLiteral":
            return ("string", node.val)
        case "NumberLiteral":
            return ("number", node.val)
        case other:
            raise AssertionError(f"nothing writes a {other}")


def matching_of(modifier: Any) -> Tree | None:
    """Return the labels by which the sides of an operation are matched, or None where these are all labels."""
    if modifier is None:
        return None
    assert str(modifier.card) in {"VectorMatchCardinality.OneToOne", "VectorMatchCardinality.ManyToMany"}
    assert not modifier.return_bool
    matching = modifier.matching
    return None if matching is None else (MATCHINGS[str(matching.type)], tuple(matching.labels))


def tree_of_value(value: Any) -> Tree:  # noqa: PLR0911 - one for each kind of expression
    """Return the tree that the parser should read for an expression."""
    match value:
        case Selector():
            matchers = [(label, str(matcher.operator), matcher.value) for label, matcher in value.labels.items()]
            return ("selector", value.name, matchers, span(value.offset) if value.offset else None)
        case RangeSelector(selector, window):
            return ("range", tree_of_value(selector), span(window))
        case Subquery(expression, window):
            return ("subquery", tree_of_value(expression), span(window))
        case Call(function, argument):
            return ("call", function, tree_of_value(argument))
        case Aggregation(operator, expression, by):
            return ("aggregation", operator, by, tree_of_value(expression))
        case BinaryOperation(operator, left, right, matching=matching):
            matched = matching and (matching.modifier, matching.labels)
            return ("operation", operator, tree_of_value(left), tree_of_value(right), matched)
        case ConstantLabel(expression, name, constant):
            texts = [("string", text) for text in (name, constant.replace("$", "$$"), "", "")]
            return ("call", "label_replace", tree_of_value(expression), *texts)
        case Number(number):
            return ("number", number)
        case HistogramQuantile(quantile, buckets):
            return ("call", "histogram_quantile", ("number", quantile), tree_of_value(buckets))
        case other:
            raise AssertionError(f"not an expression: {other!r}")


def tree_of_querier(querier: UtilizationMetricQuerier, window: timedelta | str, divisor: float) -> Tree:
    """Return the tree that the parser should read for a querier, from its four methods alone."""
    labels = querier.labels().items()
    pairs = [(label, LabelMatcher.equal(value) if isinstance(value, str) else value) for label, value in labels]
    matchers = [(label, str(matcher.operator), matcher.value) for label, matcher in pairs]
    selector: Tree = ("selector", querier.name(), matchers, None)
    by = tuple(sorted(set(querier.group_by_labels())))
    strategy = querier.query_strategy()
    if isinstance(strategy, PercentOfCapacity):
        current, capacity = (
            ("selector", querier.name(), [*matchers, ("value_type", "=", value_type)], None)
            for value_type in ("current", "capacity")
        )
        above_zero: Tree = ("operation", ">", capacity, ("number", 0.0), None)
        bounded = ("operation", "<=", above_zero, ("number", sys.float_info.max), None)
        partner = ("ignoring", ("value_type",))
        if strategy.is_counter:
            rates = ("call", "rate", ("range", current, span(window)))
            share: Tree = ("aggregation", "sum", by, ("operation", "/", rates, bounded, partner))
        else:
            used, whole = (
                ("aggregation", "sum", by, ("operation", "and", *sides, partner))
                for sides in ((current, bounded), (bounded, current))
            )
            share = ("operation", "/", used, whole, None)
        texts = [("string", text) for text in ("value_type", "pct", "", "")]
        return ("call", "label_replace", ("operation", "*", share, ("number", 100.0), None), *texts)
    if strategy == "gauge":
        return ("aggregation", "sum", by, selector)
    rate = ("aggregation", "sum", by, ("call", "rate", ("range", selector, span(window))))
    return rate if strategy == "rate" or divisor == 1 else ("operation", "/", rate, ("number", divisor), None)


def span(duration: timedelta | str) -> timedelta:
    """Return a duration in either form as a timedelta."""
    return parse_duration(format_duration(duration))


FORBIDDEN: Final = '"\\{}'
utf8_names: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=FORBIDDEN).filter(str.isprintable), min_size=1, max_size=20
)
any_names: Final = metric_names() | utf8_names
any_labels: Final = label_names() | utf8_names.filter(lambda name: name != "__name__")
groupings: Final = st.lists(
    any_labels.filter(is_grouped_by_the_parser) | st.sampled_from(["inf", "NaN", "without", "by", "on"]), max_size=3
)
divisors: Final = st.just(1.0) | st.floats(min_value=0, exclude_min=True, allow_infinity=False)
labels: Final = st.dictionaries(any_labels, label_values() | label_matchers(), max_size=4)
utf8_queriers: Final = st.builds(
    FixedQuerier, any_names, labels, group_by=groupings, strategy=st.sampled_from(QueryStrategy)
)
selectors: Final = st.builds(
    Selector,
    any_names,
    labels,
    offset=st.none() | durations(),
)


@given(queriers() | utf8_queriers, durations(), divisors)
def test_any_querier_is_read_back(querier: UtilizationMetricQuerier, window: timedelta | str, divisor: float) -> None:
    """Metric, matchers in their order, range, grouping and divisor are those of the querier."""
    query = utilization_query(querier, rate_interval=window, normalization_interval_s=divisor)
    assert tree_of_querier(querier, window, divisor) == read(render(query))


@given(expressions(selectors, by=groupings))
def test_any_expression_is_read_back(expression: Expression) -> None:
    """Offsets, subqueries and operations inside operations, too."""
    assert tree_of_value(expression) == read(render(expression))


@given(expressions(selectors, by=groupings))
def test_the_text_of_any_expression_is_read_as_that_expression(expression: Expression) -> None:
    """A backend that evaluates expressions evaluates their text, too."""
    assert tree_of_value(expression) == tree_of_value(read_query(render(expression)))


@given(st.lists(ids(), min_size=1, max_size=20), durations())
def test_live_statistics_select_the_given_kernels(kernel_ids: list[UUID | str], window: timedelta | str) -> None:
    """All six expressions select these kernels and no others."""
    kernels = sorted({str(UUID(str(id_))) for id_ in kernel_ids})
    queries = live_stat_queries(kernel_ids, window=window)
    matcher = ("kernel_id", "=~" if len(kernels) > 1 else "=", "|".join(kernels))
    for query in (queries.now, queries.rate_now, queries.max, queries.avg, queries.rate_max, queries.rate_avg):
        tree = read(render(query))
        assert tree == tree_of_value(query)
        while tree[0] != "selector":
            tree = next(part for part in tree[1:] if isinstance(part, tuple) and part and part[0] in NODES)
        assert ("backendai_container_utilization", matcher) == (tree[1], tree[2][0])


NODES: Final = frozenset(["selector", "range", "subquery", "call", "aggregation"])
