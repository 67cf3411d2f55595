"""How many points a range query may have, and the parts it is split into where a server answers fewer at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.duration import format_duration
from statcore.model.time_range import QueryTimeRange

MAX_POINTS: Final = 11_000
"""Points per series that Prometheus answers; beyond, it refuses with "exceeded maximum resolution"."""
MAX_RANGE_POINTS: Final = 110_000
"""Points per series of one range query, in all its requests: a year in steps of five minutes, a day in seconds."""
MAX_RANGE_REQUESTS: Final = 100
"""Requests of one range query."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_UNITS: Final = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1), _MILLISECOND)


def check_points(time_range: QueryTimeRange, points: int, *, reason: str) -> None:
    """Check that a range query has no more points than are allowed.

    Args:
        time_range: the range.
        points: how many points each series may have.
        reason: what allows no more, for the error: the setting and its value.

    Raises:
        InputError: it has more; the message says a step that is long enough.
    """
    if time_range.points > points:
        raise InputError(f"{time_range.points} points are too many: {reason}; {advise_step(time_range, points)}")


def split_range(
    time_range: QueryTimeRange,
    *,
    max_points: int = MAX_POINTS,
    max_range_points: int = MAX_RANGE_POINTS,
    max_range_requests: int = MAX_RANGE_REQUESTS,
) -> tuple[QueryTimeRange, ...]:
    """Split a range into parts on the range's own step grid, without overlap.

    Joined in order, the parts have exactly the points of the whole.

    Args:
        time_range: the range.
        max_points: how many points a part has at most.
        max_range_points: how many points the whole range may have.
        max_range_requests: how many parts there may be.

    Raises:
        InputError: `max_points` is less than one, or there would be too many points or parts; the message names the setting
            and a step that is long enough.
    """
    if max_points < 1:
        raise InputError(f"max_points must be at least 1, not {max_points}")
    check_points(
        time_range,
        min(max_range_points, max_points * max_range_requests),
        reason=f"max_range_points is {max_range_points}, max_range_requests {max_range_requests} of {max_points} points",
    )
    start, step, points = time_range.start, time_range.step, time_range.points
    if points <= max_points:
        return (time_range,)
    return tuple(
        attrs.evolve(
            time_range,
            start=start + first * step,
            end=start + (min(first + max_points, points) - 1) * step,
        )
        for first in range(0, points, max_points)
    )


def advise_step(time_range: QueryTimeRange, points: int) -> str:
    """Return the advice to take a step that gives at most so many points, rounded up to a whole unit of time."""
    shortest = ((time_range.end - time_range.start) // points // _MILLISECOND + 1) * _MILLISECOND
    unit = next(unit for unit in _UNITS if unit <= shortest)
    step = -(-shortest // unit) * unit
    return f"take a step of {format_duration(step)} or more, or a shorter range"
