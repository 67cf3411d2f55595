"""Queriers that are alike, and the text that is sent for some of them together."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from statcore.promql import render, utilization_query
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, UtilizationMetricQuerier, coalesce
from statcore.testing.queriers import FixedQuerier

IDS = [str(UUID(int=number)) for number in range(1000)]


def text(querier: UtilizationMetricQuerier) -> str:
    """Return what is sent for a querier."""
    return render(utilization_query(querier))


def texts(*queriers: UtilizationMetricQuerier, max_values: int = 256) -> list[str]:
    """Return what is sent for queriers."""
    return [text(one) for one in coalesce(queriers, max_values=max_values)]


def host(value: str | LabelMatcher, **changes: Any) -> FixedQuerier:
    """Return a querier like `A` for another host."""
    return FixedQuerier("up", {"job": "x", "host": value}, **{"group_by": ["host"], **changes})


def mem(kernel: int, metric: str = "mem") -> ContainerMetricQuerier:
    """Return a querier of a kernel's gauge."""
    return ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=IDS[kernel])
