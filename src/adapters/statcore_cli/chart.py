"""Charts for terminals."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from statcore.model.results import Series
from statcore.model.time import QueryTimeRange

_HEIGHT: Final = 12
_AXES: Final = 24
"""Columns that the axes and their labels take."""
_GAP: Final = 1.5
"""How many steps samples may be apart and still be joined by a line."""


def draw(series: Series, time_range: QueryTimeRange, *, width: int) -> str:
    """Draw one series over the whole range in UTC, `width` columns wide; where samples are missing the line is broken."""
    import plotille  # type: ignore[import-untyped]  # noqa: PLC0415 - only this needs it

    figure = plotille.Figure()
    figure.width, figure.height = max(width - _AXES, 20), _HEIGHT
    figure.x_label, figure.y_label = "UTC", "value"
    figure.with_colors = figure.origin = False
    figure.set_x_limits(time_range.start, max(time_range.end, time_range.start + time_range.step))
    if all(value >= 0 for value in series.values if math.isfinite(value)):
        figure.set_y_limits(min_=0)  # utilization has a zero; a margin below it would be a lie
    for run in _runs(series, time_range.step.total_seconds()):
        times = [datetime.fromtimestamp(time, UTC) for time, _ in run]
        values = [value for _, value in run]
        (figure.plot if len(run) > 1 else figure.scatter)(times, values)
    return str(figure.show())


def _runs(series: Series, step_s: float) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = []
    last = -math.inf
    for time, value in zip(series.timestamps, series.values, strict=True):
        if not math.isfinite(value):
            continue
        if time - last > _GAP * step_s:
            runs.append([])
        runs[-1].append((time, value))
        last = time
    return runs
