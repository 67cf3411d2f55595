"""A real VictoriaMetrics keeps every promise, but for the documented differences, and those are what they say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from statcore.ports import MetricQuerierPort
from statcore.queriers import LabelMatcher
from statcore.testing.conformance import MetricQuerierConformance
from statcore.testing.metrics import MetricDataset
from statcore.testing.metrics.dataset import ODD_NUMBERS, PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_victoriametrics.client import VictoriaMetricsClient
from statcore_victoriametrics.plugin import SPEC


class TestVictoriaMetrics(MetricQuerierConformance):
    """The client that the plugin's spec opens, of a server that the planted series were imported into."""

    differences = SPEC.differences
    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _plant(cls, dataset: MetricDataset, server: Server, plant: Callable[..., None]) -> None:
        """Once for all checks."""
        plant(dataset.series)
        cls.url = f"victoriametrics://127.0.0.1:{server.port}"

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - planted already
        """Connect."""
        client = await SPEC.open(self.url, {})
        try:
            yield client
        finally:
            await client.aclose()


def sampled(name: str, label: str, values: dict[str, float], time: datetime) -> list[PlantedSeries]:
    """Return one series for each value, with one sample."""
    return [PlantedSeries(name, {label: text}, [(time.timestamp(), value)]) for text, value in values.items()]


async def test_numbers_differ_as_documented(client: VictoriaMetricsClient, plant: Callable[..., None]) -> None:
    """NaN is not there, the least float is 0, and every other number has 13 digits or more of what it was."""
    time = datetime.now(UTC).replace(microsecond=0)
    plant(sampled("odd_numbers", "kind", ODD_NUMBERS, time))
    result = await client.query_utilization_now(FixedQuerier("odd_numbers", group_by=["kind"]), time=time)
    found = {sample.labels["kind"]: sample.value for sample in result.samples}
    expected = {kind: number for kind, number in ODD_NUMBERS.items() if kind != "nan"} | {"least": 0.0}
    assert expected == pytest.approx(found, rel=1e-13, abs=0)
    assert ODD_NUMBERS["long_fraction"] != found["long_fraction"]


async def test_texts_differ_as_documented(client: VictoriaMetricsClient, plant: Callable[..., None]) -> None:
    """An exact match selects the three characters; a regex may not, though it accepts the value next to them."""
    time = datetime.now(UTC).replace(microsecond=0)
    texts = {f"a{character}b": float(number) for number, character in enumerate("\x00\x01\x02\x03")}
    plant(sampled("odd_texts", "text", texts, time))

    async def selected(matcher: LabelMatcher) -> list[float]:
        querier = FixedQuerier("odd_texts", {"text": matcher})
        return [sample.value for sample in (await client.query_utilization_now(querier, time=time)).samples]

    assert [[number] for number in texts.values()] == [await selected(LabelMatcher.equal(text)) for text in texts]
    assert [3.0] == await selected(LabelMatcher.regex("a.b"))
