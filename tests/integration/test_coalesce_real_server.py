"""Coalesced is one by one on a real Prometheus, too, and the requests that it saves are counted there."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Final
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coalescing import LABEL_SETS, START_MS, Labelled, labelled, mixed_queriers, time_ranges

from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.model.time import from_unix_ms
from statcore.queriers import ContainerMetricQuerier, QueryStrategy, UtilizationMetricQuerier, coalesce
from statcore.queriers.container import CONTAINER_SERIES
from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server, plant_openmetrics
from statcore_prometheus import PrometheusClient

EXAMPLES: Final = 150
START_S: Final = START_MS // 1000
RANGE: Final = QueryTimeRange(start=from_unix_ms(START_MS), end=from_unix_ms(START_MS + 600_000), step="1m")


def all_series() -> Iterator[PlantedSeries]:
    """Yield every series there may be, sampled every 30 seconds with gaps, with whole numbers that go up and down."""
    chance = random.Random(3)  # noqa: S311 - to be repeatable
    for name, labels in LABEL_SETS:
        times = [START_S + 30 * turn + chance.randint(0, 9) for turn in range(20) if chance.random() < 0.8]
        samples = [(float(time), float(chance.randint(0, 10**6))) for time in times]
        yield PlantedSeries(name, {label: value for label, value in labels.items() if value}, samples)


def kernels(count: int) -> list[ContainerMetricQuerier]:
    """Return a querier of each kernel's `cpu_util`."""
    ids = [UUID(int=number + 1) for number in range(count)]
    return [ContainerMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=id_) for id_ in ids]


def requests_served(server: Server, handler: str) -> int:
    """Return how many requests the server says that it has answered."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
        metrics = answer.read().decode()
    counted = re.search(rf'^prometheus_http_requests_total{{code="200",handler="{handler}"}} (\d+)$', metrics, re.MULTILINE)
    return int(counted[1]) if counted else 0


def assert_alike(expected: MatrixResult | VectorResult, actual: object, querier: UtilizationMetricQuerier) -> None:
    """Fail unless the same series have the same samples: sums of values exactly, sums of rates but for rounding."""
    assert isinstance(actual, type(expected))
    series, found = labelled(expected), labelled(actual)
    assert _times(series) == _times(found), querier
    if querier.query_strategy() is QueryStrategy.GAUGE:
        assert series == found, querier  # whole numbers below 2^53: the order of addition cannot matter
    # The server may add up in any order. Each of n additions rounds by half an epsilon of the sum so far, and since no
    # rate is negative, no such sum exceeds the last: any order is within n/2 epsilon of the truth, and n of another.
    tolerance = len(LABEL_SETS) * sys.float_info.epsilon
    for labels, points in series.items():
        for (_, one), (_, other) in zip(points, found[labels], strict=True):
            assert abs(float(one) - float(other)) <= tolerance * float(one), (querier, labels, one, other)


def _times(series: Labelled) -> dict[frozenset[tuple[str, str]], list[int]]:
    return {labels: [time for time, _ in points] for labels, points in series.items()}


def test_shared_requests_have_the_answers_of_single_requests(
    tmp_path: Path, start_prometheus: Callable[..., Server]
) -> None:
    """Queriers of all kinds, through the source in few requests and by themselves, as a range and now."""
    plant_openmetrics(tmp_path, openmetrics_text(all_series()))
    server = start_prometheus(tmp_path)
    points: Counter[object] = Counter()

    with asyncio.Runner() as runner:
        client = PrometheusClient(server.url)

        @settings(max_examples=EXAMPLES)
        @given(mixed_queriers(), st.sampled_from([1, 3, 256]), time_ranges())
        def check(queriers: list[UtilizationMetricQuerier], max_values: int, between: QueryTimeRange) -> None:
            runner.run(compare(queriers, max_values, between))

        async def compare(queriers: list[UtilizationMetricQuerier], max_values: int, between: QueryTimeRange) -> None:
            source = UtilizationSource(client, max_values=max_values)
            ranges = await source.read_utilization_batch(queriers, between)
            now = await source.read_utilization_now_batch(queriers, time=between.end)
            for querier, one, one_now in zip(queriers, ranges, now, strict=True):
                expected = await client.query_utilization(querier, between)
                assert_alike(expected, one, querier)
                assert_alike(await client.query_utilization_now(querier, time=between.end), one_now, querier)
                points[querier.query_strategy()] += sum(map(len, expected.series))

        try:
            check()
        finally:
            runner.run(client.aclose())
    assert all(points[strategy] > 2 * EXAMPLES for strategy in QueryStrategy), points


async def test_the_server_counts_batches_not_kernels(tmp_path: Path, start_prometheus: Callable[..., Server]) -> None:
    """500 kernels' `cpu_util` are two requests, their `mem` and `io_read` two each, whatever else is asked beside."""
    labels = [{**kernel.labels(), "container_metric_name": "cpu_util"} for kernel in kernels(500)]
    samples = [(START_S + 60.0 * turn, 7.0 * turn) for turn in range(10)]
    plant_openmetrics(tmp_path, openmetrics_text(PlantedSeries(CONTAINER_SERIES, one, samples) for one in labels))
    server = start_prometheus(tmp_path)
    counts: list[tuple[int, int]] = []
    async with aclosing(PrometheusClient(server.url)) as client:
        source = UtilizationSource(client)
        for count in (1, 256, 500):
            before = requests_served(server, "/api/v1/query_range")
            answers = await source.read_utilization_batch(kernels(count), RANGE)
            counts.append((count, requests_served(server, "/api/v1/query_range") - before))
            assert all(isinstance(answer, MatrixResult) and len(answer.series) == 1 for answer in answers)
        assert [(1, 1), (256, 1), (500, 2)] == counts
        assert 2 == len(coalesce(kernels(500)))

        gauges = [
            ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=kernel.kernel_id)
            for kernel in kernels(500)
            for metric in ("mem", "io_read")
        ]
        before = requests_served(server, "/api/v1/query")
        await source.read_utilization_now_batch([*gauges, *kernels(500)], time=RANGE.end)
        assert 6 == requests_served(server, "/api/v1/query") - before


async def test_labels_that_no_server_groups_by_bare_are_not_merged_along(
    tmp_path: Path, start_prometheus: Callable[..., Server]
) -> None:
    """Queriers that filter by such a label are answered one by one, where a grouping by it would be refused."""
    series = [PlantedSeries("odd", {"inf": value}, [(float(START_S), number)]) for number, value in enumerate("ab")]
    plant_openmetrics(tmp_path, openmetrics_text(series))
    queriers = [FixedQuerier("odd", {"inf": value}) for value in "ab"]
    async with aclosing(PrometheusClient(start_prometheus(tmp_path).url)) as client:
        answers = await UtilizationSource(client).read_utilization_now_batch(queriers, time=RANGE.start)
    assert [[0], [1]] == [[one.value for one in answer.samples] for answer in answers if isinstance(answer, VectorResult)]
