"""Ways to query that are none of statcore's three; all are values, so that queriers of many servers share requests."""

from __future__ import annotations

import attrs

from statcore.promql import Aggregation, Call, Expression, HistogramQuantile, RangeSelector, Selector
from statcore.queriers import ResolvedQuerier


def average(asked: ResolvedQuerier, _window: str, /) -> Expression:
    """Return the mean of the series: shares of several engines do not add up."""
    return Aggregation("avg", Selector(asked.name, asked.wanted), asked.group_by)


@attrs.frozen
class Quantile:
    """A quantile, from 0 to 1, of what a histogram saw within the window."""

    quantile: float

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
        """Return the quantile of the buckets of all engines together."""
        rate = Call("rate", RangeSelector(Selector(asked.name, asked.wanted), window))
        return HistogramQuantile(self.quantile, Aggregation("sum", rate, (*asked.group_by, "le")))
