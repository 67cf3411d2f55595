"""What is known of metrics by their names: units, as readers of live statistics expect them, and which have no bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_KNOWN: Final[Mapping[str, str]] = {
    "cpu_util": "percent",
    "cpu_used": "msec",
    "mem": "bytes",
    "disk": "bytes",
    "io_read": "bytes",
    "io_write": "bytes",
    "io_scratch_size": "bytes",
    # In fact bytes per second; the hint is what readers expect.
    "net_rx": "bps",
    "net_tx": "bps",
}
UNBOUNDED_METRICS: Final = frozenset(["cpu_used", "net_rx", "net_tx", "io_read", "io_write"])
"""Metrics of kernels that have no capacity: what agents write as their capacity is the first sample."""
_ACCELERATORS: Final = {"_mem": "bytes", "_util": "percent"}


def unit_hint(metric: str) -> str:
    """Return the `unit_hint` of a metric: of known ones, and of accelerators by their suffix; empty of any other."""
    _, underscore, kind = metric.rpartition("_")
    return _KNOWN.get(metric) or _ACCELERATORS.get(underscore + kind, "")


def has_bound(metric: str) -> bool:
    """Return whether a metric has a capacity, so that a percentage of it means something; an unknown metric has."""
    return metric not in UNBOUNDED_METRICS
