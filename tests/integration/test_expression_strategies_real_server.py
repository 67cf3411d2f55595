"""Strategies of a plugin's own, on a real Prometheus: alone, and several in one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from tests.meta.test_plugin_document import blocks, module
from tests.support.plugin_strategies import Quantile, used

from statcore.promql import Expression
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
    return "\n".join([*lines, *planted_shares(), "# EOF", ""])


def planted_shares() -> Iterator[str]:
    """Yield the samples of racks: openings per second, and power in two phases under a limit, which 0 says is none."""
    for name, series in {
        "rack_openings": {
            'rack_id="r1",result="failed"': 1,
            'rack_id="r1",result="done"': 3,
            'rack_id="r2",result="done"': 4,
        },
        "rack_power": {f'rack_id="{rack}",phase="{phase}"': 30 for rack in ("r1", "r2", "r3") for phase in ("L1", "L2")},
        "rack_limit": {'rack_id="r1"': 200, 'rack_id="r2"': 0},
    }.items():
        yield f"# TYPE {name} unknown"
        for labels, value in series.items():
            for number in range(41):
                amount = value * 15 * number if name == "rack_openings" else value
                yield f"{name}{{{labels}}} {amount} {(NOW - timedelta(seconds=15 * (40 - number))).timestamp()}"


@pytest.fixture(scope="module")
def server(prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
    """A Prometheus that holds the samples."""
    with prometheus_holding(planted()) as server:
        yield server


def asking(strategy: Quantile | Callable[..., Expression], hosts: Sequence[str]) -> list[FixedQuerier]:
    """Return a querier for each host."""
    return [FixedQuerier("seconds_bucket", {"host": host}, group_by=["host"], strategy=strategy) for host in hosts]


@pytest.mark.parametrize(("strategy", "expected"), [(Quantile(0.5), MEDIANS), (used, {"a": 70.0, "b": 180.0, "c": 300.0})])
async def test_a_shared_request_has_the_same_answers(
    client: PrometheusClient, strategy: Callable[..., Expression], expected: dict[str, float]
) -> None:
    """One request gives the same answers as a request for each querier, and the numbers are those of the samples."""
    queriers = asking(strategy, list(expected))
    each = [await client.query_utilization_now(querier, time=NOW) for querier in queriers]
    together = await UtilizationSource(client).read_utilization_now_batch(queriers, time=NOW)

    assert each == list(together)
    answered = {sample.labels["host"]: sample.value for answer in each for sample in answer.samples}
    assert expected == pytest.approx(answered)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"metric_name": "openings"}, {"r1": 0.25}),
        ({"metric_name": "openings", "rack_id": "r1"}, {"r1": 0.25}),
        ({"metric_name": "power"}, {"r1": 30.0}),
        ({"metric_name": "power", "phase": "L1"}, {"r1": 15.0}),
        ({"metric_name": "power", "rack_id": "r2"}, {}),
    ],
)
async def test_the_shares_of_the_document(
    client: PrometheusClient, fields: dict[str, str], expected: dict[str, float]
) -> None:
    """A ratio; a limit of 0, which means unlimited; a limit without the querier's labels."""
    (source,) = blocks("python", "class ShareMetricQuerier")
    querier = module(source)["ShareMetricQuerier"](**fields)
    answer = await client.query_utilization_now(querier, time=NOW)
    assert expected == pytest.approx({sample.labels["rack_id"]: sample.value for sample in answer.samples})
