"""A Hypothesis strategy of expressions with every kind of node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from hypothesis import strategies as st

from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Matching,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.promql.syntax import AggregationOperator, ArithmeticOperator, BinaryOperator, ComparisonOperator, Function
from statcore.testing.strategies import durations, label_names, label_values

NOT_GROUPED_BY_THE_PARSER: Final = frozenset(["anchored", "smoothed"])
"""Labels, in any case, that servers group by and promql-parser does not."""


def is_grouped_by_the_parser(label: str) -> bool:
    """Return whether promql-parser reads a grouping by this label, as servers do."""
    return label.lower() not in NOT_GROUPED_BY_THE_PARSER


def expressions(
    selectors: st.SearchStrategy[Selector], *, by: st.SearchStrategy[Sequence[str]]
) -> st.SearchStrategy[Expression]:
    """Return expressions over these selectors, aggregated by these labels, inside one another."""
    ranges = st.builds(RangeSelector, selectors, durations())
    finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
    with_numbers = st.sampled_from((*get_args(ArithmeticOperator), *get_args(ComparisonOperator)))
    matchings = st.none() | st.builds(Matching, st.sampled_from(["on", "ignoring"]), by)

    def larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        return st.one_of(
            st.builds(Aggregation, st.sampled_from(get_args(AggregationOperator)), inner, by=by),
            st.builds(Call, st.sampled_from(get_args(Function)), ranges | st.builds(Subquery, inner, durations())),
            st.builds(BinaryOperation, with_numbers, inner, st.builds(Number, finite)),
            st.builds(BinaryOperation, st.sampled_from(get_args(BinaryOperator)), inner, inner, matching=matchings),
            st.builds(HistogramQuantile, st.floats(0, 1), inner),
            st.builds(ConstantLabel, inner, label_names(), label_values().filter(bool)),
        )

    return st.recursive(selectors, larger, max_leaves=5)
