"""The stores in memory keep every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from statcore.ports import MetricQuerierPort, StatisticsPort, StatisticsSinkPort
from statcore.testing.conformance import MetricQuerierConformance, StatisticsConformance
from statcore.testing.metrics import MetricDataset
from statcore_memory import MemoryMetrics, MemoryStatistics


class TestMemoryStatistics(StatisticsConformance):
    """The store of live statistics."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """One object is both."""
        store = MemoryStatistics()
        yield store, store


class TestMemoryMetrics(MetricQuerierConformance):
    """The metric backend."""

    backend: MemoryMetrics

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _load(cls, dataset: MetricDataset, load_memory: Callable[[MetricDataset], MemoryMetrics]) -> None:
        """Once for all checks: loading takes longer than they do."""
        cls.backend = load_memory(dataset)

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - loaded already
        """It is open already, and closing it does nothing."""
        yield self.backend
