"""The querier of nodes, over the series of node_exporter."""

from __future__ import annotations

from typing import Final

import attrs
from attrs.validators import optional

from statcore import ExpressionStrategy, LabelMatcher, QueryStrategy, UtilizationMetricQuerier
from statcore.model import check_label_value, check_one_of
from statcore_node.metrics import METRICS, NodeMetricName

NODE_LABEL: Final = "instance"


@attrs.frozen(kw_only=True)
class NodeMetricQuerier(UtilizationMetricQuerier):
    """Nodes, as their node_exporter sees them.

    Args:
        metric_name: what to measure; `statcore_node.METRICS` has the unit and the meaning of each.
        node_id: the label `instance` of the node's exporter in Prometheus, such as `10.0.0.5:9100`; by default every node.

    Raises:
        InputError: an unknown metric name, or a node id that is empty or cannot be sent.
    """

    metric_name: NodeMetricName = attrs.field(validator=check_one_of(METRICS))
    node_id: str | None = attrs.field(default=None, validator=optional(check_label_value))

    def name(self) -> str:
        """Return the metric's series; where two are compared, the first."""
        return METRICS[self.metric_name].series

    def labels(self) -> dict[str, str | LabelMatcher]:
        """Return the matchers of the metric, and the node where it is set."""
        node = {} if self.node_id is None else {NODE_LABEL: self.node_id}
        return {**METRICS[self.metric_name].labels, **node}

    def group_by_labels(self) -> list[str]:
        """Return the label of the node: each node is a series, also where the node is set."""
        return [NODE_LABEL]

    def query_strategy(self) -> QueryStrategy | ExpressionStrategy:
        """Return the metric's strategy."""
        return METRICS[self.metric_name].strategy
