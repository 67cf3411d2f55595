"""The metrics of workers: their values are in memory that the workers share, and each worker answers the sums over all."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from math import nan
from threading import Lock
from typing import Final, cast

import attrs
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, values

from statcore_web.shared_numbers import SharedNumbers

_GAUGE: Final = "gauge"
_BUCKET: Final = "le"
"""The label of the buckets of a histogram, which no metric is given."""


@attrs.frozen(eq=False)
class SharedMetrics:
    """The values of the workers' metrics.

    Args:
        numbers: a row for each value, with a number for each worker.
        worker: the number of this worker, from 0.
    """

    numbers: SharedNumbers
    worker: int

    def use(self) -> None:
        """Keep the values of all metrics that this process makes from now on in the shared memory."""
        global _used  # noqa: PLW0603 - prometheus_client has one class of values for the whole process
        _used = self
        values.ValueClass = _SharedValue
        disable_created_metrics()  # type: ignore[no-untyped-call]  # each worker has its own times

    def forget_gauges(self) -> None:
        """Set the gauges of this worker, which has ended, to zero; for the parent of the workers."""
        for name in self.numbers.names():
            if json.loads(name)[0] == _GAUGE:
                self.numbers.row(name)[self.worker] = 0

    def add_label_values(self, metrics: Iterable[Counter | Gauge | Histogram]) -> None:
        """Give metrics the label values that they have in other workers."""
        by_name = {description.name: metric for metric in metrics for description in metric.describe()}
        for row in self.numbers.names():
            _, name, _, labels = json.loads(row)
            labels.pop(_BUCKET, None)
            if labels and name in by_name:
                by_name[name].labels(**labels)


_used: SharedMetrics | None = None


def used_here() -> SharedMetrics | None:
    """Return the shared metrics that this process uses, if it is a worker."""
    return _used


class _SharedValue:
    """A value as prometheus_client's own `MutexValue`, with a number for each worker; what is read is their sum."""

    _lock = Lock()

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        **_: object,
    ) -> None:
        del help_text
        shared = cast("SharedMetrics", _used)
        labels = dict(zip(labelnames, labelvalues, strict=True))
        self._row: memoryview[float]
        try:
            self._row = shared.numbers.row(json.dumps([typ, metric_name, name, labels]))
        except MemoryError:  # it stays "not a number", which no request fails for
            self._row = memoryview(array("d", [nan] * shared.numbers.width))
        self._worker = shared.worker

    def inc(self, amount: float) -> None:
        with self._lock:
            self._row[self._worker] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        del timestamp
        with self._lock:
            self._row[self._worker] = value

    def get(self) -> float:
        return sum(self._row)

    def set_exemplar(self, exemplar: object) -> None:
        """Do nothing: only values of this process alone have exemplars."""

    def get_exemplar(self) -> None:
        return None
