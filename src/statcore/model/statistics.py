"""Statistics of one metric as agents write it: its value as decimal text, its unit hint, and whether it has a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self, cast

import attrs

from statcore.errors import InputError

UNBOUNDED_METRICS: Final = frozenset({"cpu_used", "io_read", "io_write", "net_rx", "net_tx"})
"""Metrics without a bound. Agents store their first sample as the capacity, so their capacity and `pct` mean nothing."""
UNBOUNDED: Final = "9223372036854775807"
"""The capacity, instead of None, of a metric without a bound in entries from a metric backend; `pct` means nothing then."""
STATS: Final = ("min", "max", "sum", "avg", "diff", "rate")
"""Names of the moving statistics, in wire order; on the wire each is a flat key such as `stats.max`."""

_BOUND_FIELDS: Final = ("capacity", "pct")
_COUNTER_FIELDS: Final = ("stats.min", "stats.max", "stats.sum", "stats.avg")
_HINTS: Final[Mapping[str, str]] = {
    "cpu_util": "millicores",
    "cpu_used": "msec",
    "mem": "bytes",
    "disk": "bytes",
    "io_read": "bytes",
    "io_write": "bytes",
    "io_scratch_size": "bytes",
    # These are bytes per second, but agents write bps.
    "net_rx": "bps",
    "net_tx": "bps",
}
_NODE_HINTS: Final[Mapping[str, str]] = {"cpu_util": "msec"}
_ACCELERATOR_HINTS: Final[Mapping[str, str]] = {"_mem": "bytes", "_util": "percent"}


def unit_hint(metric: str, *, of: Literal["kernel", "node"] = "kernel") -> str:
    """Return the `unit_hint` that agents write for a metric.

    Args:
        metric: the metric's name; an accelerator's metric is recognized by its suffix, such as `_mem`.
        of: the object that has the metric; a device counts as a node.

    Returns:
        The hint, which for an unknown metric is its own name.
    """
    if of == "node" and metric in _NODE_HINTS:
        return _NODE_HINTS[metric]
    _, underscore, kind = metric.rpartition("_")
    return _HINTS.get(metric) or _ACCELERATOR_HINTS.get(underscore + kind, metric)


def has_bound(metric: str) -> bool:
    """Return whether a metric has a bound, so that its capacity and percentage mean something."""
    return metric not in UNBOUNDED_METRICS


def _as_text_mapping(stats: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(stats) - set(STATS))
    if unknown:
        raise InputError(f"unknown moving statistics {unknown}; known are {list(STATS)}")
    return {name: stats[name] for name in STATS if name in stats}


@attrs.frozen(kw_only=True)
class MetricValue:
    """Value of a metric with its capacity and moving statistics, all numbers as decimal text.

    Args:
        current: the current value.
        capacity: the bound of the value, None if there is none.
        pct: the value in percent of the capacity; `0.00` without a capacity.
        unit_hint: the unit as agents write it; see `unit_hint`.
        stats: moving statistics by name, of those in `STATS`.

    Raises:
        InputError: a name in `stats` is not known.
    """

    current: str
    capacity: str | None = None
    pct: str = "0.00"
    unit_hint: str = ""
    stats: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_as_text_mapping, hash=False)

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> Self:
        """Read the map that a stored entry has for one metric; unknown keys are ignored.

        Raises:
            InputError: `current` is missing, or a field is not text.
        """
        numbers = {name: fields.get(name) for name in ("current", "capacity", "pct", "unit_hint")}
        stats = {name: fields[f"stats.{name}"] for name in STATS if fields.get(f"stats.{name}") is not None}
        if numbers["current"] is None or not all(
            text is None or isinstance(text, str) for text in (*numbers.values(), *stats.values())
        ):
            raise InputError(f"not a metric value: {dict(fields)!r}")
        return cls(**{name: text for name, text in numbers.items() if text is not None}, stats=stats)

    def to_map(self) -> dict[str, Any]:
        """Return the map that is stored: flat keys, `capacity` present even if it is None."""
        flat = {f"stats.{name}": text for name, text in self.stats.items()}
        return {
            "current": self.current,
            "capacity": self.capacity,
            "pct": self.pct,
            "unit_hint": self.unit_hint,
            **flat,
        }


def shown_value(metric: str, value: object) -> object:
    """Return a stored metric as it may be shown: fields that agents write but that mean nothing become None.

    These are the capacity and `pct` of a metric without a bound, which has such a name or the capacity `UNBOUNDED`, and the
    `stats` of `cpu_util` that are of its cumulative counter, while its current value is a rate. A value that is not a map
    is returned unchanged.
    """
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, Any]", value)
    bounded = has_bound(metric) and fields.get("capacity") != UNBOUNDED
    hidden = (() if bounded else _BOUND_FIELDS) + (_COUNTER_FIELDS if metric == "cpu_util" else ())
    return {name: None if name in hidden else part for name, part in fields.items()}
