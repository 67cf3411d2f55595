"""A querier to the expression of its utilization: the three strategies."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from statcore.errors import InputError
from statcore.model.duration import format_duration
from statcore.promql.syntax import Aggregation, BinaryOperation, Call, Expression, Number, RangeSelector, Selector
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.resolve import resolve

RATE_INTERVAL: Final = "5m"
"""The window that rates are taken over."""
NORMALIZATION_INTERVAL_S: Final = 5.0
"""The collection interval in seconds, which `rate_normalized` divides by."""


def utilization_query(
    querier: UtilizationMetricQuerier,
    *,
    rate_interval: timedelta | str = RATE_INTERVAL,
    normalization_interval_s: float = NORMALIZATION_INTERVAL_S,
) -> Expression:
    """Return the expression that answers a querier.

    Raises:
        PluginError: the querier breaks its contract.
        InputError: an interval that is not positive, or a name that cannot be one.
    """
    if not normalization_interval_s > 0:
        raise InputError(f"normalization_interval_s must be above zero, not {normalization_interval_s!r}")
    window = format_duration(rate_interval)  # checked for a gauge, too, which does not use it
    asked = resolve(querier)
    selector = Selector(asked.name, asked.wanted)
    if asked.strategy is QueryStrategy.GAUGE:
        return Aggregation("sum", selector, asked.group_by)
    summed_rate = Aggregation("sum", Call("rate", RangeSelector(selector, window)), asked.group_by)
    if asked.strategy is QueryStrategy.RATE:
        return summed_rate
    return BinaryOperation("/", summed_rate, Number(normalization_interval_s))
