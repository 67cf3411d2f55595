"""Strategies that statcore does not have. Equal strategies are equal values, so that queriers can share requests."""

from __future__ import annotations

import attrs

from statcore.promql import Aggregation, Call, Expression, HistogramQuantile, RangeSelector, Selector
from statcore.queriers import MetricQuery


def average(query: MetricQuery, _window: str, /) -> Expression:
    """Return the mean of the series: shares of several engines must not be added."""
    return Aggregation("avg", Selector(query.name, query.matchers), query.group_by)


@attrs.frozen
class Quantile:
    """A quantile, from 0 to 1, of the values that a histogram counted within the window."""

    quantile: float

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Return the quantile of the buckets of all engines together."""
        rate = Call("rate", RangeSelector(Selector(query.name, query.matchers), window))
        return HistogramQuantile(self.quantile, Aggregation("sum", rate, (*query.group_by, "le")))
