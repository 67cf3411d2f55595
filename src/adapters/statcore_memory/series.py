"""One series of samples in memory, and what an instant selector and `rate` see of it.

The semantics are those of Prometheus 2.42: a look-back of five minutes and a range, both with either end included;
staleness marks end a series for instant selectors and are no samples to ranges.
"""

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
_EXTRAPOLATION_LIMIT: Final = 1.1


def _times() -> array[int]:
    return array("q")


def _numbers() -> array[float]:
    return array("d")


def _as_mapping(series: StoredSeries) -> Mapping[str, str]:
    return dict(series.key)


@attrs.define(eq=False)
class StoredSeries:
    """A series: its labels, `__name__` included, and its samples in order of time.

    All times are unix milliseconds. Staleness marks stand apart from the samples, since ranges do not see them, and so
    do counter resets (their time and the value before), which spares `rate_at` the walk over its window.
    """

    key: Labels
    labels: Mapping[str, str] = attrs.field(init=False, default=attrs.Factory(_as_mapping, takes_self=True))
    newest: int = attrs.field(default=-1, init=False)
    times: array[int] = attrs.field(factory=_times, init=False)
    _values: array[float] = attrs.field(factory=_numbers, init=False)
    _marks: array[int] = attrs.field(factory=_times, init=False)
    _reset_times: array[int] = attrs.field(factory=_times, init=False)
    _reset_from: array[float] = attrs.field(factory=_numbers, init=False)

    @property
    def ended(self) -> bool:
        """Whether a staleness mark is the newest that is known of the series."""
        return bool(self._marks) and self._marks[-1] == self.newest

    def append(self, time: int, value: float) -> None:
        """Add a sample, which must be newer than all before it."""
        if self._values and value < self._values[-1]:
            self._reset_times.append(time)
            self._reset_from.append(self._values[-1])
        self.times.append(time)
        self._values.append(value)
        self.newest = time

    def mark_stale(self, time: int) -> None:
        """Say that the series was gone at `time`, which must be newer than all samples."""
        self._marks.append(time)
        self.newest = time

    def trim(self, *, before: int, most: int) -> None:
        """Forget what is older than `before`, and the oldest of more than `most` samples."""
        old = max(bisect_left(self.times, before), len(self.times) - most)
        if old > 0:
            kept_from = self.times[old] if old < len(self.times) else before
            del self.times[:old], self._values[:old]
            del self._marks[: bisect_left(self._marks, kept_from)]
            old = bisect_right(self._reset_times, kept_from)  # the first sample that is kept has nothing to be reset from
            del self._reset_times[:old], self._reset_from[:old]

    def has_sample(self, *, start: int, end: int) -> bool:
        """Say whether there is a sample from `start` to `end`, both included."""
        return bisect_left(self.times, start) < bisect_right(self.times, end)

    def value_at(self, time: int) -> float | None:
        """Return what an instant selector sees, or None."""
        index = bisect_right(self.times, time) - 1
        if index < 0 or self.times[index] < time - LOOKBACK_MS:
            return None
        mark = bisect_right(self._marks, time) - 1
        if mark >= 0 and self._marks[mark] > self.times[index]:
            return None
        return self._values[index]

    def rate_at(self, time: int, window: int) -> float | None:
        """Return the increase per second over the last `window` milliseconds, or None with fewer than two samples.

        The increase between the first and the last sample is extrapolated towards the ends of the window: all the way
        where a sample would have been due about there, else by half an interval; and never to before a counter was zero.
        """
        first = bisect_left(self.times, time - window)
        last = bisect_right(self.times, time) - 1
        if last <= first:
            return None
        first_time, last_time = self.times[first], self.times[last]
        first_value = self._values[first]
        increase = self._values[last] - first_value
        resets = range(bisect_right(self._reset_times, first_time), bisect_right(self._reset_times, last_time))
        for reset in resets:
            increase += self._reset_from[reset]

        sampled = (last_time - first_time) / 1000
        interval = sampled / (last - first)
        before = (first_time - (time - window)) / 1000
        after = (time - last_time) / 1000
        if increase > 0 and first_value >= 0:
            before = min(before, sampled * (first_value / increase))
        covered = sampled
        for gap in (before, after):
            covered += gap if gap < interval * _EXTRAPOLATION_LIMIT else interval / 2
        return increase * (covered / sampled / (window / 1000))
