"""Strategies as plugins have them: a quantile of a histogram, and a difference of two metrics."""

from __future__ import annotations

import attrs

from statcore.promql import Aggregation, BinaryOperation, Call, Expression, HistogramQuantile, RangeSelector, Selector
from statcore.queriers import MetricQuery


@attrs.frozen
class Quantile:
    """A quantile of a histogram."""

    quantile: float

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Return the quantile of each group."""
        rate = Call("rate", RangeSelector(Selector(query.name, query.matchers), window))
        return HistogramQuantile(self.quantile, Aggregation("sum", rate, (*query.group_by, "le")))


def used(query: MetricQuery, _window: str, /) -> Expression:
    """Return the difference of the metrics `total` and `free`."""
    total, free = (Aggregation("sum", Selector(name, query.matchers), query.group_by) for name in ("total", "free"))
    return BinaryOperation("-", total, free)
