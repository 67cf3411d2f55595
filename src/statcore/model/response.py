"""A range answer in the shape of a Prometheus response: text values, pairs of time and value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs

_LEAST_PLAIN: Final = 1e-6
_LEAST_WITH_EXPONENT: Final = 1e21


def format_sample_value(value: float) -> str:
    """Write a sample value as Prometheus does in its answers: the shortest digits that read back the same.

    Like JSON, with an exponent only below 1e-6 and from 1e21 on.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value and not _LEAST_PLAIN <= abs(value) < _LEAST_WITH_EXPONENT:
        return repr(value)
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


@attrs.frozen
class MetricResponse:
    """One series of a response: `metric` is its labels, `values` its (unix seconds, text) pairs."""

    metric: Mapping[str, str]
    _timestamps: Sequence[float] = attrs.field(repr=False)
    _numbers: Sequence[float] = attrs.field(repr=False)

    @property
    def values(self) -> list[tuple[float, str]]:
        """The samples as pairs of unix seconds and decimal text."""
        return [(time, format_sample_value(number)) for time, number in zip(self._timestamps, self._numbers, strict=True)]


@attrs.frozen(kw_only=True)
class QueryData:
    """The `data` member of a response."""

    result_type: str
    result: Sequence[MetricResponse]
