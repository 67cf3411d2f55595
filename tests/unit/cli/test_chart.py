"""Charts in text."""

from __future__ import annotations

import math
import re
from array import array

import pytest

from statcore.model import QueryTimeRange, Series
from statcore_cli.output import draw_chart

RANGE = QueryTimeRange(start=1795341600, end=1795342500, step=10)


def chart(
    values: list[float], *, times: list[float] | None = None, width: int = 80, time_range: QueryTimeRange = RANGE
) -> str:
    """Draw values that are ten seconds apart."""
    times = [1795341600.0 + 10 * number for number in range(len(values))] if times is None else times
    return draw_chart(Series(labels={}, timestamps=array("d", times), values=array("d", values)), time_range, width=width)


def dots(text: str) -> int:
    """Count the dots of a chart's braille characters."""
    return sum((ord(character) - 0x2800).bit_count() for character in text if "\u2800" <= character <= "\u28ff")


@pytest.mark.parametrize("width", [50, 80, 200])
def test_a_chart_fits_its_width(width: int) -> None:
    """No line is longer than the terminal is wide, and times are in UTC."""
    text = chart([math.sin(number / 5) * 1e12 for number in range(90)], width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "(UTC)" in text
    assert "10:00:00" in text


def test_samples_that_follow_each_other_are_joined_and_gaps_are_not() -> None:
    """Where samples are missing, nothing is drawn between."""
    steady = chart([1.0] * 60)
    times = [1795341600.0 + 10 * number for number in range(60) if not 20 <= number < 40]
    broken = chart([1.0] * 40, times=times)

    assert 0 < dots(broken) < 0.8 * dots(steady)


def lowest_label(drawn: str) -> float:
    """Return the lowest number on the vertical axis."""
    return min(float(found[1]) for found in re.finditer(r"^ *(-?[0-9.]+) \|", drawn, re.MULTILINE))


def test_what_is_never_below_zero_is_drawn_from_zero() -> None:
    """The lowest label is zero, unless a value is lower."""
    assert 0 == lowest_label(chart([0.5, 300.0]))
    assert -5 >= lowest_label(chart([-5.0, 300.0]))


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]], ids=["none", "NaN", "infinite"])
def test_nothing_to_draw_is_no_error(values: list[float]) -> None:
    """An empty frame is drawn."""
    assert 0 == dots(chart(values))


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [1.0, math.nan, 1.0]], ids=["one", "zeros", "around NaN"])
def test_few_samples_are_seen(values: list[float]) -> None:
    """A single sample is a dot; what is not finite is left out."""
    assert dots(chart(values)) > 0


def test_a_range_of_one_point_can_be_drawn() -> None:
    """Though it has no width."""
    assert dots(chart([7.0], time_range=QueryTimeRange(start=1795341600, end=1795341600, step=10))) > 0
