"""Numbers as text, moving statistics, and the grid of rounds, for any values."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from statcore_collector.collector import next_due
from statcore_collector.moving import MovingStatistics, decimal_text

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(min_value=-(2**53), max_value=2**53)


@given(
    value=FINITE | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=6), places=st.integers(1, 6)
)
def test_text_is_plain_and_the_nearest(value: float | Decimal, places: int) -> None:
    """No exponent, no trailing zero, no negative zero; at most half a unit of the last place off."""
    text = decimal_text(value, places=places)
    assert re.fullmatch(rf"-?(0|[1-9][0-9]*)(\.[0-9]{{0,{places - 1}}}[1-9])?", text)
    assert text != "-0"
    assert abs(Fraction(text) - Fraction(value)) <= Fraction(1, 2 * 10**places)


@given(value=FINITE)
def test_text_reads_back_as_itself(value: float) -> None:
    """Writing what was read changes nothing."""
    text = decimal_text(value)
    assert text == decimal_text(Decimal(text))


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
