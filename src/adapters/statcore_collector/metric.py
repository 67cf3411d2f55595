"""How a raw reading becomes the `MetricValue` that is stored: which metrics exist, and what is kept of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs

from statcore.model import MetricValue, decimal_text, percent_text, unit_hint
from statcore.statistics.sessions import sum_metric
from statcore_collector.moving import MovingStatistics


@attrs.frozen
class Reading:
    """A raw value as it was read (a counter: cumulative), and the capacity it is measured against, if any."""

    value: float
    capacity: float | None = None


@attrs.frozen(kw_only=True)
class MetricKind:
    """What is stored of a metric.

    Args:
        stats: the moving statistics that apply, which are those that agents store.
        shows_rate: a counter whose stored `current` is its rate per second.
    """

    stats: tuple[str, ...] = ()
    shows_rate: bool = False


METRICS: Final[Mapping[str, MetricKind]] = {
    # Milliseconds of CPU time, hence a rate in ms/s: 1000 is one core.
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
    """The readings of one metric of one object, seen over time."""

    def __init__(self, metric: str) -> None:
        """Start with no reading."""
        self._metric = metric
        self._kind = METRICS[metric]
        self._raw = MovingStatistics()
        self._shown = MovingStatistics()

    def observe(self, time_s: float, reading: Reading) -> MetricValue:
        """Add a reading taken at a monotonic time in seconds, and return what to store.

        As agents do, a rate that is not known yet (after one sample, or when the counter fell) is stored as 0; it does
        not count in the moving statistics.
        """
        kind = self._kind
        if self._raw.last is not None and reading.value < self._raw.last and (kind.shows_rate or "rate" in kind.stats):
            self._raw = MovingStatistics()  # the counter began anew: a fall is no rate
        self._raw.observe(time_s, reading.value)
        rate = self._raw.values().get("rate")
        current = rate if kind.shows_rate else reading.value
        if current is not None:
            self._shown.observe(time_s, current)
        known = {**self._shown.values(), "rate": rate}
        return _metric_value(
            self._metric,
            current or 0,
            capacity=None if reading.capacity is None else decimal_text(reading.capacity),
            stats={name: decimal_text(known.get(name) or 0) for name in kind.stats},
        )


class ObjectTracker:
    """All metrics of one kernel, seen over time."""

    def __init__(self) -> None:
        """Start with no reading."""
        self._trackers: dict[str, MetricTracker] = {}

    def observe(self, time_s: float, readings: Mapping[str, Reading]) -> dict[str, MetricValue]:
        """Add readings by metric, taken at a monotonic time in seconds, and return what to store by metric."""
        values: dict[str, MetricValue] = {}
        for metric, reading in readings.items():
            if metric not in self._trackers:
                self._trackers[metric] = MetricTracker(metric)
            values[metric] = self._trackers[metric].observe(time_s, reading)
        return values


def node_cpu_value(used_ms: float, interval_ms: float) -> MetricValue:
    """Return the `cpu_util` of a node or of one core: milliseconds used since the last round, out of the interval.

    As agents do, the capacity is the interval whatever the number of cores, and 0 in the first round.
    """
    capacity = decimal_text(interval_ms)
    return MetricValue(
        current=decimal_text(used_ms),
        capacity=capacity,
        pct=percent_text(used_ms, capacity),
        unit_hint=unit_hint("cpu_util", of="node"),
    )


def sum_kernels(kernels: Sequence[Mapping[str, MetricValue]]) -> Mapping[str, MetricValue]:
    """Return a session's metrics: those of its only kernel, or the sums over its kernels on this agent.

    Sums are those that readers make of the kernels of a session. A metric that one of the kernels lacks is left out, since
    it could not be read there, and a sum without it would be too low.
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
