"""Moving statistics, the grid of rounds, and sums over devices that come and go, for any values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore_collector import node
from statcore_collector.collector import next_due
from statcore_collector.failures import Unreadable
from statcore_collector.metric import MovingStatistics
from statcore_collector.node import MemberCounter, NodeSampler, NodeSnapshot

COUNTS = st.integers(min_value=-(2**53), max_value=2**53)


@given(values=st.lists(COUNTS, min_size=1), steps=st.lists(st.integers(1, 1000), min_size=100, max_size=100))
def test_statistics_are_those_of_all_samples(values: list[int], steps: list[int]) -> None:
    """They equal statistics computed from all samples; difference and rate are of the last two."""
    moving = MovingStatistics()
    times = [sum(steps[: position % 100]) + position // 100 * sum(steps) for position in range(len(values))]
    for time_s, value in zip(times, values, strict=True):
        moving.observe(time_s, value)
    expected: dict[str, float] = {
        "min": min(values),
        "max": max(values),
        "sum": sum(values),
        "avg": sum(values) / len(values),
    }
    if len(values) > 1:
        diff = values[-1] - values[-2]
        expected |= {"diff": diff, "rate": diff / (times[-1] - times[-2])}
    assert expected == moving.values()
    assert values[-1] == moving.last


@given(start=st.integers(0, 10**6), interval=st.integers(1, 1000), late=st.integers(0, 10**6))
def test_rounds_stay_on_their_grid(start: int, interval: int, late: int) -> None:
    """The next round is after now, by at most one interval, and a whole number of intervals after the first."""
    due = next_due(start, interval, start + late)
    assert start + late < due <= start + late + interval
    assert 0 == (due - start) % interval


# Each round lists any of four members with any counter, as after a reset or on another machine, or none that can be read.
ROUNDS = st.lists(st.dictionaries(st.sampled_from("0123"), st.none() | st.integers(0, 10**15)), min_size=1, max_size=12)


@given(rounds=ROUNDS, interval_ms=st.integers(1, 100_000))
def test_cores_are_never_busier_than_they_can_be(rounds: list[dict[str, int | None]], interval_ms: int) -> None:
    """Each core is between 0 and the time since it was read; the node is their sum over one interval, or unknown."""
    snapshots = iter(
        NodeSnapshot(time_s=number * interval_ms / 1000, cores=cores, gauges={}, counters={})
        for number, cores in enumerate(rounds)
    )

    def plan(_: Unreadable) -> NodeSnapshot:
        return next(snapshots)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node, "read_node", plan)
        sampler = NodeSampler()
        found = [sampler.sample(Unreadable()) for _ in rounds]
    read_in: dict[str, int] = {}
    for number, (cores, round_) in enumerate(zip(rounds, found, strict=True)):
        used = {core: float(value.current) for core, value in round_.devices.get("cpu_util", {}).items()}
        assert {core for core, busy in cores.items() if busy is not None} == set(used)
        newest = max(read_in.values(), default=number)
        intervals = {core: number - read_in.get(core, newest) for core in used}
        assert all(0 <= busy <= intervals[core] * interval_ms + 0.001 for core, busy in used.items())
        assert {0.0} >= {busy for core, busy in used.items() if core not in read_in}
        is_known = len(set(intervals.values())) == 1 and not any(cores[core] is None for core in cores if core in read_in)
        assert is_known == ("cpu_util" in round_.node)
        if is_known:
            assert float(round_.node["cpu_util"].current) == pytest.approx(sum(used.values()), abs=0.01)
        if cores:
            read_in = {core: number if core in used else read_in[core] for core in cores if core in used or core in read_in}


@given(rounds=ROUNDS)
def test_a_sum_grows_by_what_members_of_both_rounds_counted(rounds: list[dict[str, int | None]]) -> None:
    """It never falls; a new member or a counter that fell does not change it; it is unknown while a member is."""
    counter = MemberCounter()
    before: dict[str, int] = {}
    total = sum(value for value in rounds[0].values() if value is not None)
    for members in rounds:
        found = {member: value for member, value in members.items() if value is not None}
        total += sum(max(0, value - before[member]) for member, value in found.items() if member in before)
        unread = {member: before[member] for member in members.keys() & before.keys() if member not in found}
        assert (total if found and not unread else None) == counter.update(members)
        before = {**found, **unread}
