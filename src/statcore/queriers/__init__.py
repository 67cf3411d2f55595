"""Queriers: what to query from any metric backend, their validated query, and the coalescing of many queriers."""

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
