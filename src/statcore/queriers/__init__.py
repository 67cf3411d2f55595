"""Queriers: small value objects that say what to query, never how."""

from statcore.queriers.coalesce import coalesce
from statcore.queriers.coalesced import CoalescedQuerier
from statcore.queriers.container import ContainerMetricQuerier
from statcore.queriers.interface import (
    AggregatingMetricQuerier,
    PrometheusMetricQuerier,
    QueryStrategy,
    UtilizationMetricQuerier,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.resolve import ResolvedQuerier, resolve

__all__ = [
    "AggregatingMetricQuerier",
    "CoalescedQuerier",
    "ContainerMetricQuerier",
    "LabelMatcher",
    "MatchOperator",
    "PrometheusMetricQuerier",
    "QueryStrategy",
    "ResolvedQuerier",
    "UtilizationMetricQuerier",
    "coalesce",
    "resolve",
]
