"""The metrics of agents that are counters, and the strategy of each."""

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
"""The metrics whose current values are queried as rates.

`cpu_used` is a counter as well, but its name promises the sum since the start.
"""
UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cpu_util": "millicores",
        "cpu_used": "ms",
        "mem": "bytes",
        "io_read": "bytes/s",
        "io_write": "bytes/s",
        "net_rx": "bytes/s",
        "net_tx": "bytes/s",
    }
)
"""The units of metrics as the queriers answer them."""


def strategy_of(metric_name: str, value_type: ValueType) -> QueryStrategy:
    """Return the strategy of a metric; a capacity is a gauge, because the rate of a constant is 0."""
    return COUNTERS.get(metric_name, QueryStrategy.GAUGE) if value_type == "current" else QueryStrategy.GAUGE
