"""A querier that keeps every promise, and a way to break it on purpose."""

from __future__ import annotations

import enum
from typing import Any, Literal
from uuid import UUID

import attrs

from statcore.errors import InputError
from statcore.plugins import QuerierSpec
from statcore.promql import Aggregation, Selector
from statcore.queriers import LabelMatcher, MetricQuery, QueryStrategy, UtilizationMetricQuerier


class Level(enum.Enum):
    """An enumeration that is not of text."""

    LOW = 1
    HIGH = 2


def _rack(value: str | None) -> str | None:
    if value == "":
        raise InputError("rack is empty")
    return value


@attrs.frozen(kw_only=True)
class Rack(UtilizationMetricQuerier):
    """Racks, by name and room.

    Args:
        metric_name: what is measured.
        rack, note: which one.
        room: in which room.
        level: of which level.
        depth: of which depth.
        share, strict: of which share, strictly.
    """

    metric_name: Literal["power", "heat"]
    rack: str | None = attrs.field(default=None, converter=_rack)
    note: str | None = None
    room: UUID | None = None
    level: Level | None = None
    depth: int = 1
    share: float | None = None
    strict: bool = False

    def name(self) -> str:
        """Return the series of the metric."""
        return f"rack_{self.metric_name}"

    def labels(self) -> dict[str, Any]:
        """Return what is given."""
        labels = {"rack": self.rack, "room": self.room, "level": self.level and self.level.value, "depth": self.depth}
        texts: dict[str, Any] = {label: str(value) for label, value in labels.items() if value is not None}
        return texts if self.note is None else {**texts, "note": LabelMatcher.not_equal(self.note)}

    def group_by_labels(self) -> list[str]:
        """Return the rack."""
        return ["rack"]

    def query_strategy(self) -> Any:
        """Return one of the three."""
        return QueryStrategy.RATE if self.metric_name == "power" else QueryStrategy.GAUGE


FULL: dict[str, Any] = {
    "metric_name": "power",
    "rack": "r1",
    "note": "n",
    "room": UUID(int=7),
    "level": Level.HIGH,
    "depth": 2,
    "share": 0.5,
    "strict": True,
}


def some(querier: Any = Rack) -> list[Any]:
    """Return queriers of a class like `Rack`, with and without the optional fields."""
    return [querier(**FULL), querier(metric_name="heat"), querier(metric_name="heat", rack="r2")]


def racks(**members: Any) -> list[Any]:
    """Return queriers of a class like `Rack` that has these members instead."""
    return some(type("Other", (Rack,), {"__doc__": Rack.__doc__, **members}))


def doing(strategy: Any) -> list[Any]:
    """Return queriers with a strategy of their own, one for all."""
    return racks(query_strategy=lambda _: strategy)


def spec_of(queriers: list[Any]) -> QuerierSpec:
    """Return what a plugin contributes."""
    querier = type(queriers[0]) if queriers else Rack
    summary = (querier.__doc__ or "").partition("\n")[0] or "racks"
    return QuerierSpec(name="rack", summary=summary, querier=querier)


def selected(query: MetricQuery) -> Selector:
    """Return the series of a query."""
    return Selector(query.name, query.matchers)


def total(query: MetricQuery, *labels: str) -> Aggregation:
    """Return a sum by these labels, and by those that are to be grouped by."""
    return Aggregation("sum", selected(query), (*query.group_by, *labels))


def called(part: object) -> str | None:
    """Return what a parameter of a test is called."""
    return getattr(part, "__name__", None)
