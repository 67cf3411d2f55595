"""A real cluster keeps every promise of a single node, and says when a storage node is missing.

The tests of this module change the cluster in turn: the last one ends a storage node.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from statcore.errors import PartialAnswerError, UnavailableError
from statcore.model import QueryTimeRange
from statcore.ports import MetricQuerierPort
from statcore.promql import Selector
from statcore.testing.conformance import MetricQuerierConformance
from statcore.testing.metrics import MetricDataset
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore_victoriametrics.client import VictoriaMetricsClient
from statcore_victoriametrics.plugin import SPEC

Open = Callable[..., Awaitable[VictoriaMetricsClient]]


class TestCluster(MetricQuerierConformance):
    """The client that the plugin's spec opens, of a cluster that the planted series were imported into."""

    differences = SPEC.differences
    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _plant(cls, dataset: MetricDataset, cluster: Any, plant_in_cluster: Callable[..., None]) -> None:
        """Once for all checks."""
        plant_in_cluster(dataset.series)
        cls.url = cluster.url()

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - planted already
        """Connect."""
        client = await SPEC.open(self.url, {})
        try:
            yield client
        finally:
            await client.aclose()


def numbered(count: int, value: float, time: datetime) -> list[PlantedSeries]:
    """Return series of one sample, which the cluster spreads over its storage nodes."""
    return [PlantedSeries("spread", {"n": str(number)}, [(time.timestamp(), value)]) for number in range(count)]


async def test_each_tenant_has_its_own_series(
    cluster: Any, plant_in_cluster: Callable[..., None], open_client: Open
) -> None:
    """One client, over the same connections."""
    time = datetime.now(UTC).replace(microsecond=0)
    for tenant, value in (("7", 1.0), ("7:3", 2.0)):
        plant_in_cluster(numbered(3, value, time), tenant)
    client = await open_client(cluster.url())
    found = {}
    for tenant in ("7", "7:3", "8"):
        answer = await client.for_tenant(tenant).query_utilization_now(FixedQuerier("spread"), time=time)
        found[tenant] = [sample.value for sample in answer.samples]
    assert {"7": [3.0], "7:3": [6.0], "8": []} == found


async def test_an_answer_without_a_storage_node_is_never_whole(
    cluster: Any, plant_in_cluster: Callable[..., None], open_client: Open
) -> None:
    """It is partial, an error in strict mode, and refused by the cluster where partial answers are not wanted."""
    time = datetime.now(UTC).replace(microsecond=0)
    plant_in_cluster(numbered(100, 1.0, time), "9")
    querier, minute = FixedQuerier("spread"), QueryTimeRange(start=time, end=time, step="1m")
    options: list[dict[str, Any]] = [{}, {"strict": True}, {"partial_response": False, "attempts": 1}]
    client, strict, denying = [await open_client(cluster.url("9"), **each) for each in options]
    for each in (client, strict, denying):
        answer = await each.query_utilization_now(querier, time=time)
        assert ([100.0], False) == ([sample.value for sample in answer.samples], answer.partial)
    cluster.storages[1].process.kill()
    cluster.storages[1].process.wait()
    answer = await client.query_utilization_now(querier, time=time)
    assert answer.partial
    assert all(0 < sample.value < 100 for sample in answer.samples)
    assert (await client.query_utilization(querier, minute)).partial
    for each, error in ((strict, PartialAnswerError), (denying, UnavailableError)):
        for reading in (
            each.query_utilization_now(querier, time=time),
            each.query_utilization(querier, minute),
            each.series(Selector("spread")),
            each.label_values("n"),
        ):
            with pytest.raises(error):
                await reading
