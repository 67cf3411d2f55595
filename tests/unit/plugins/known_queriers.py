"""Kinds of querier of which only the fields matter."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal
from uuid import UUID

import attrs

from statcore.queriers import QueryStrategy, UtilizationMetricQuerier


class Known(UtilizationMetricQuerier):
    """The base of such kinds."""

    def name(self) -> str:
        """Answer."""
        return "m"

    def labels(self) -> Mapping[str, str]:
        """Answer."""
        return {}

    def group_by_labels(self) -> list[str]:
        """Answer."""
        return []

    def query_strategy(self) -> QueryStrategy:
        """Answer."""
        return QueryStrategy.GAUGE


class Level(enum.Enum):
    """An enumeration of numbers."""

    LOW = 1
    HIGH = 2


@attrs.frozen(kw_only=True)
class Node(Known):
    """Nodes.

    Args:
        metric_name: what is measured,
            in more than one line.
        node_id, rack: which one.
        step: not the step of a range.
    """

    metric_name: str
    node_id: UUID | None = None
    rack: str | UUID | None = None
    value_type: Literal["current", "capacity"] = "current"
    level: Level | None = None
    step: int = 1
    strict: bool = False
    share: float | None = attrs.field(factory=lambda: None)

    def __attrs_post_init__(self) -> None:
        """Crash for one metric."""
        if self.metric_name == "crash":
            raise KeyError("crash")


@attrs.frozen(kw_only=True)
class RackMetricQuerier(Known):
    """Racks, by row.

    A longer description.
    """

    metric_name: Literal["power", "heat", "noise"]
    row: str | None = None

    def name(self) -> str:
        """Answer."""
        return f"rack_{self.metric_name}"
