"""Queriers: what to query from any metric backend, their validated query, and the coalescing of many queriers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.queriers.coalescing import CoalescedQuerier, coalesce
    from statcore.queriers.container import ContainerMetricQuerier
    from statcore.queriers.interface import (
        AggregatingMetricQuerier,
        ExpressionStrategy,
        MetricQuery,
        PercentOfCapacity,
        PrometheusMetricQuerier,
        QueryExpression,
        QueryStrategy,
        ResolvedQuerier,
        Strategy,
        UtilizationMetricQuerier,
        resolve,
        strategy_key,
    )
    from statcore.queriers.matcher import LabelMatcher, MatchOperator
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "coalescing": "CoalescedQuerier coalesce",
            "container": "ContainerMetricQuerier",
            "interface": (
                "AggregatingMetricQuerier ExpressionStrategy MetricQuery PercentOfCapacity PrometheusMetricQuerier "
                "QueryExpression QueryStrategy ResolvedQuerier Strategy UtilizationMetricQuerier resolve strategy_key"
            ),
            "matcher": "LabelMatcher MatchOperator",
        },
    )

__all__ = [
    "AggregatingMetricQuerier",
    "CoalescedQuerier",
    "ContainerMetricQuerier",
    "ExpressionStrategy",
    "LabelMatcher",
    "MatchOperator",
    "MetricQuery",
    "PercentOfCapacity",
    "PrometheusMetricQuerier",
    "QueryExpression",
    "QueryStrategy",
    "ResolvedQuerier",
    "Strategy",
    "UtilizationMetricQuerier",
    "coalesce",
    "resolve",
    "strategy_key",
]
