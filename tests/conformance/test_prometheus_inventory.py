"""The inventory that reads the series of a real Prometheus keeps every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime

import pytest

from statcore.ports import InventoryPort
from statcore.services import SeriesInventory
from statcore.testing.conformance import InventoryConformance
from statcore.testing.inventory import InventoryDataset, container_samples
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

NOW = datetime.now(UTC).replace(microsecond=0)


class TestSeriesOfPrometheus(InventoryConformance):
    """A server that was started on the series of all kernels."""

    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _start(
        cls, planted: InventoryDataset, prometheus_holding: Callable[..., AbstractContextManager[Server]]
    ) -> Iterator[None]:
        """One server for all checks."""
        times = [NOW.timestamp() - seconds for seconds in (60, 30, 0)]
        series = (
            PlantedSeries(name, labels, [(time, value) for time in times])
            for name, labels, value in container_samples(planted.kernels)
        )
        with prometheus_holding(openmetrics_text(series)) as server:
            cls.url = server.url
            yield

    @asynccontextmanager
    async def open(self, planted: InventoryDataset) -> AsyncGenerator[InventoryPort]:  # noqa: ARG002 - loaded already
        """Connect."""
        async with aclosing(PrometheusClient(self.url)) as client:
            yield SeriesInventory(client, clock=lambda: NOW)
