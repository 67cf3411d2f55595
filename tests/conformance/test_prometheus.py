"""A real Prometheus, through its client, keeps every promise."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager

import pytest

from statcore.model import format_sample_value
from statcore.ports import MetricQuerierPort
from statcore.testing import metrics
from statcore.testing.conformance import MetricQuerierConformance
from statcore.testing.metrics import MetricCheck, MetricDataset
from statcore.testing.metrics.dataset import METRIC, ODD_NUMBERS
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, free_port
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.prometheus import SimulatedPrometheus
from statcore_memory import MemoryMetrics
from statcore_prometheus import PrometheusClient, PrometheusOptions


class TestPrometheus(MetricQuerierConformance):
    """The client of a server that was started on the planted series."""

    server: Server

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _start(
        cls, dataset: MetricDataset, prometheus_holding: Callable[..., AbstractContextManager[Server]]
    ) -> Iterator[None]:
        """One server for all checks."""
        with prometheus_holding(openmetrics_text(dataset.series)) as cls.server:
            yield

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - loaded already
        """Connect."""
        client = PrometheusClient(self.server.url)
        try:
            yield client
        finally:
            await client.aclose()

    def test_sample_values_are_written_as_the_server_writes_them(self, dataset: MetricDataset) -> None:
        """`MetricResponse.values` shows the very text of the server's own answer, for the oddest numbers."""
        form = {"query": f'{METRIC}{{case="odd_numbers"}}', "time": f"{dataset.at(60).timestamp()}"}
        query = urllib.parse.urlencode(form)
        with urllib.request.urlopen(f"{self.server.url}/api/v1/query?{query}", timeout=10) as answer:  # noqa: S310 - loopback
            samples = json.load(answer)["data"]["result"]
        written = {sample["metric"]["kind"]: sample["value"][1] for sample in samples}
        assert written == {kind: format_sample_value(number) for kind, number in ODD_NUMBERS.items()}


class TestPair(TestPrometheus):
    """The client of an HA pair whose first member does not run."""

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - loaded already
        """Connect."""
        options = PrometheusOptions(fallback_urls=(self.server.url,))
        async with aclosing(PrometheusClient(f"http://127.0.0.1:{free_port()}", options=options)) as client:
            yield client


@pytest.mark.parametrize("check", metrics.CHECKS, ids=lambda check: check.__name__)
def test_a_simulated_server_keeps_the_promise(
    check: MetricCheck, right_metrics: tuple[MetricDataset, MemoryMetrics]
) -> None:
    """What holds for a real Prometheus holds for the simulated one, through the same client."""
    dataset, backend = right_metrics

    async def scenario(simulation: Simulation) -> None:
        server = SimulatedPrometheus(simulation.network, "metrics", backend)
        server.start()
        async with aclosing(PrometheusClient(server.url)) as client:
            await check(client, dataset)

    simulate(scenario, seed=1)
