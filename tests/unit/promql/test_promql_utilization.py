"""The exact text of the three strategies, and of percent of capacity."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from statcore.errors import InputError, PluginError
from statcore.promql import render, utilization_query
from statcore.queriers import ContainerMetricQuerier, PercentOfCapacity, QueryStrategy
from statcore.testing.queriers import FixedQuerier

USER = UUID("5a1e8c39-7a53-4a6e-9e3b-0d5d4c2b1a00")


SUM = "sum by (user_id,value_type)"
SERIES = "backendai_container_utilization{container_metric_name="


@pytest.mark.parametrize(
    ("metric", "value_type", "expected"),
    [
        ("mem", "capacity", f'{SUM}({SERIES}"mem",value_type="capacity",user_id="{USER}"}})'),
        ("cpu_util", "current", f'{SUM}(rate({SERIES}"cpu_util",value_type="current",user_id="{USER}"}}[5m]))'),
        ("net_rx", "current", f'{SUM}(rate({SERIES}"net_rx",value_type="current",user_id="{USER}"}}[5m]))'),
    ],
    ids=list(QueryStrategy),
)
def test_the_text_of_a_strategy(metric: str, value_type: Any, expected: str) -> None:
    """Matchers are in the querier's order, labels to group by sorted; by default nothing divides a normalized rate."""
    querier = ContainerMetricQuerier(metric_name=metric, value_type=value_type, user_id=USER)
    assert expected == render(utilization_query(querier))


CURRENT, CAPACITY = (
    f'backendai_container_utilization{{container_metric_name="%s",user_id="{USER}",value_type="{value_type}"}}'
    for value_type in ("current", "capacity")
)


def test_percent_of_a_gauge() -> None:
    """The sum of the current values divided by the sum of the capacities, over kernels that have both."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="pct", user_id=USER)
    current, capacity = CURRENT % "mem", f"(({CAPACITY % 'mem'} > 0.0) <= 1.7976931348623157e+308)"
    used = f"sum by (user_id)({current} and ignoring (value_type) {capacity})"
    whole = f"sum by (user_id)({capacity} and ignoring (value_type) {current})"
    assert f'label_replace(({used} / {whole}) * 100.0, "value_type", "pct", "", "")' == render(utilization_query(querier))


def test_percent_of_a_counter() -> None:
    """The sum over kernels of the rate divided by the kernel's own capacity."""
    querier = ContainerMetricQuerier(metric_name="cpu_util", value_type="pct", user_id=USER)
    bounded = f"(({CAPACITY % 'cpu_util'} > 0.0) <= 1.7976931348623157e+308)"
    share = f"rate({CURRENT % 'cpu_util'}[1m]) / ignoring (value_type) {bounded}"
    expected = f'label_replace(sum by (user_id)({share}) * 100.0, "value_type", "pct", "", "")'
    assert expected == render(utilization_query(querier, rate_interval="1m"))


@pytest.mark.parametrize(("labels", "group_by"), [({"value_type": "current"}, ()), ({}, ["value_type"])])
def test_percent_sets_the_value_type_itself(labels: dict[str, str], group_by: list[str]) -> None:
    """A plugin's querier that matches it or groups by it is refused."""
    querier = FixedQuerier("device", labels, group_by=group_by, strategy=PercentOfCapacity())
    with pytest.raises(PluginError, match=r"PercentOfCapacity sets the label value_type, which labels\(\) and"):
        utilization_query(querier)


@pytest.mark.parametrize("strategy", QueryStrategy)
@pytest.mark.parametrize("interval_s", [0, -5.0, math.nan])
def test_a_divisor_that_is_not_positive_is_refused(strategy: QueryStrategy, interval_s: float) -> None:
    """Strategies that do not divide refuse it, too, so that a bad setting shows at once."""
    with pytest.raises(InputError, match="normalization_interval_s must be above zero"):
        utilization_query(FixedQuerier("up", strategy=strategy), normalization_interval_s=interval_s)


def test_an_infinite_divisor_is_refused() -> None:
    """It would make every rate zero."""
    with pytest.raises(InputError, match="not a finite number: inf"):
        utilization_query(FixedQuerier("up", strategy=QueryStrategy.RATE_NORMALIZED), normalization_interval_s=math.inf)


@pytest.mark.parametrize("strategy", QueryStrategy)
@pytest.mark.parametrize(
    "window", ["", "5", "0s", "-5m", "1.5m", "5m] or up[5m", "5m:", "$__interval", None, 5, timedelta(0)]
)
def test_a_bad_window_is_refused(strategy: QueryStrategy, window: Any) -> None:
    """Strategies without a window refuse it, too; the message shows a valid duration."""
    with pytest.raises(InputError, match="5m, 1h30m or 500ms"):
        utilization_query(FixedQuerier("up", strategy=strategy), rate_interval=window)
