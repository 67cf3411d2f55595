"""Strategies as plugins bring them: a quantile of a histogram, and a difference of two metrics."""

from __future__ import annotations

import attrs

from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    Expression,
    HistogramQuantile,
    RangeSelector,
    Selector,
)
from statcore.queriers import ResolvedQuerier


@attrs.frozen
class Quantile:
    """A quantile of a histogram."""

    quantile: float

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
        """Take the quantile of each group."""
        rate = Call("rate", RangeSelector(Selector(asked.name, asked.wanted), window))
        return HistogramQuantile(self.quantile, Aggregation("sum", rate, (*asked.group_by, "le")))


def used(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Return the difference of the metrics `total` and `free`."""
    total, free = (Aggregation("sum", Selector(name, asked.wanted), asked.group_by) for name in ("total", "free"))
    return BinaryOperation("-", total, free)
