"""Queries of presets: checks and limits what users fill in, and sends the query to a backend that evaluates PromQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange, format_duration
from statcore.ports.promql import PromQLPort
from statcore.promql.range_splitting import MAX_POINTS, check_points
from statcore.promql.templates import Preset

MAX_RANGE: Final = timedelta(days=366)
"""The longest time range: a leap year."""
MIN_STEP: Final = timedelta(seconds=1)
"""The shortest step; samples are rarely closer together."""


@attrs.frozen
class PresetService:
    """Evaluates presets by name.

    Args:
        backend: evaluates PromQL; the caller closes it.
        presets: by name, as `PluginRegistry.presets` or `PresetCatalog.presets` has them.
    """

    backend: PromQLPort
    presets: Mapping[str, Preset]

    async def query_preset(
        self,
        name: str,
        *,
        time_range: QueryTimeRange,
        labels: Mapping[str, str | Sequence[str]] | None = None,
        group_labels: Sequence[str] = (),
        window: timedelta | str | None = None,
    ) -> MatrixResult:
        """Return the values of a preset at every point of a range of at most `MAX_POINTS` points.

        Args:
            name: the preset's name.
            time_range: at most `MAX_RANGE` long, with a step of at least `MIN_STEP`.
            labels: for each label name the value that it must have, or values of which it must have one.
            group_labels: labels to group by.
            window: instead of the preset's own window; at most `MAX_WINDOW` long.

        Raises:
            InputError: there is no such preset, it does not allow these parameters, or a limit is exceeded; nothing is
                sent.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        promql = self.promql(name, time_range=time_range, labels=labels, group_labels=group_labels, window=window)
        return await self.backend.query_range(promql, time_range)

    async def query_preset_now(
        self,
        name: str,
        *,
        time: datetime | None = None,
        labels: Mapping[str, str | Sequence[str]] | None = None,
        group_labels: Sequence[str] = (),
        window: timedelta | str | None = None,
    ) -> VectorResult:
        """Return the values of a preset at `time` (aware), by default the backend's now.

        The other arguments are as in `query_preset`.

        Raises:
            InputError: there is no such preset, or it does not allow these parameters; nothing is sent.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        promql = self._preset(name).promql(labels=labels, group_labels=group_labels, window=window)
        return await self.backend.query(promql, time=time)

    def promql(
        self,
        name: str,
        *,
        time_range: QueryTimeRange,
        labels: Mapping[str, str | Sequence[str]] | None = None,
        group_labels: Sequence[str] = (),
        window: timedelta | str | None = None,
    ) -> str:
        """Return the PromQL that `query_preset` sends; the arguments are as in `query_preset`.

        Raises:
            InputError: there is no such preset, it does not allow these parameters, or a limit is exceeded.
        """
        preset = self._preset(name)
        _check_range(time_range)
        return preset.promql(labels=labels, group_labels=group_labels, window=window)

    def _preset(self, name: str) -> Preset:
        preset = self.presets.get(name)
        if preset is None:
            raise InputError(f"there is no preset {name!r:.100}; known are: {', '.join(self.presets) or 'none'}")
        return preset


def _check_range(time_range: QueryTimeRange) -> None:
    length = time_range.end - time_range.start
    if length > MAX_RANGE:
        raise InputError(f"a range of {length} is longer than {format_duration(MAX_RANGE)}; take a shorter one")
    if time_range.step < MIN_STEP:
        step = format_duration(time_range.step)
        raise InputError(f"a step of {step} is shorter than {format_duration(MIN_STEP)}; take a longer one")
    check_points(time_range, MAX_POINTS, reason=f"presets answer at most {MAX_POINTS}")
