"""The three interfaces of a querier. A new kind of object is one class that implements the last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from statcore.queriers.matcher import LabelMatcher
from statcore.queriers.strategy import Strategy


class PrometheusMetricQuerier(ABC):
    """Which series: a metric name and label matchers."""

    @abstractmethod
    def name(self) -> str:
        """Return the metric name, for example `backendai_container_utilization`."""

    @abstractmethod
    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return label name to matcher, in the order in which they are to be written; text means an exact match."""


class AggregatingMetricQuerier(PrometheusMetricQuerier):
    """Which series, and by which labels they are summed."""

    @abstractmethod
    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the answer's series keep; an empty list sums everything into one."""


class UtilizationMetricQuerier(AggregatingMetricQuerier):
    """Which series, how they are summed, and how their samples are read."""

    @abstractmethod
    def query_strategy(self) -> Strategy:
        """Return the strategy for this metric: one of the three, percent of capacity, or one of the plugin's own."""
