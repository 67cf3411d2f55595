"""Strategies of a plugin's own, on a real Prometheus: alone, and several in one request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from tests.own_strategies import Quantile, used

from statcore.promql import (
    Expression,
)
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

NOW = datetime.now(UTC).replace(microsecond=0)
# Requests per second of each host that took at most so many seconds.
BUCKETS = {"a": {"1": 5, "2": 10, "+Inf": 10}, "b": {"1": 0, "2": 8, "+Inf": 8}, "c": {"1": 1, "2": 1, "+Inf": 4}}
MEDIANS = {"a": 1.0, "b": 1.5, "c": 2.0}
TOTAL = {"a": 100.0, "b": 200.0, "c": 300.0}
FREE = {"a": 30.0, "b": 20.0, "c": 0.0}


def planted() -> str:
    """Return the samples as OpenMetrics text."""
    times = [NOW - timedelta(seconds=15 * number) for number in range(40, -1, -1)]
    lines = ["# TYPE seconds_bucket unknown"]
    for host, buckets in BUCKETS.items():
        for bound, per_second in buckets.items():
            lines += [
                f'seconds_bucket{{host="{host}",le="{bound}"}} {15 * number * per_second} {time.timestamp()}'
                for number, time in enumerate(times)
            ]
    for name, values in (("total", TOTAL), ("free", FREE)):
        lines.append(f"# TYPE {name} gauge")
        for host, value in values.items():
            lines += [f'{name}{{host="{host}"}} {value} {time.timestamp()}' for time in times]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
    """A Prometheus that holds the samples."""
    with prometheus_holding(planted()) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrometheusClient]:
    """Its client."""
    client = PrometheusClient(server.url)
    yield client
    await client.aclose()


def asking(strategy: Quantile | Callable[..., Expression], hosts: Sequence[str]) -> list[FixedQuerier]:
    """Return a querier for each host."""
    return [FixedQuerier("seconds_bucket", {"host": host}, group_by=["host"], strategy=strategy) for host in hosts]


@pytest.mark.parametrize(("strategy", "expected"), [(Quantile(0.5), MEDIANS), (used, {"a": 70.0, "b": 180.0, "c": 300.0})])
async def test_together_is_one_by_one(
    client: PrometheusClient, strategy: Callable[..., Expression], expected: dict[str, float]
) -> None:
    """One request answers what a request for each would have, and the numbers are those of the samples."""
    queriers = asking(strategy, list(expected))
    each = [await client.query_utilization_now(querier, time=NOW) for querier in queriers]
    together = await UtilizationSource(client).read_utilization_now_batch(queriers, time=NOW)

    assert each == list(together)
    answered = {sample.labels["host"]: sample.value for answer in each for sample in answer.samples}
    assert expected == pytest.approx(answered)
