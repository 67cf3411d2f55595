"""Keys of loaders: what is loaded once, and what is never mixed up."""

from __future__ import annotations

from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from tests.graphql_asking import CountedMetrics, Host, echo, kernel_id

from statcore.model import QueryTimeRange
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, QueryStrategy
from statcore.testing.queriers import FixedQuerier
from statcore_graphql import DataLoaderManager, Loader, RequestLoaders
from statcore_graphql.utilization import querier_key

RANGE = QueryTimeRange(start=1_795_000_000, end=1_795_000_060, step="30s")


@attrs.frozen(hash=False)
class Colliding:
    """A value whose hash is that of all others."""

    number: int

    def __hash__(self) -> int:
        """Collide."""
        return 1


VALUES = st.builds(Colliding, st.integers()) | st.sampled_from([-1, -2, 0, 2**61 - 1, 2**61, 2**61 - 2, "", "a", None])


def test_some_of_these_values_collide() -> None:
    """Or the two tests below show nothing."""
    for one, other in ((Colliding(1), Colliding(2)), (-1, -2), (0, 2**61 - 1)):
        assert hash(one) == hash(other)
        assert one != other


@given(st.lists(VALUES))
async def test_keys_whose_hashes_collide_are_not_mixed(keys: list[Hashable]) -> None:
    """Each gets its own value."""
    manager = DataLoaderManager().adding("Acme.own", Loader(echo))
    loader = manager.get_loader(SimpleNamespace(loaders=RequestLoaders()), "Acme.own")
    assert [{"key": key} for key in keys] == await loader.load_many(keys)


@given(st.lists(VALUES, min_size=1), st.lists(VALUES, min_size=1))
async def test_parameters_whose_hashes_collide_are_not_mixed(ones: list[Hashable], others: list[Hashable]) -> None:
    """The same loader for the same parameters in any order, another one for others, and each loads with its own."""
    manager, ctx = DataLoaderManager().adding("Acme.own", Loader(echo)), SimpleNamespace(loaders=RequestLoaders())
    pairs = [(one, other) for one in ones for other in others]
    made = [manager.get_loader(ctx, "Acme.own", one=one, other=other) for one, other in pairs]
    again = [manager.get_loader(ctx, "Acme.own", other=other, one=one) for one, other in pairs]
    assert all(first is second for first, second in zip(made, again, strict=True))
    assert len(set(pairs)) == len(set(made))
    for loader, (one, other) in zip(made, pairs, strict=True):
        assert {"key": "k", "one": one, "other": other} == await loader.load("k")


async def test_queriers_that_ask_the_same_are_one_key(nodes: Any) -> None:
    """Whether or not their class can be hashed; those that do not are several."""
    host = Host(metrics=CountedMetrics())
    ctx = host.context()
    loader = host.manager.get_loader(ctx, "UtilizationMetrics.by_querier", time_range=RANGE)
    node = nodes.NodeMetricQuerier
    queriers = [
        node(metric_name="load", node_id="n1"),
        node(metric_name="load", node_id="n1", rack=5),  # the rack is no part of its question
        node(metric_name="load", node_id="n2"),
        ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=kernel_id(1)),
        ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=kernel_id(1).upper()),
    ]
    results = await loader.load_many(queriers)
    assert results[0] is results[1]
    assert results[3] is results[4]
    assert 3 == ctx.loaders.asked
    assert 2 == len(host.metrics.asked)


ASKED = FixedQuerier("m", {"a": "1", "b": "2"}, group_by=["a", "b"], strategy=QueryStrategy.GAUGE)
OTHERS = [
    attrs.evolve(ASKED, metric="n"),
    attrs.evolve(ASKED, matchers={"a": "1"}),
    attrs.evolve(ASKED, matchers={"a": "1", "b": "3"}),
    attrs.evolve(ASKED, matchers={"a": "1", "b": LabelMatcher.regex("2")}),
    attrs.evolve(ASKED, group_by=["a"]),
    attrs.evolve(ASKED, strategy=QueryStrategy.RATE),
]


def test_queriers_that_differ_in_anything_are_different_keys() -> None:
    """In the name, a label, its value or how it is matched, the grouping or the strategy."""
    keys = [querier_key(querier) for querier in (ASKED, *OTHERS)]
    assert len(keys) == len(set(keys))
    same = attrs.evolve(ASKED, matchers={"a": LabelMatcher.equal("1"), "b": "2"}, group_by=("b", "a", "a"))
    assert keys[0] == querier_key(same)
