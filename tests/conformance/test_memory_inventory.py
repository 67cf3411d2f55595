"""The inventory in memory, and the one that reads the series of a backend in memory, keep every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tests.conformance.planted_inventory import right_inventory

from statcore.ports import InventoryPort
from statcore.services import SeriesInventory
from statcore.testing.conformance import InventoryConformance
from statcore.testing.inventory import InventoryDataset, container_samples
from statcore_memory import MemoryMetrics


class TestMemoryInventory(InventoryConformance):
    """Told of kernels and endpoints."""

    @asynccontextmanager
    async def open(self, planted: InventoryDataset) -> AsyncGenerator[InventoryPort]:
        """Tell it."""
        yield right_inventory(planted)


class TestSeriesOfMemoryMetrics(InventoryConformance):
    """One scrape of all kernels."""

    @asynccontextmanager
    async def open(self, planted: InventoryDataset) -> AsyncGenerator[InventoryPort]:
        """Scrape, and look at that moment."""
        now = datetime(2026, 11, 22, 10, tzinfo=UTC)
        metrics = MemoryMetrics()
        metrics.append_scrape(container_samples(planted.kernels), target="agents", time=now)
        yield SeriesInventory(metrics, clock=lambda: now)
