"""What is known of metrics by their name: the unit that agents write, and whether the metric has a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

UNBOUNDED_METRICS: Final = frozenset({"cpu_used", "io_read", "io_write", "net_rx", "net_tx"})
"""Metrics without a bound. Agents store their first sample as the capacity, so neither capacity nor `pct` is a figure."""

_KNOWN: Final[Mapping[str, str]] = {
    "cpu_util": "millicores",
    "cpu_used": "msec",
    "mem": "bytes",
    "disk": "bytes",
    "io_read": "bytes",
    "io_write": "bytes",
    "io_scratch_size": "bytes",
    # In fact bytes per second; the hint is what agents write.
    "net_rx": "bps",
    "net_tx": "bps",
}
_OF_NODES: Final[Mapping[str, str]] = {"cpu_util": "msec"}
_ACCELERATORS: Final[Mapping[str, str]] = {"_mem": "bytes", "_util": "percent"}


def unit_hint(metric: str, *, of: Literal["kernel", "node"] = "kernel") -> str:
    """Return the `unit_hint` that agents write for a metric.

    Args:
        metric: the metric's name; an accelerator's is known by its suffix, such as `_mem`.
        of: what the metric is measured of; devices count as the node's.

    Returns:
        The hint; for an unknown metric, its own name.
    """
    if of == "node" and metric in _OF_NODES:
        return _OF_NODES[metric]
    _, underscore, kind = metric.rpartition("_")
    return _KNOWN.get(metric) or _ACCELERATORS.get(underscore + kind, metric)


def has_bound(metric: str) -> bool:
    """Return whether the capacity and the percentage of a metric mean something."""
    return metric not in UNBOUNDED_METRICS
