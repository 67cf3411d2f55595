"""This project's store and backend, and inventories, keep the promises of the suites that statcore ships."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from hypothesis import given, settings
from outside_batteries.backend import RoundingMetrics
from outside_batteries.plugin import BACKEND_SPEC
from outside_batteries.store import BatteryStore, open_store

from statcore import InventoryPort, MetricQuerierPort, MetricValue, PromQLPort, StatisticsPort, StatisticsSinkPort
from statcore.ports import DatedStatisticsPort, DiagnosisPort, KernelStatisticsPort
from statcore.testing import inventory, metrics, querier_checks, statistics, strategies
from statcore.testing.conformance import InventoryConformance, MetricQuerierConformance, StatisticsConformance
from statcore.testing.inventory import InventoryDataset
from statcore.testing.metrics import MetricDataset
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore_memory import MemoryInventory, MemoryMetrics


class TestStore(StatisticsConformance):
    """Reader and writer share the dict of a URL."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Open both as statcore does."""
        url = f"battery-store://{uuid4().hex}"
        yield await open_store(url, {}), await open_store(url, {})


class TestBackend(MetricQuerierConformance):
    """The backend, with its one documented difference."""

    differences = BACKEND_SPEC.differences
    backend: RoundingMetrics

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _plant(cls, dataset: MetricDataset) -> None:
        """Plant once for all checks."""
        memory = MemoryMetrics()
        for number, planted in enumerate(dataset.series):
            for time, value in planted.samples:
                memory.append_scrape([(planted.name, planted.labels, value)], target=str(number), time=time)
        cls.backend = RoundingMetrics(memory)

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:
        """Return the backend that is open already."""
        assert dataset.at(0) == dataset.start < dataset.end
        yield self.backend


class TestInventory(InventoryConformance):
    """The inventory in memory."""

    @asynccontextmanager
    async def open(self, planted: InventoryDataset) -> AsyncGenerator[InventoryPort]:
        """Register all records."""
        memory = MemoryInventory()
        for kernel in planted.kernels:
            memory.register_kernel(kernel)
        for endpoint in planted.endpoints:
            memory.register_endpoint(endpoint)
        yield memory


def test_the_checks_are_plain_functions_too() -> None:
    """Another test runner than pytest calls them directly."""

    async def run() -> None:
        for check in statistics.CHECKS[:5]:
            store = BatteryStore({})
            await check(store, store)

    asyncio.run(run())
    assert all(callable(check) for module in (inventory, metrics, querier_checks) for check in module.CHECKS)


def test_planted_series_can_be_written_for_a_server() -> None:
    """`openmetrics_text` writes them as a real server loads them."""
    text = openmetrics_text(MetricDataset.recent().series[:1])
    assert "statcore_conformance" in text
    assert text.endswith("# EOF\n")


def test_ports_are_recognized() -> None:
    """`isinstance` tells which ports an adapter implements."""
    store, backend = BatteryStore({}), RoundingMetrics(MemoryMetrics())
    assert all(isinstance(store, port) for port in (StatisticsPort, StatisticsSinkPort, KernelStatisticsPort))
    assert all(isinstance(backend, port) for port in (MetricQuerierPort, PromQLPort, DiagnosisPort))
    assert not isinstance(store, DatedStatisticsPort)


@settings(deadline=None, max_examples=20, database=None)
@given(strategies.metric_maps())
def test_any_statistics_can_be_stored(metrics_of_kernel: dict[str, MetricValue]) -> None:
    """The shipped strategies generate what a store takes."""

    async def round_trip() -> object:
        store = BatteryStore({})
        await store.store_kernel_statistics({"k": metrics_of_kernel})
        return (await store.fetch_kernel_statistics(["k"]))[0]

    assert {name: value.to_map() for name, value in metrics_of_kernel.items()} == asyncio.run(round_trip())
