"""Operations of two expressions, and percent of capacity, as the server answers them: the numbers are Prometheus's."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from statcore.promql import Aggregation, BinaryOperation, ConstantLabel, Expression, Matching, Number, Selector
from statcore.queriers import MetricQuery, PercentOfCapacity
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore_victoriametrics.client import VictoriaMetricsClient

Plant = Callable[..., None]
NOW: Final = datetime.now(UTC).replace(microsecond=0)
USED: Final = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}
LIMITS: Final = {"a": 100.0, "b": 0.0, "c": 60.0}


def constant(name: str, value: float, **labels: str) -> PlantedSeries:
    """Return ten minutes of one value."""
    return PlantedSeries(name, labels, [(NOW.timestamp() - back, value) for back in range(600, -1, -15)])


def growing(name: str, per_second: float, **labels: str) -> PlantedSeries:
    """Return ten minutes of a counter."""
    samples = [(NOW.timestamp() - back, per_second * (600 - back)) for back in range(600, -1, -15)]
    return PlantedSeries(name, labels, samples)


USE: Final = Selector("op_used")
LIMIT: Final = BinaryOperation(">", Selector("op_limit"), Number(0))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (BinaryOperation("/", USE, LIMIT, matching=Matching.on("host")), {"a": 0.1, "c": 0.5}),
        (BinaryOperation("/", USE, LIMIT, matching=Matching.ignoring("kind")), {"a": 0.1, "c": 0.5}),
        (BinaryOperation("and", USE, LIMIT, matching=Matching.on("host")), {"a": 10.0, "c": 30.0}),
        (BinaryOperation("unless", USE, LIMIT, matching=Matching.ignoring("kind")), {"b": 20.0, "d": 40.0}),
        (BinaryOperation("<", USE, Selector("op_limit"), matching=Matching.on("host")), {"a": 10.0, "c": 30.0}),
        (BinaryOperation("!=", USE, Number(20)), {"a": 10.0, "c": 30.0, "d": 40.0}),
        (BinaryOperation("==", USE, Number(20)), {"b": 20.0}),
        (BinaryOperation(">=", BinaryOperation("<=", USE, Number(30)), Number(20)), {"b": 20.0, "c": 30.0}),
        (ConstantLabel(USE, "host", "$1"), {"$1": 100.0}),
    ],
    ids=lambda value: value.text if hasattr(value, "text") else "",
)
async def test_an_operation_has_the_value_that_prometheus_gives(
    client: VictoriaMetricsClient, plant: Plant, expression: Expression, expected: dict[str, float]
) -> None:
    """Matching by some labels, filters, sets, and a dollar sign that is no place for anything."""
    plant([constant("op_used", value, host=host, kind="x") for host, value in USED.items()])
    plant([constant("op_limit", value, host=host) for host, value in LIMITS.items()])

    def strategy(query: MetricQuery, _window: str) -> Expression:
        return Aggregation("sum", expression, query.group_by)

    querier = FixedQuerier("op_used", group_by=["host"], strategy=strategy)
    answer = await client.query_utilization_now(querier, time=NOW)
    assert expected == pytest.approx({sample.labels["host"]: sample.value for sample in answer.samples})


@pytest.mark.parametrize(("is_counter", "expected"), [(True, 150.2), (False, 50.0)])
async def test_percent_is_of_kernels_that_have_both(
    client: VictoriaMetricsClient, plant: Plant, is_counter: Any, expected: float
) -> None:
    """A kernel without a finite capacity above 0, or with only one of the two values, does not count, as in Prometheus."""
    name = f"percent_{is_counter}".lower()
    make, currents = (growing, {"a": 1000, "b": 502}) if is_counter else (constant, {"a": 1024, "b": 3072})
    capacities = {"a": 1000, "b": 1000} if is_counter else {"a": 4096, "b": 4096}
    all_currents = {**currents, "c": 7, "d": 7, "f": 7}
    all_capacities = {**capacities, "c": 0, "e": 9, "f": math.inf}
    plant(make(name, value, kernel=kernel, value_type="current") for kernel, value in all_currents.items())
    plant(constant(name, value, kernel=kernel, value_type="capacity") for kernel, value in all_capacities.items())
    percent = FixedQuerier(name, strategy=PercentOfCapacity(is_counter=is_counter))
    (sample,) = (await client.query_utilization_now(percent, time=NOW)).samples
    assert {"value_type": "pct"} == sample.labels
    assert pytest.approx(expected) == sample.value
