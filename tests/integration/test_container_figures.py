"""Planted figures of containers, read from a real Prometheus through each interface: all show the same numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from tests.e2e.program import statcore
from tests.support.graphql_host import Host
from tests.support.planted_server import planted_server

from statcore.model import QueryTimeRange, VectorResult
from statcore.queriers import ContainerMetricQuerier, coalesce
from statcore.services import (
    ContainerMetricAction,
    ContainerMetricOptionalLabel,
    ContainerUtilizationMetricService,
)
from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

AT_S: Final = 1_795_341_600
AT: Final = datetime.fromtimestamp(AT_S, UTC)
RANGE: Final = QueryTimeRange(start=AT, end=AT, step="1m")
USER: Final = str(UUID(int=99))
BUSY, HALF, UNLIMITED, ENDLESS, IDLE, INFINITE, UNKNOWN = (str(UUID(int=number)) for number in range(1, 8))
SLOPES: Final = {"cpu_util", "cpu_used", "net_rx", "net_tx", "io_read"}
PLANTED: Final[dict[str, dict[str, dict[str, float]]]] = {
    BUSY: {
        "current": {"cpu_util": 1000, "mem": 1024, "net_rx": 10_000, "net_tx": 30, "cpu_used": 1000, "io_read": 4096},
        "capacity": {"cpu_util": 1000, "mem": 4096, "net_rx": 1820},
    },
    HALF: {"current": {"cpu_util": 502, "mem": 3072}, "capacity": {"cpu_util": 1000, "mem": 4096}},
    # Each of these has something that the percentages of the others must not count.
    UNLIMITED: {"current": {"cpu_util": 700, "mem": 10**6}, "capacity": {"cpu_util": 0, "mem": 0}},
    ENDLESS: {"current": {"cpu_util": 700, "mem": 10**6}, "capacity": {}},
    IDLE: {"current": {}, "capacity": {"cpu_util": 1000, "mem": 10**6}},
    INFINITE: {"current": {"cpu_util": 700, "mem": 10**6}, "capacity": {"cpu_util": math.inf, "mem": math.inf}},
    UNKNOWN: {"current": {"cpu_util": 700, "mem": 10**6}, "capacity": {"cpu_util": math.nan, "mem": math.nan}},
}
"""The values of kernels of one user; for counters, the increase per second."""
PERCENT: Final = {"cpu_util": {BUSY: 100.0, HALF: 50.2}, "mem": {BUSY: 25.0, HALF: 75.0}}
OF_ALL: Final = {"cpu_util": 150.2, "mem": 50.0}


def planted() -> Iterator[PlantedSeries]:
    """Yield the samples of twenty minutes."""
    for kernel, kinds in PLANTED.items():
        for value_type, figures in kinds.items():
            for metric, figure in figures.items():
                grows = metric in SLOPES and value_type == "current"
                labels = {"container_metric_name": metric, "value_type": value_type, "kernel_id": kernel, "user_id": USER}
                samples = [(float(AT_S - back), figure * (1200 - back if grows else 1)) for back in range(1200, -1, -15)]
                yield PlantedSeries("backendai_container_utilization", {**labels, "agent_id": "i-1"}, samples)


server = planted_server(planted)


def asking(metric: str, value_type: Any, kernel: str | None = None) -> ContainerMetricQuerier:
    """Return a querier for a metric of a kernel, or of all kernels of the user."""
    owner: dict[str, Any] = {"user_id": USER} if kernel is None else {"kernel_id": kernel}
    return ContainerMetricQuerier(metric_name=metric, value_type=value_type, **owner)


def shown(answer: object) -> list[tuple[dict[str, str], Any]]:
    """Return the labels and values of an answer at one instant."""
    assert isinstance(answer, VectorResult)
    return [(dict(sample.labels), pytest.approx(sample.value)) for sample in answer.samples]


async def by_python(server: Server, metric: str, value_type: str) -> list[tuple[dict[str, str], float]]:
    """Query the service that managers know."""
    async with aclosing(PrometheusClient(server.url)) as client:
        labels = ContainerMetricOptionalLabel(value_type=value_type, kernel_id=BUSY)
        action = ContainerMetricAction(metric, labels, start=AT, end=AT, step="1m")
        result = (await ContainerUtilizationMetricService(client).query_metric(action)).result
    assert [BUSY] == [series.metric.kernel_id for series in result]
    return [
        ({"kernel_id": BUSY, "value_type": str(series.metric.value_type)}, float(series.values[0].value))
        for series in result
    ]


async def by_graphql(server: Server, metric: str, value_type: str) -> list[tuple[dict[str, str], float]]:
    """Query the schema."""
    async with aclosing(PrometheusClient(server.url)) as client:
        data = await Host(metrics=client).execute_cleanly(
            """query ($selector: JSON!, $at: String!) {
                utilization(querier: "container", selector: $selector, start: $at, end: $at, step: "1m") {
                    series { labels values }
                }
            }""",
            selector={"metric_name": metric, "value_type": value_type, "kernel_id": BUSY},
            at=AT.isoformat(),
        )
    return [(series["labels"], float(series["values"][0][1])) for series in data["utilization"]["series"]]


async def by_command_line(server: Server, metric: str, value_type: str) -> list[tuple[dict[str, str], float]]:
    """Run the program."""
    options = ["--metric-name", metric, "--value-type", value_type, "--kernel-id", BUSY, "--format", "json"]
    times = ["--start", AT.isoformat(), "--end", AT.isoformat(), "--step", "1m"]
    done = statcore("query", "container", *options, *times, metrics_url=server.url)
    assert 0 == done.returncode, done.stderr
    return [(series["labels"], float(series["values"][0])) for series in json.loads(done.stdout)["series"]]


@pytest.mark.parametrize("ask", [by_python, by_graphql, by_command_line])
@pytest.mark.parametrize(
    ("metric", "value_type", "expected"),
    [("net_rx", "current", 10_000.0), ("cpu_util", "current", 1000.0), ("cpu_util", "pct", 100.0), ("mem", "pct", 25.0)],
)
async def test_planted_figures_are_answered(
    server: Server, ask: Callable[..., Any], metric: str, value_type: str, expected: float
) -> None:
    """Each interface shows ten thousand bytes per second as ten thousand, and labels `pct` as such."""
    labels = {"kernel_id": BUSY, "value_type": value_type}
    assert [(labels, pytest.approx(expected))] == await ask(server, metric, value_type)


@pytest.mark.parametrize("metric", PERCENT)
async def test_percent_counts_kernels_that_have_both(client: PrometheusClient, metric: str) -> None:
    """Kernels without a finite capacity above 0, or with only one of the two values, are not in the sums."""
    at_once = await client.query_utilization_now(asking(metric, "pct"), time=AT)
    assert [({"user_id": USER, "value_type": "pct"}, OF_ALL[metric])] == shown(at_once)
    (series,) = (await client.query_utilization(asking(metric, "pct"), RANGE)).series
    assert ({"user_id": USER, "value_type": "pct"}, [pytest.approx(OF_ALL[metric])]) == (series.labels, list(series.values))


@pytest.mark.parametrize("metric", PERCENT)
async def test_percent_of_many_kernels_is_one_request(client: PrometheusClient, metric: str) -> None:
    """Each gets what it would have got alone."""
    queriers = [asking(metric, "pct", kernel) for kernel in PLANTED]
    assert 1 == len(coalesce(queriers))
    answers = await UtilizationSource(client).read_utilization_now_batch(queriers, time=AT)
    assert [
        [({"kernel_id": kernel, "value_type": "pct"}, PERCENT[metric][kernel])] if kernel in PERCENT[metric] else []
        for kernel in PLANTED
    ] == [shown(answer) for answer in answers]
    for querier, answer in zip(queriers, answers, strict=True):
        assert isinstance(answer, VectorResult)
        assert answer.samples == (await client.query_utilization_now(querier, time=AT)).samples
