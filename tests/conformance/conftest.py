"""Backends in memory that hold a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from statcore.testing.metrics import MetricDataset
from statcore_memory import MemoryMetrics


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
