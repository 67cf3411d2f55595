"""From raw values to stored metrics: which metrics exist, the statistics that are kept of each, and the stored value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs

from statcore.model import MetricValue, decimal_text, percent_text, unit_hint
from statcore.statistics.sessions import sum_metric


class MovingStatistics:
    """Minimum, maximum, sum and average of all samples; difference and rate of the last two."""

    def __init__(self) -> None:
        """Start with no sample."""
        self._count = 0
        self._last: tuple[float, float] | None = None
        self._values: dict[str, float] = {}

    @property
    def last(self) -> float | None:
        """The value of the last sample, or None before the first."""
        return None if self._last is None else self._last[1]

    def observe(self, time_s: float, value: float) -> None:
        """Add a sample taken at a monotonic time in seconds."""
        seen = self._values
        self._count += 1
        total = seen.get("sum", 0) + value
        self._values = {
            "min": min(seen.get("min", value), value),
            "max": max(seen.get("max", value), value),
            "sum": total,
            "avg": total / self._count,
        }
        if self._last is not None:
            before_s, before = self._last
            self._values["diff"] = value - before
            if time_s > before_s:
                self._values["rate"] = (value - before) / (time_s - before_s)
        self._last = (time_s, value)

    def values(self) -> dict[str, float]:
        """Return the statistics by name; a statistic that does not exist yet (the rate of one sample) is left out."""
        return dict(self._values)


@attrs.frozen
class RawValue:
    """A value as it was read (for a counter, the cumulative count), and its capacity, if it has one."""

    value: float
    capacity: float | None = None


@attrs.frozen(kw_only=True)
class MetricKind:
    """How a metric is stored.

    Args:
        stats: the moving statistics that are stored, the same that agents store.
        shows_rate: whether the stored `current` is the rate per second of a counter, not its count.
    """

    stats: tuple[str, ...] = ()
    shows_rate: bool = False


METRICS: Final[Mapping[str, MetricKind]] = {
    # A counter of milliseconds of CPU time; its rate is in ms/s, and 1000 ms/s is one core.
    "cpu_util": MetricKind(stats=("avg", "max"), shows_rate=True),
    "cpu_used": MetricKind(),
    "mem": MetricKind(stats=("max",)),
    "disk": MetricKind(),
    "io_read": MetricKind(stats=("rate",)),
    "io_write": MetricKind(stats=("rate",)),
    "net_rx": MetricKind(shows_rate=True),
    "net_tx": MetricKind(shows_rate=True),
}
CORE_MS_PER_S: Final = 1000
"""The capacity of `cpu_util` for one core."""


class MetricTracker:
    """Turns the raw values of one metric of one object, round after round, into stored values."""

    def __init__(self, metric: str) -> None:
        """Start with no value seen."""
        self._metric = metric
        self._kind = METRICS[metric]
        self._raw = MovingStatistics()
        self._shown = MovingStatistics()

    def observe(self, time_s: float, raw: RawValue) -> MetricValue:
        """Add the raw value of a round, and return the value to store.

        A rate that is unknown (after the first sample, or after the counter fell) is stored as 0, as agents do; it does
        not count in the moving statistics.

        Args:
            time_s: the monotonic time of the reading, in seconds.
            raw: the value that was read.
        """
        kind = self._kind
        if self._raw.last is not None and raw.value < self._raw.last and (kind.shows_rate or "rate" in kind.stats):
            self._raw = MovingStatistics()  # the counter was reset; a negative rate would be wrong
        self._raw.observe(time_s, raw.value)
        rate = self._raw.values().get("rate")
        current = rate if kind.shows_rate else raw.value
        if current is not None:
            self._shown.observe(time_s, current)
        known = {**self._shown.values(), "rate": rate}
        return _metric_value(
            self._metric,
            current or 0,
            capacity=None if raw.capacity is None else decimal_text(raw.capacity),
            stats={name: decimal_text(known.get(name) or 0) for name in kind.stats},
        )


class ObjectTracker:
    """Turns the raw values of all metrics of one kernel or node, round after round, into stored values."""

    def __init__(self) -> None:
        """Start with no value seen."""
        self._trackers: dict[str, MetricTracker] = {}

    def observe(self, time_s: float, raw_values: Mapping[str, RawValue]) -> dict[str, MetricValue]:
        """Add the raw values of a round by metric, and return the values to store by metric.

        Args:
            time_s: the monotonic time of the reading, in seconds.
            raw_values: the values that were read; a metric that is missing keeps its history.
        """
        values: dict[str, MetricValue] = {}
        for metric, raw in raw_values.items():
            if metric not in self._trackers:
                self._trackers[metric] = MetricTracker(metric)
            values[metric] = self._trackers[metric].observe(time_s, raw)
        return values


def node_cpu_value(used_ms: float, interval_ms: float) -> MetricValue:
    """Return the stored `cpu_util` of a node or a core.

    As agents do, the capacity is the interval whatever the number of cores, and 0 in the first round.

    Args:
        used_ms: the CPU time used since the last round, in milliseconds.
        interval_ms: the time since the last round, in milliseconds.
    """
    capacity = decimal_text(interval_ms)
    return MetricValue(
        current=decimal_text(used_ms),
        capacity=capacity,
        pct=percent_text(used_ms, capacity),
        unit_hint=unit_hint("cpu_util", of="node"),
    )


def sum_kernels(kernels: Sequence[Mapping[str, MetricValue]]) -> Mapping[str, MetricValue]:
    """Return a session's metrics: the metrics of its only kernel, or the sums over its kernels on this agent.

    Readers sum the kernels of a session in the same way. A metric that a kernel lacks is left out, since it could not be
    read there, and a sum without it would be too low.
    """
    if len(kernels) == 1:
        return kernels[0]
    shared = [metric for metric in METRICS if all(metric in kernel for kernel in kernels)]
    return {metric: sum_metric(metric, [kernel[metric].to_map() for kernel in kernels]) for metric in shared}


def _metric_value(metric: str, current: float | Decimal, *, capacity: str | None, stats: Mapping[str, str]) -> MetricValue:
    return MetricValue(
        current=decimal_text(current),
        capacity=capacity,
        pct=percent_text(current, capacity),
        unit_hint=unit_hint(metric),
        stats=stats,
    )
