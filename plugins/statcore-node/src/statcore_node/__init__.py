"""Nodes for statcore: a querier over the series of node_exporter."""

from statcore_node.metrics import METRICS, NodeMetric, NodeMetricName
from statcore_node.querier import NodeMetricQuerier

__all__ = ["METRICS", "NodeMetric", "NodeMetricName", "NodeMetricQuerier"]
