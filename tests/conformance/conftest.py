"""Right adapters, and a way to break them on purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from statcore.testing.metrics import MetricDataset
from statcore_memory import MemoryMetrics


class Faulty:
    """A right adapter, of which each method whose name starts with a prefix is called through a fault.

    The fault takes this object, the right method and the arguments; what it wants to remember goes into `memo`.
    """

    def __init__(self, right: Any, fault: Callable[..., Coroutine[Any, Any, Any]], *, prefix: str) -> None:
        """Wrap an adapter."""
        self.right = right
        self.fault = fault
        self.prefix = prefix
        self.memo: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        """Return the right method, or the fault."""
        method = getattr(self.right, name)
        return partial(self.fault, self, method) if name.startswith(self.prefix) else method


@pytest.fixture(scope="session")
def faulty() -> type[Faulty]:
    """`faulty(right, fault, prefix="fetch_")` is a broken adapter."""
    return Faulty


@pytest.fixture(scope="session")
def load_memory() -> Callable[[MetricDataset], MemoryMetrics]:
    """`load_memory(dataset)` is a backend in memory that scraped the series in order of time."""

    def load(dataset: MetricDataset) -> MemoryMetrics:
        backend = MemoryMetrics()
        by_time = defaultdict(list)
        for number, (name, labels, samples) in enumerate(dataset.series):
            for time, value in samples:
                by_time[time].append((f"target {number}", (name, labels, value)))
        for time, scrapes in sorted(by_time.items()):
            for target, sample in scrapes:  # each series a target of its own: a scrape of the others does not end it
                backend.append_scrape([sample], target=target, time=time)
        return backend

    return load


@pytest.fixture(scope="session")
def right_metrics(load_memory: Callable[[MetricDataset], MemoryMetrics]) -> tuple[MetricDataset, MemoryMetrics]:
    """A data set, and a backend in memory that holds it."""
    dataset = MetricDataset.recent()
    return dataset, load_memory(dataset)
