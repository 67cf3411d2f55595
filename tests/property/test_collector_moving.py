"""Moving statistics, and the grid of rounds, for any values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from statcore_collector.collector import next_due
from statcore_collector.moving import MovingStatistics

COUNTS = st.integers(min_value=-(2**53), max_value=2**53)


@given(values=st.lists(COUNTS, min_size=1), steps=st.lists(st.integers(1, 1000), min_size=100, max_size=100))
def test_statistics_are_those_of_all_samples(values: list[int], steps: list[int]) -> None:
    """They are what one would compute with all samples at hand; difference and rate are of the last two."""
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


@given(
    start=st.integers(0, 10**6),
    interval=st.integers(1, 1000),
    late=st.integers(0, 10**6),
)
def test_rounds_stay_on_their_grid(start: int, interval: int, late: int) -> None:
    """The next round is due after now, by one interval at most, and a whole number of intervals after the first."""
    due = next_due(start, interval, start + late)
    assert start + late < due <= start + late + interval
    assert 0 == (due - start) % interval
