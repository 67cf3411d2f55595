"""A scope over a real Prometheus: the answers are those of a backend that holds nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, aclosing
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.scoped_world import (
    KERNELS,
    PRESETS,
    RANGE,
    START,
    STRATEGIES,
    Pairs,
    allowed,
    matchers,
    samples,
    scopes,
    world,
)

from statcore.model import MatrixResult
from statcore.promql import Selector
from statcore.queriers import QueryStrategy
from statcore.queriers.container import CONTAINER_SERIES, OWNER_LABELS
from statcore.queriers.interface import MetricQuery, PreparedQuerier, Strategy
from statcore.queriers.matcher import as_labels
from statcore.scopes import ConfinedMetrics, Scope
from statcore.services.presets import PresetService
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

EXAMPLES = 60
WITHOUT_RATES = [strategy for strategy in STRATEGIES if strategy is not QueryStrategy.RATE]
"""Rates at the ends of a window differ between versions of the server."""


def planted() -> Iterator[PlantedSeries]:
    """Yield the series of all kernels, of every owner."""
    minutes = [samples(KERNELS, minute) for minute in range(4)]
    for name, own, _ in minutes[0]:
        found = [value for scrape in minutes for _, other, value in scrape if other == own]
        times = [START.timestamp() + 60 * minute for minute in range(4)]
        yield PlantedSeries(name, dict(own), list(zip(times, found, strict=True)))


@pytest.fixture(scope="module")
def server(prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
    """A Prometheus that holds the series of all owners."""
    with prometheus_holding(openmetrics_text(planted())) as running:
        yield running


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scope=scopes(alternatives=2),
    wanted=matchers(),
    others=st.sets(st.sampled_from(OWNER_LABELS)),
    strategy=st.sampled_from([strategy for strategy in STRATEGIES if strategy is not QueryStrategy.RATE]),
    label=st.sampled_from(OWNER_LABELS),
)
async def test_a_real_server_answers_from_the_scope_alone(
    server: Server, scope: Scope, wanted: Pairs, others: set[str], strategy: Strategy, label: str
) -> None:
    """Series, sums, values of labels and presets are those of a backend that holds the kernels of the scope only.

    The text of the query, sent by an operator, has the same answer.
    """
    smaller = (await world([kernel for kernel in KERNELS if allowed(scope, kernel)], [], [])).metrics
    is_one_selector = len(scope.alternatives) == 1
    group_by = tuple(sorted(others if is_one_selector else {*others, "kernel_id"}))
    querier = PreparedQuerier(MetricQuery(CONTAINER_SERIES, as_labels(tuple(wanted)), group_by, strategy))
    match = Selector(CONTAINER_SERIES, wanted)
    times = START - timedelta(minutes=1), RANGE.end
    async with aclosing(PrometheusClient(server.url)) as client:
        metrics = ConfinedMetrics(client, scope)
        answer = await metrics.query_utilization(querier, RANGE)
        by_text = await client.query_range(str(metrics.utilization_text(querier)), RANGE)
        values = await metrics.label_values(label, match=match, time_range=times)
        series = await metrics.series(match, time_range=times)
        if is_one_selector:
            busy = await PresetService(metrics, PRESETS).query_preset("most", time_range=RANGE, group_labels=[label])
            expected_busy = await PresetService(smaller, PRESETS).query_preset(  # type: ignore[arg-type]
                "most", time_range=RANGE, group_labels=[label]
            )
            assert labelled(expected_busy) == labelled(busy)
    assert labelled(await smaller.query_utilization(querier, RANGE)) == labelled(answer) == labelled(by_text)
    assert await smaller.label_values(label, match=match) == values
    expected_series = [frozenset(found.items()) for found in await smaller.series(match)]
    assert sorted(map(sorted, expected_series)) == sorted(sorted(found.items()) for found in series)


def labelled(result: MatrixResult) -> dict[frozenset[tuple[str, str]], list[tuple[float, float]]]:
    """Return the points of each series by its labels."""
    return {
        frozenset(series.labels.items()): list(zip(series.timestamps, map(_rounded, series.values), strict=True))
        for series in result.series
    }


def _rounded(value: float) -> float:
    """Return a value without the last digits, since a server may add up in any order."""
    return float(f"{value:.12g}")
