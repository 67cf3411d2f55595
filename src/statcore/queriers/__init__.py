"""Queriers, which say what to query and leave it to a backend how; their validated query; coalescing of many."""

from statcore.queriers.coalescing import CoalescedQuerier, coalesce
from statcore.queriers.container import ContainerMetricQuerier
from statcore.queriers.interface import (
    AggregatingMetricQuerier,
    PrometheusMetricQuerier,
    UtilizationMetricQuerier,
    resolve,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.query import (
    ExpressionStrategy,
    MetricQuery,
    PercentOfCapacity,
    QueryExpression,
    QueryStrategy,
    ResolvedQuerier,
    Strategy,
    strategy_key,
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
