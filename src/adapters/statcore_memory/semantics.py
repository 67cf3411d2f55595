"""The version of Prometheus that the adapter answers as."""

from __future__ import annotations

from enum import IntEnum

from statcore.errors import InputError


class Semantics(IntEnum):
    """A major version of Prometheus, with the differences between answers.

    - A sample with an age of exactly one window or one lookback counts in 2, and does not count in 3.
    - `.` in a regular expression: no line break in 2, any character in 3.
    - `sum`, `avg`: plain additions in 2; 3 compensates rounding errors.
    - `stddev`, `stdvar` of one value that is NaN or infinite: 0 in 2, NaN in 3.
    - `rate`, `increase` of a counter that would have been zero within the window, where its first sample comes later than
      1.1 intervals after the start: 2 extrapolates to where it was zero, if that is within 1.1 intervals of the first
      sample; 3 by half an interval at most.
    - Two series of the left side of a comparison with the same partner: refused in 3; in 2 only where both are kept.
    - `histogram_quantile`: counts of buckets that differ only by rounding are equal in 3.

    2 means 2.42. The source is Prometheus's migration guide to version 3, its documentation, and its changelog.
    """

    PROMETHEUS_2 = 2
    PROMETHEUS_3 = 3

    def reach_ms(self, duration_ms: int) -> int:
        """Return how old a sample may be, in ms, to lie within the last `duration_ms`."""
        return duration_ms if self is Semantics.PROMETHEUS_2 else duration_ms - 1


def as_semantics(value: object) -> Semantics:
    """Return the semantics that a setting names.

    Raises:
        InputError: it is neither 2 nor 3.
    """
    try:
        return Semantics(value)  # type: ignore[arg-type]
    except ValueError:
        raise InputError(f"semantics must be 3 (Prometheus 3) or 2 (Prometheus 2.42), not {value!r:.100}") from None
