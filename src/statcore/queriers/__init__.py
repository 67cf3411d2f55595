"""Queriers: small value objects that say what to query, never how."""

from statcore.queriers.coalesce import coalesce
from statcore.queriers.coalesced import CoalescedQuerier
from statcore.queriers.container import ContainerMetricQuerier
from statcore.queriers.interface import (
    AggregatingMetricQuerier,
    PrometheusMetricQuerier,
    UtilizationMetricQuerier,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.resolve import resolve
from statcore.queriers.strategy import (
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
