"""Batches of coalescing: every querier is in one, and there are no more than merging along one label takes."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from tests.support.coalescing import mixed_queriers, similar_containers

from statcore.promql import render, utilization_query
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, MetricQuery, UtilizationMetricQuerier, coalesce, resolve
from statcore.queriers.matcher import as_matcher
from statcore.testing import strategies

MAX_VALUES = st.integers(1, 5)


def text(querier: UtilizationMetricQuerier) -> str:
    """Return the PromQL of a querier."""
    return render(utilization_query(querier))


def matchers(querier: UtilizationMetricQuerier) -> list[tuple[str, LabelMatcher]]:
    """Return the labels of a querier with their matchers."""
    return [(label, as_matcher(matcher)) for label, matcher in resolve(querier).matchers]


def key(querier: UtilizationMetricQuerier) -> object:
    """Return a key that equal queriers share."""
    query = resolve(querier)
    return query.name, frozenset(matchers(querier)), query.group_by, query.strategy


@given(st.one_of(mixed_queriers(), st.lists(strategies.queriers(), max_size=10)), MAX_VALUES)
def test_every_querier_is_in_one_batch(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """Each position is in one batch, the batches are in order, and they are the same for the same input."""
    coalesced = coalesce(queriers, max_values=max_values)
    assert list(range(len(queriers))) == sorted(position for batch in coalesced for position in batch.positions)
    assert [tuple(sorted(batch.positions)) for batch in coalesced] == sorted(batch.positions for batch in coalesced)
    assert coalesced == coalesce(queriers, max_values=max_values)


@given(st.one_of(mixed_queriers(), st.lists(strategies.queriers(), max_size=10)), MAX_VALUES)
def test_a_querier_alone_keeps_its_text(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """Several equal queriers are always in the same batch."""
    coalesced = coalesce(queriers, max_values=max_values)
    keys = [{key(queriers[position]) for position in batch.positions} for batch in coalesced]
    assert len(set[object]().union(*keys)) == sum(map(len, keys))
    alone = [batch for batch, different in zip(coalesced, keys, strict=True) if len(different) == 1]
    assert [text(queriers[batch.positions[0]]) for batch in alone] == [text(batch) for batch in alone]


@given(mixed_queriers(), MAX_VALUES)
def test_no_batch_names_too_many_values(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """Unless a single querier names more."""
    for batch in coalesce(queriers, max_values=max_values):
        own = [len(matcher.alternatives) for position in batch.positions for _, matcher in matchers(queriers[position])]
        named = [len(matcher.alternatives) for _, matcher in matchers(batch)]
        assert all(count <= max(max_values, *own) for count in named)


def batches_along(label: str, family: list[MetricQuery], max_values: int) -> int:
    """Return how many batches there are where queries are merged along one label only."""
    values = defaultdict(set)
    for query in family:
        others = frozenset((name, matcher) for name, matcher in query.matchers if name != label)
        values[others].add(query.wanted[label])
    return sum(-(-len(found) // max_values) for found in values.values())


@given(st.lists(similar_containers(), max_size=4), MAX_VALUES)
def test_no_label_alone_would_take_fewer_batches(groups: list[list[ContainerMetricQuerier]], max_values: int) -> None:
    """Counted per strategy and set of labels, since other queriers are never merged."""
    queriers = [querier for group in groups for querier in group]
    families = defaultdict(list)
    for query in map(resolve, queriers):
        families[query.strategy, frozenset(query.wanted)].append(query)
    best = [min(batches_along(label, family, max_values) for label in family[0].wanted) for family in families.values()]
    assert len(coalesce(queriers, max_values=max_values)) <= sum(best)
