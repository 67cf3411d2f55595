"""The querier of nodes."""

from __future__ import annotations

from typing import Final

import attrs

from statcore import ExpressionStrategy, InputError, LabelMatcher, QueryStrategy, UtilizationMetricQuerier
from statcore_node.metrics import METRICS, NodeMetricName

NODE_LABEL: Final = "instance"


def _check_metric(_: object, attribute: attrs.Attribute[NodeMetricName], value: object) -> None:
    if not isinstance(value, str) or value not in METRICS:
        raise InputError(f"{attribute.name} must be one of {', '.join(METRICS)}, not {value!r:.100}")


def _check_node(_: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value == "":
        raise InputError(f"{attribute.name} is empty, which would match what no node exports; leave it out for every node")
    if value is not None:
        LabelMatcher.equal(value)  # which refuses what is no text that can be sent


@attrs.frozen(kw_only=True)
class NodeMetricQuerier(UtilizationMetricQuerier):
    """Nodes, as their node_exporter sees them.

    Args:
        metric_name: what to measure; `statcore_node.METRICS` has the unit and the meaning of each.
        node_id: the label `instance` of the node's exporter in Prometheus, such as `10.0.0.5:9100`; by default every node.

    Raises:
        InputError: another metric name, or a node id that is empty or not text.
    """

    metric_name: NodeMetricName = attrs.field(validator=_check_metric)
    node_id: str | None = attrs.field(default=None, validator=_check_node)

    def name(self) -> str:
        """Return the metric's series; where two are compared, the first."""
        return METRICS[self.metric_name].series

    def labels(self) -> dict[str, str | LabelMatcher]:
        """Return what the metric counts of its series, and the node if there is one."""
        node = {} if self.node_id is None else {NODE_LABEL: self.node_id}
        return {**METRICS[self.metric_name].labels, **node}

    def group_by_labels(self) -> list[str]:
        """Return the node's label: each node is a series, whether or not one is asked for."""
        return [NODE_LABEL]

    def query_strategy(self) -> QueryStrategy | ExpressionStrategy:
        """Return the metric's strategy."""
        return METRICS[self.metric_name].strategy
