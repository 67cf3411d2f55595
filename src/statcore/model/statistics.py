"""One metric of one object as agents write it: decimal text, unit hints, and what is known of metrics by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self, cast

import attrs

from statcore.errors import InputError

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


STATS: Final = ("min", "max", "sum", "avg", "diff", "rate")
"""Names of the moving statistics, in wire order; on the wire each is a flat key such as `stats.max`."""
UNBOUNDED: Final = "9223372036854775807"
"""The capacity of a metric that has none, where it is not None: from a metric backend. Its `pct` means nothing then."""

_OF_A_BOUND: Final = ("capacity", "pct")
_OF_THE_COUNTER: Final = ("stats.min", "stats.max", "stats.sum", "stats.avg")


def _as_text_mapping(stats: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(stats) - set(STATS))
    if unknown:
        raise InputError(f"unknown moving statistics {unknown}; known are {list(STATS)}")
    return {name: stats[name] for name in STATS if name in stats}


@attrs.frozen(kw_only=True)
class MetricValue:
    """The current value of a metric with its capacity and moving statistics, all numbers as decimal text.

    Source: `current`, `capacity`, `pct`, `unit_hint` and `stats.*` of a MetricValue map in the statistics store.
    """

    current: str
    capacity: str | None = None
    pct: str = "0.00"
    unit_hint: str = ""
    stats: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_as_text_mapping, hash=False)

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> Self:
        """Read the map that a statistics entry holds for one metric; unknown keys are left out.

        Raises:
            InputError: `current` is missing, or a number is not text.
        """
        numbers = {name: fields.get(name) for name in ("current", "capacity", "pct", "unit_hint")}
        stats = {name: fields[f"stats.{name}"] for name in STATS if fields.get(f"stats.{name}") is not None}
        if numbers["current"] is None or not all(
            text is None or isinstance(text, str) for text in (*numbers.values(), *stats.values())
        ):
            raise InputError(f"not a metric value: {dict(fields)!r}")
        return cls(**{name: text for name, text in numbers.items() if text is not None}, stats=stats)

    def to_map(self) -> dict[str, Any]:
        """Return the map that is stored: flat keys, `capacity` present even when it is None."""
        flat = {f"stats.{name}": text for name, text in self.stats.items()}
        return {
            "current": self.current,
            "capacity": self.capacity,
            "pct": self.pct,
            "unit_hint": self.unit_hint,
            **flat,
        }


def shown_value(metric: str, value: object) -> object:
    """Return a stored metric as it may be shown: what agents write and is no figure becomes None.

    That is the capacity and `pct` of a metric without a bound, by its name or because the capacity is `UNBOUNDED`, and the
    `stats` of `cpu_util` that are of its cumulative counter, not of the rate that is its current value. A value that is
    not a map is returned unchanged.
    """
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    bounded = has_bound(metric) and fields.get("capacity") != UNBOUNDED
    hidden = (() if bounded else _OF_A_BOUND) + (_OF_THE_COUNTER if metric == "cpu_util" else ())
    return {name: None if name in hidden else part for name, part in fields.items()}
