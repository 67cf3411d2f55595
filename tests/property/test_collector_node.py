"""Sums over cores, interfaces and disks that come and go in any order: never negative, never more than there can be."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore_collector import node
from statcore_collector.member_counter import MemberCounter
from statcore_collector.node import NodeReadings, NodeSampler
from statcore_collector.readable import Unreadable

# In any round any of four members is there, with any counter: it may have begun anew, or be that of another machine.
ROUNDS = st.lists(st.dictionaries(st.sampled_from("0123"), st.integers(0, 10**15)), min_size=1, max_size=12)


@given(rounds=ROUNDS, interval_ms=st.integers(1, 100_000))
def test_cores_are_never_busier_than_they_can_be(rounds: list[dict[str, int]], interval_ms: int) -> None:
    """Each core between 0 and the interval, the node between 0 and the number of cores times the interval."""
    readings = iter(
        NodeReadings(time_s=number * interval_ms / 1000, cores=cores, gauges={}, counters={})
        for number, cores in enumerate(rounds)
    )

    def plan(_: Unreadable) -> NodeReadings:
        return next(readings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node, "read_node", plan)
        sampler = NodeSampler()
        found = [sampler.sample(Unreadable()) for _ in rounds]
    before: Mapping[str, int] = {}
    for cores, round_ in zip(rounds, found, strict=True):
        used = {core: float(value.current) for core, value in round_.devices.get("cpu_util", {}).items()}
        assert set(cores) == set(used)
        assert all(0 <= busy <= interval_ms + 0.001 for busy in used.values())
        assert {0.0} >= {busy for core, busy in used.items() if core not in before}
        if cores:
            assert float(round_.node["cpu_util"].current) == pytest.approx(sum(used.values()), abs=0.01)
        before = cores


@given(rounds=ROUNDS)
def test_a_sum_grows_by_what_members_of_both_rounds_counted(rounds: list[dict[str, int]]) -> None:
    """It never falls, and neither a member that is new nor one whose counter fell moves it."""
    counter = MemberCounter()
    totals = [counter.update(members) for members in rounds]
    assert sum(rounds[0].values()) == totals[0]
    for (before, after), (total, next_total) in zip(pairwise(rounds), pairwise(totals), strict=True):
        grown = sum(max(0, after[member] - before[member]) for member in before.keys() & after.keys())
        assert total + grown == next_total
