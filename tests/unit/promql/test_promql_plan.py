"""Where ranges are cut."""

from __future__ import annotations

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import QueryTimeRange
from statcore.promql import MAX_POINTS, MAX_RANGE_POINTS, MAX_RANGE_REQUESTS, split_range


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


YEAR = QueryTimeRange(start=0, end=365 * 86_400, step="1s")


@pytest.mark.parametrize(
    ("time_range", "bounds", "step"),
    [
        (YEAR, {}, "5m"),
        (QueryTimeRange(start=0, end=1_795_341_600, step="1ms"), {}, "5h"),
        (YEAR, {"max_points": 100}, "53m"),
        (YEAR, {"max_range_points": 10**9}, "29s"),
        (YEAR, {"max_range_points": 1}, "366d"),
    ],
)
def test_a_range_too_long_for_its_step_is_refused_with_a_step_that_would_do(
    time_range: QueryTimeRange, bounds: dict[str, int], step: str
) -> None:
    """Whichever of the two settings it exceeds, the error names both; that step is accepted."""
    message = rf"points are too many: max_range_points is .* max_range_requests 100 of .* take a step of {step} or more"
    with pytest.raises(InputError, match=message):
        split_range(time_range, **bounds)
    assert split_range(attrs.evolve(time_range, step=step), **bounds)


def test_the_bounds_themselves_are_allowed() -> None:
    """110,000 points, and 100 requests."""
    assert 10 == len(split_range(QueryTimeRange(start=1, end=MAX_RANGE_POINTS, step=1)))
    hundred = QueryTimeRange(start=1, end=700, step=1)
    assert MAX_RANGE_REQUESTS == len(split_range(hundred, max_points=7))
    with pytest.raises(InputError, match="701 points"):
        split_range(attrs.evolve(hundred, end=701), max_points=7)
