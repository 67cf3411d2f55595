"""A range that is cut has the points of the whole."""

from __future__ import annotations

from datetime import datetime

import attrs
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import QueryTimeRange
from statcore.promql import check_points, split_range
from statcore.testing.strategies import time_ranges


def grid(time_range: QueryTimeRange) -> list[datetime]:
    """Return the points, counted up from the start as a server does."""
    points, time = [time_range.start], time_range.start + time_range.step
    while time <= time_range.end:
        points.append(time)
        time += time_range.step
    return points


@given(time_ranges(max_points=200), st.integers(1, 250))
def test_the_parts_have_the_points_of_the_whole(time_range: QueryTimeRange, max_points: int) -> None:
    """In order, none twice, none left out, and no part has more than allowed."""
    parts = split_range(time_range, max_points=max_points, max_range_requests=200)
    assert grid(time_range) == [point for part in parts for point in grid(part)]
    assert all(1 <= len(grid(part)) <= max_points for part in parts)
    assert all(part.points == len(grid(part)) for part in parts)
    assert {time_range.step} == {part.step for part in parts}


@given(time_ranges(max_points=100_000), st.integers(2, 1_000))
def test_the_step_that_is_advised_is_long_enough(time_range: QueryTimeRange, allowed: int) -> None:
    """A range is refused exactly when it has too many points, and with the advised step it is not."""
    try:
        check_points(time_range, allowed, reason="so it is")
    except InputError as error:
        assert time_range.points > allowed
        step = str(error).partition("take a step of ")[2].partition(" ")[0]
        check_points(attrs.evolve(time_range, step=step), allowed, reason="so it is")
    else:
        assert time_range.points <= allowed


@given(time_ranges(max_points=200), st.integers(1, 250))
def test_there_are_no_more_parts_than_needed(time_range: QueryTimeRange, max_points: int) -> None:
    """All but the last are full."""
    parts = split_range(time_range, max_points=max_points, max_range_requests=200)
    assert all(part.points == max_points for part in parts[:-1])
