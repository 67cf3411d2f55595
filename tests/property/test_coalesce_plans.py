"""Which queriers are asked for together: every one once, and in no more requests than merging along one label takes."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from tests.coalescing import mixed_queriers, similar_containers

from statcore.promql import render, utilization_query
from statcore.queriers import ContainerMetricQuerier, ResolvedQuerier, UtilizationMetricQuerier, coalesce, resolve
from statcore.testing import strategies

MAX_VALUES = st.integers(1, 5)


def text(querier: UtilizationMetricQuerier) -> str:
    """Return what is sent for a querier."""
    return render(utilization_query(querier))


def question(querier: UtilizationMetricQuerier) -> object:
    """Return what makes two queriers equal."""
    asked = resolve(querier)
    return asked.name, frozenset(asked.labels.items()), asked.group_by, asked.strategy


@given(st.one_of(mixed_queriers(), st.lists(strategies.queriers(), max_size=10)), MAX_VALUES)
def test_every_querier_is_asked_for_once(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """Each position is in one result, in order, and the results are the same another time."""
    coalesced = coalesce(queriers, max_values=max_values)
    assert list(range(len(queriers))) == sorted(position for one in coalesced for position in one.positions)
    assert [tuple(sorted(one.positions)) for one in coalesced] == sorted(one.positions for one in coalesced)
    assert coalesced == coalesce(queriers, max_values=max_values)


@given(st.one_of(mixed_queriers(), st.lists(strategies.queriers(), max_size=10)), MAX_VALUES)
def test_who_is_alone_is_asked_for_as_ever(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """With the very same text, also for several equal ones; and those are never asked for apart."""
    coalesced = coalesce(queriers, max_values=max_values)
    questions = [{question(queriers[position]) for position in one.positions} for one in coalesced]
    assert len(set().union(*questions)) == sum(map(len, questions))
    alone = [one for one, different in zip(coalesced, questions, strict=True) if len(different) == 1]
    assert [text(queriers[one.positions[0]]) for one in alone] == [text(one) for one in alone]


@given(mixed_queriers(), MAX_VALUES)
def test_no_request_names_more_values_than_it_may(queriers: list[UtilizationMetricQuerier], max_values: int) -> None:
    """But for a querier that names more by itself."""
    for one in coalesce(queriers, max_values=max_values):
        own = [len(wanted.alternatives) for at in one.positions for wanted in resolve(queriers[at]).labels.values()]
        named = [len(wanted.alternatives) for wanted in resolve(one).labels.values()]
        assert all(count <= max(max_values, *own) for count in named)


def requests_along(label: str, family: list[ResolvedQuerier], max_values: int) -> int:
    """Return how many requests it takes to merge along one label and nothing else."""
    values = defaultdict(set)
    for asked in family:
        others = frozenset((name, wanted) for name, wanted in asked.wanted.items() if name != label)
        values[others].add(asked.wanted[label])
    return sum(-(-len(found) // max_values) for found in values.values())


@given(st.lists(similar_containers(), max_size=4), MAX_VALUES)
def test_no_label_alone_would_take_fewer_requests(groups: list[list[ContainerMetricQuerier]], max_values: int) -> None:
    """Those that cannot be merged at all counted apart: other strategies, other labels."""
    queriers = [querier for group in groups for querier in group]
    families = defaultdict(list)
    for asked in map(resolve, queriers):
        families[asked.strategy, frozenset(asked.wanted)].append(asked)
    best = [min(requests_along(label, family, max_values) for label in family[0].wanted) for family in families.values()]
    assert len(coalesce(queriers, max_values=max_values)) <= sum(best)
