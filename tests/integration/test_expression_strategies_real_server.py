"""Strategies of a plugin's own, on a real Prometheus: alone, and several in one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from tests.meta.test_plugin_document import blocks, module
from tests.support.planted_server import planted_server
from tests.support.plugin_strategies import Quantile, used

from statcore.promql import Expression
from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore_prometheus import PrometheusClient

NOW = datetime.now(UTC).replace(microsecond=0)
# Requests per second of each host that took at most so many seconds.
BUCKETS = {"a": {"1": 5, "2": 10, "+Inf": 10}, "b": {"1": 0, "2": 8, "+Inf": 8}, "c": {"1": 1, "2": 1, "+Inf": 4}}
MEDIANS = {"a": 1.0, "b": 1.5, "c": 2.0}
TOTAL = {"a": 100.0, "b": 200.0, "c": 300.0}
FREE = {"a": 30.0, "b": 20.0, "c": 0.0}


def series(name: str, value: float = 0.0, *, per_s: float = 0.0, **labels: str) -> PlantedSeries:
    """Return ten minutes of a value that stays or grows evenly."""
    samples = [(NOW.timestamp() + second - 600, value + per_s * second) for second in range(0, 601, 15)]
    return PlantedSeries(name, labels, samples)


def planted() -> Iterator[PlantedSeries]:
    """Yield series of hosts, and of racks: openings, and power in two phases under a limit, where 0 means none."""
    for host, buckets in BUCKETS.items():
        yield from (series("seconds_bucket", per_s=per_s, host=host, le=bound) for bound, per_s in buckets.items())
        yield from (series("total", TOTAL[host], host=host), series("free", FREE[host], host=host))
    for rack, result, per_s in (("r1", "failed", 1), ("r1", "done", 3), ("r2", "done", 4)):
        yield series("rack_openings", per_s=per_s, rack_id=rack, result=result)
    yield from (
        series("rack_power", 30, rack_id=rack, phase=phase) for rack in ("r1", "r2", "r3") for phase in ("L1", "L2")
    )
    yield from (series("rack_limit", 200, rack_id="r1"), series("rack_limit", 0, rack_id="r2"))


server = planted_server(planted)


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
