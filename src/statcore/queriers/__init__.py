"""Queriers: small value objects that say what to query, never how."""

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
