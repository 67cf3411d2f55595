"""Quantiles of classic histograms, interpolated between the upper bounds of their buckets as Prometheus does."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from statcore_memory.arithmetic import divide
from statcore_memory.semantics import Semantics

_DIGITS: Final = r"\d(?:_?\d)*"
# The texts that a server reads as a bound; Python's `float` accepts more, such as spaces.
_BOUND: Final = re.compile(
    rf"[+-]?(?:(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?|inf(?:inity)?)", re.ASCII | re.IGNORECASE
)
_ROUNDING: Final = 1e-12


def read_bound(text: str) -> float | None:
    """Return the upper bound in a label `le`, or None where it is not a number."""
    if _BOUND.fullmatch(text) is None:
        return None
    bound = float(text)
    return None if math.isinf(bound) and "i" not in text.lower() else bound  # a number that overflows is not a bound


def quantile_of(quantile: float, buckets: Mapping[float, float], semantics: Semantics) -> float:
    """Return a quantile of one histogram.

    Observations are assumed to be spread evenly within a bucket, and the lowest bucket to begin at zero. A quantile above
    all finite bounds is the highest finite bound. It is NaN without observations, and without a bucket to infinity and at
    least one other. Counts that fall from one bucket to the next are raised to the count of the bucket before.

    Args:
        quantile: the quantile, from 0 to 1.
        buckets: upper bound to cumulative count, at least one.
        semantics: whether counts that differ only by rounding are equal.
    """
    bounds = sorted(buckets)
    if bounds[-1] != math.inf or len(bounds) == 1:
        return math.nan
    counts = _rising([buckets[bound] for bound in bounds], semantics)
    if not counts[-1]:
        return math.nan
    rank = quantile * counts[-1]
    highest = len(bounds) - 1
    index = bisect_left(range(highest), True, key=lambda number: counts[number] >= rank)  # noqa: FBT003 - the value that is searched for
    if index == highest:
        return bounds[-2]
    if index == 0:
        if bounds[0] <= 0:
            return bounds[0]
        lower, below = 0.0, 0.0
    else:
        lower, below = bounds[index - 1], counts[index - 1]
    return lower + (bounds[index] - lower) * divide(rank - below, counts[index] - below)


def _rising(counts: list[float], semantics: Semantics) -> list[float]:
    new = semantics is Semantics.PROMETHEUS_3
    highest = counts[0]
    rising = [highest]
    for count in counts[1:]:
        alike = new and abs(count - highest) < _ROUNDING * (abs(count) + abs(highest))
        raised = count < highest or alike
        rising.append(highest if raised else count)
        if count > highest or (new and not raised):  # a NaN is the highest so far only in version 3
            highest = rising[-1]
    return rising
