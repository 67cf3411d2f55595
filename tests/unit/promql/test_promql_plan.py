"""Where ranges are cut."""

from __future__ import annotations

import pytest

from statcore.errors import InputError
from statcore.model import QueryTimeRange
from statcore.promql import MAX_POINTS, split_range


def test_a_range_that_fits_stays_whole() -> None:
    """It is the same object, its end off the grid included."""
    whole = QueryTimeRange(start=0, end=10_999.5, step=1)
    assert (MAX_POINTS, True) == (whole.points, split_range(whole)[0] is whole)


def test_one_point_more_is_a_second_part() -> None:
    """Which begins one step after the first ends."""
    parts = split_range(QueryTimeRange(start=0, end=11_000, step=1))
    assert (QueryTimeRange(start=0, end=10_999, step=1), QueryTimeRange(start=11_000, end=11_000, step=1)) == parts


@pytest.mark.parametrize("max_points", [0, -1])
def test_a_part_has_at_least_one_point(max_points: int) -> None:
    """Less is refused."""
    with pytest.raises(InputError, match="max_points must be at least 1"):
        split_range(QueryTimeRange(start=0, end=1, step=1), max_points=max_points)


def test_a_range_far_too_long_for_its_step_is_refused() -> None:
    """A step mistyped in milliseconds must not fill the memory with parts."""
    with pytest.raises(InputError, match="1795341600001 points are too many for one query; take a step longer"):
        split_range(QueryTimeRange(start=0, end=1_795_341_600, step="1ms"))
