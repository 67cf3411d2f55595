"""Widening: an expression reads what its selectors read, wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from tests.support.promql_expressions import expressions

from statcore.promql import Expression, Selector, utilization_query
from statcore.promql.utilization import widening
from statcore.queriers import LabelMatcher, UtilizationMetricQuerier, coalesce, resolve
from statcore.testing.strategies import container_queriers, durations, label_names, label_values, queriers

MATCHERS: Final = {
    "user_id": LabelMatcher.equal("u"),
    "host": LabelMatcher.one_of(["a", "b", "c"]),
    "mode": LabelMatcher.regex("x.*"),
}
more: Final = st.dictionaries(label_names(), label_values(), max_size=2)
hosts: Final = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1).map(LabelMatcher.one_of)


def selectors(name: str, labels: st.SearchStrategy[Mapping[str, str | LabelMatcher]]) -> st.SearchStrategy[Selector]:
    """Return selectors of a metric with these labels."""
    return st.builds(Selector, st.just(name), labels, offset=st.none() | durations())


inside: Final = selectors("inside", st.builds(lambda labels, host: {**labels, **MATCHERS, "host": host}, more, hosts))
wide_labels: Final = st.builds(
    lambda labels, label, wider: {
        **{name: value for name, value in (labels | MATCHERS).items() if name != label},
        **({} if wider is None else {label: wider}),
    },
    more,
    st.sampled_from(list(MATCHERS)),
    st.sampled_from([None, LabelMatcher.equal("z"), LabelMatcher.one_of(["a", "z"]), LabelMatcher.not_equal("z")]),
)
wide: Final = selectors("wide", wide_labels)


@given(expressions(inside | wide, by=st.just(["host"])))
def test_one_wide_selector_makes_an_expression_wide(expression: Expression) -> None:
    """It does not depend on the parts around it; an expression without a wide selector is not wide."""
    assert ("wide" in expression.text) == (widening(expression, MATCHERS.items()) is not None)


@given(st.sets(st.sampled_from("abcd"), min_size=1), st.sets(st.sampled_from("abcd"), min_size=1))
def test_some_of_a_set_is_within_it(some: set[str], all_of_them: set[str]) -> None:
    """Only a subset is."""
    assert some.issubset(all_of_them) == LabelMatcher.one_of(some).is_within(LabelMatcher.one_of(all_of_them))


@given(st.lists(container_queriers() | queriers(), min_size=1, max_size=4))
def test_no_strategy_of_statcore_widens(drawn: list[UtilizationMetricQuerier]) -> None:
    """This includes percent of capacity, alone or coalesced."""
    for querier in (*drawn, *coalesce(drawn)):
        matchers = resolve(querier).labels
        assert widening(utilization_query(querier), matchers.items()) is None
