"""Samples in order of time, and the series that are stored; all times are unix milliseconds."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""A label set as sorted pairs: hashable, and in the order in which Prometheus sorts series."""
LOOKBACK_MS: Final = 300_000
"""How old the newest sample of a series may be to count as its value now."""


def _times() -> array[int]:
    return array("q")


def _numbers() -> array[float]:
    return array("d")


def _as_mapping(series: StoredSeries) -> Mapping[str, str]:
    return dict(series.key)


@attrs.define(eq=False)
class Samples:
    """Samples in order of time.

    Counter resets (their time and the value before) are kept separately, so that `rate` need not read all of its window.
    """

    times: array[int] = attrs.field(factory=_times, init=False)
    values: array[float] = attrs.field(factory=_numbers, init=False)
    reset_times: array[int] = attrs.field(factory=_times, init=False)
    values_before_reset: array[float] = attrs.field(factory=_numbers, init=False)

    def append(self, time: int, value: float) -> None:
        """Add a sample, which must be newer than all before it."""
        if self.values and value < self.values[-1]:
            self.reset_times.append(time)
            self.values_before_reset.append(self.values[-1])
        self.times.append(time)
        self.values.append(value)


@attrs.define(eq=False)
class StoredSeries(Samples):
    """A series: its labels, `__name__` included, and its samples.

    Staleness marks are kept separately from the samples: a range selector ignores them, an instant selector ends at one.
    """

    key: Labels
    labels: Mapping[str, str] = attrs.field(init=False, default=attrs.Factory(_as_mapping, takes_self=True))
    newest: int = attrs.field(default=-1, init=False)
    _marks: array[int] = attrs.field(factory=_times, init=False)

    @property
    def ended(self) -> bool:
        """Whether a staleness mark is newer than all samples."""
        return bool(self._marks) and self._marks[-1] == self.newest

    def append(self, time: int, value: float) -> None:
        """Add a sample, which must be newer than all before it."""
        Samples.append(self, time, value)
        self.newest = time

    def mark_stale(self, time: int) -> None:
        """Note that the series was gone at `time`, which must be newer than all samples."""
        self._marks.append(time)
        self.newest = time

    def trim(self, *, before: int, max_samples: int) -> None:
        """Keep only the samples from `before` on, and of these at most the newest `max_samples`."""
        old = max(bisect_left(self.times, before), len(self.times) - max_samples)
        if old > 0:
            kept_from = self.times[old] if old < len(self.times) else before
            del self.times[:old], self.values[:old]
            del self._marks[: bisect_left(self._marks, kept_from)]
            old_resets = bisect_right(self.reset_times, kept_from)  # the first sample that is kept is not a reset
            del self.reset_times[:old_resets], self.values_before_reset[:old_resets]

    def has_sample(self, *, start: int, end: int) -> bool:
        """Return whether there is a sample from `start` to `end`, both included."""
        return bisect_left(self.times, start) < bisect_right(self.times, end)

    def value_at(self, time: int, *, not_before: int) -> float | None:
        """Return the newest value from `not_before` to `time`; None without one, or if the series has ended by `time`."""
        index = bisect_right(self.times, time) - 1
        if index < 0 or self.times[index] < not_before:
            return None
        mark = bisect_right(self._marks, time) - 1
        if mark >= 0 and self._marks[mark] > self.times[index]:
            return None
        return self.values[index]
