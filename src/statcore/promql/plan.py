"""Splitting a time range that has more points than a server answers at once."""

from __future__ import annotations

from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.time_range import QueryTimeRange

MAX_POINTS: Final = 11_000
"""Points per series that Prometheus answers; beyond, it refuses with "exceeded maximum resolution"."""

_MAX_PARTS: Final = 10_000


def split_range(time_range: QueryTimeRange, *, max_points: int = MAX_POINTS) -> tuple[QueryTimeRange, ...]:
    """Cut a range into parts of at most `max_points` points on the range's own step grid, without overlap.

    Joined in order, the parts have exactly the points of the whole.

    Raises:
        InputError: `max_points` is less than one, or the range is so long for its step that there would be too many parts.
    """
    if max_points < 1:
        raise InputError(f"max_points must be at least 1, not {max_points}")
    start, step, points = time_range.start, time_range.step, time_range.points
    if points <= max_points:
        return (time_range,)
    if points > max_points * _MAX_PARTS:
        raise InputError(f"{points} points are too many for one query; take a step longer than {step} or a shorter range")
    return tuple(
        attrs.evolve(
            time_range,
            start=start + first * step,
            end=start + (min(first + max_points, points) - 1) * step,
        )
        for first in range(0, points, max_points)
    )
