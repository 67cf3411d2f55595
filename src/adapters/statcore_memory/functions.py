"""Functions of a range vector: each computes one value from the samples in a window."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import attrs

from statcore_memory.arithmetic import Fold, folds_over_time
from statcore_memory.semantics import Semantics
from statcore_memory.series import Samples

_EXTRAPOLATION_LIMIT: Final = 1.1
"""An increase is extrapolated to an end of the window that is less than this many average intervals away."""


@attrs.frozen
class Window:
    """The samples from number `first` to `last`, both included, of a window from `start` to `end` in unix ms."""

    samples: Samples
    first: int
    last: int
    start: int
    end: int

    @classmethod
    def of(cls, samples: Samples, *, end: int, length: int, reach: int) -> Window | None:
        """Return the window that ends at `end` with the samples of the last `reach` ms, or None without any."""
        first = bisect_left(samples.times, end - reach)
        last = bisect_right(samples.times, end) - 1
        return cls(samples, first, last, end - length, end) if first <= last else None


RangeFunction: TypeAlias = Callable[[Window], float | None]


def range_functions(semantics: Semantics) -> Mapping[str, RangeFunction]:
    """Return each function by its name; a function returns None where it has no result."""
    return {
        "rate": lambda window: _extrapolated(window, semantics, per_s=(window.end - window.start) / 1000),
        "increase": lambda window: _extrapolated(window, semantics),
        "delta": lambda window: _extrapolated(window, semantics, counter=False),
        "irate": _irate,
        **{name: _over_time(fold) for name, fold in folds_over_time(semantics).items()},
    }


def _over_time(fold: Fold) -> RangeFunction:
    return lambda window: fold(window.samples.values[window.first : window.last + 1])


def _irate(window: Window) -> float | None:
    if window.last == window.first:
        return None
    times, values = window.samples.times, window.samples.values
    before, last = values[window.last - 1], values[window.last]
    seconds = (times[window.last] - times[window.last - 1]) / 1000
    return (last if last < before else last - before) / seconds


def _extrapolated(window: Window, semantics: Semantics, *, counter: bool = True, per_s: float = 1.0) -> float | None:
    """Return the increase over the window divided by `per_s`, or None with fewer than two samples.

    The increase between the first and the last sample is extrapolated towards both ends of the window: all the way where
    the end is less than 1.1 intervals away, else by half an interval; for a counter, never beyond the time at which it was
    zero.
    """
    if window.last == window.first:
        return None
    samples = window.samples
    first_time, last_time = samples.times[window.first], samples.times[window.last]
    first_value = samples.values[window.first]
    increase = samples.values[window.last] - first_value
    if counter:
        resets = range(bisect_right(samples.reset_times, first_time), bisect_right(samples.reset_times, last_time))
        for reset in resets:
            increase += samples.values_before_reset[reset]

    sampled = (last_time - first_time) / 1000
    interval = sampled / (window.last - window.first)

    def within_reach(gap: float) -> float:
        return gap if gap < interval * _EXTRAPOLATION_LIMIT else interval / 2

    before = (first_time - window.start) / 1000
    since_zero = sampled * (first_value / increase) if counter and increase > 0 and first_value >= 0 else before
    if semantics is Semantics.PROMETHEUS_2:
        before = within_reach(min(before, since_zero))
    else:
        before = min(within_reach(before), since_zero)
    after = within_reach((window.end - last_time) / 1000)
    return increase * ((sampled + before + after) / sampled / per_s)
