"""Which metrics of agents are cumulative, and how those are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from statcore import QueryStrategy

ValueType: TypeAlias = Literal["current", "capacity"]

COUNTERS: Final[Mapping[str, QueryStrategy]] = MappingProxyType(
    {
        "cpu_util": QueryStrategy.RATE,
        "io_read": QueryStrategy.RATE,
        "io_write": QueryStrategy.RATE,
        "net_rx": QueryStrategy.RATE_NORMALIZED,
        "net_tx": QueryStrategy.RATE_NORMALIZED,
    }
)
"""The metrics whose current values are read as what is added per second.

Of `cpu_used`, which is a counter as well, the sum since the start is what its name promises.
"""


def strategy_of(metric_name: str, value_type: ValueType) -> QueryStrategy:
    """Return how a metric is queried; a capacity is a constant, whose rate would be 0."""
    return COUNTERS.get(metric_name, QueryStrategy.GAUGE) if value_type == "current" else QueryStrategy.GAUGE
