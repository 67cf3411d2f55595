"""The units of metrics, as readers of live statistics expect to find them named."""

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
_ACCELERATORS: Final = {"_mem": "bytes", "_util": "percent"}


def unit_hint(metric: str) -> str:
    """Return the `unit_hint` of a metric: of known ones, and of accelerators by their suffix; empty of any other."""
    _, underscore, kind = metric.rpartition("_")
    return _KNOWN.get(metric) or _ACCELERATORS.get(underscore + kind, "")
