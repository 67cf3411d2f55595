"""Queriers that keep every promise: our own, and those that are right in every way that the checks must let pass."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs
import pytest
from tests.conformance.racks import FULL, Rack, doing, racks, selected, some, total

from statcore.errors import InputError
from statcore.plugins import QuerierSpec
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Matching,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, MetricQuery
from statcore.testing.conformance import QuerierConformance

KERNELS = ("6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11", "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12")


class TestContainerMetricQuerier(QuerierConformance):
    """The querier that comes with statcore."""

    def queriers(self) -> list[ContainerMetricQuerier]:
        """Return queriers with each owner, of counters and of gauges."""
        owned: dict[str, Any] = dict.fromkeys(("kernel_id", "session_id", "user_id", "project_id"), KERNELS[0])
        return [
            *[
                ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=kernel)
                for metric in ("cpu_util", "mem", "net_rx")
                for kernel in KERNELS
            ],
            *[
                ContainerMetricQuerier(metric_name=metric, value_type="pct", kernel_id=kernel)
                for metric in ("cpu_util", "mem")
                for kernel in KERNELS
            ],
            ContainerMetricQuerier(metric_name="mem", value_type="pct"),
            ContainerMetricQuerier(metric_name="mem", value_type="capacity"),
            ContainerMetricQuerier(metric_name="mem", value_type="current", agent_id="a", **owned),
        ]


class TestRack(QuerierConformance):
    """The right one, of which all that are wrong are made."""

    def queriers(self) -> list[Rack]:
        """Return queriers with every type of field."""
        return some()


@attrs.frozen(kw_only=True)
class Strict(Rack):
    """Racks, which refuse whatever is odd.

    Args:
        metric_name, rack, note, room, level, depth, share, strict: as it says.
    """

    metric_name: Literal["power", "heat"] = attrs.field(validator=attrs.validators.in_(["power", "heat"]))

    def __attrs_post_init__(self) -> None:
        """Take nothing that is not known."""
        known = (
            self.rack in {None, "r1", "r2"},
            self.note in {None, "n"},
            self.depth in {1, 2},
            not self.strict or self.share,
        )
        if not all(known):
            raise InputError("there is no such rack")


class TestRackThatRefuses(QuerierConformance):
    """A class may refuse what it likes."""

    def queriers(self) -> list[Rack]:
        """Return queriers without the fields that need each other, and with all of them."""
        return some(Strict)

    def spec(self) -> QuerierSpec:
        """Say more than the class does."""
        return QuerierSpec(name="rack", summary="racks", querier=Strict, series="rack_power", metric_label="metric")


class Late(Rack):
    """Racks, which are refused when their methods are called.

    Args:
        metric_name, rack, note, room, level, depth, share, strict: as it says.
    """

    def name(self) -> str:
        """Refuse other metrics, and names with a hyphen."""
        if self.metric_name not in {"power", "heat"} or "-" in (self.rack or ""):
            raise InputError("there is no such rack")
        return super().name()


class TestRackThatRefusesWhenAsked(QuerierConformance):
    """What was not given to the checks may be refused late."""

    def queriers(self) -> list[Rack]:
        """None of these is."""
        return some(Late)


@attrs.frozen
class Own:
    """A strategy of every kind of expression."""

    quantile: float

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Write something long."""
        half = BinaryOperation("/", Call("max_over_time", Subquery(total(query), "1h")), Number(2))
        rate = Call("rate", RangeSelector(selected(query), window))
        return BinaryOperation(
            "+", half, HistogramQuantile(self.quantile, Aggregation("sum", rate, (*query.group_by, "le")))
        )


def summed_late(query: MetricQuery, window: str, /) -> Expression:
    """Leave to the server which labels there are, until the end; a change is over the window, a mean over what is meant."""
    selector = selected(query)
    change = Call("delta", RangeSelector(selector, window))
    per_series = BinaryOperation("/", change, Call("avg_over_time", RangeSelector(selector, "1d")))
    device = Aggregation("max", per_series, (*query.group_by, "device"))
    return Aggregation("sum", device, query.group_by)


def of_all_modes(query: MetricQuery, window: str, /) -> Expression:
    """Divide what has a matcher of the strategy's own by what has not."""
    idle, every = (
        Aggregation("sum", Call("rate", RangeSelector(Selector(query.name, labels), window)), query.group_by)
        for labels in ((*query.matchers, ("mode", "idle")), query.matchers)
    )
    return BinaryOperation("/", idle, every)


@attrs.frozen
class OfCapacity:
    """Divides by series that a constant tells from those of the query."""

    replaces: ClassVar = ("depth",)

    def __call__(self, query: MetricQuery, _window: str, /) -> Expression:
        """Say what the share is."""
        capacity = Selector(query.name, {**query.wanted, "depth": "all"})
        share = BinaryOperation("/", total(query), Aggregation("sum", capacity, query.group_by))
        return ConstantLabel(share, "kind", "share")


def where_there_is_power(query: MetricQuery, window: str, /) -> Expression:
    """Match series with one another before they are summed, by labels that they all have, and sums by their own."""
    selector = selected(query)
    partners = Matching.ignoring("phase")
    there = BinaryOperation(">", Selector("rack_limit", query.matchers), Number(0))
    series = BinaryOperation(
        "unless", BinaryOperation("and", selector, there, matching=partners), Selector("off", query.matchers)
    )
    by_room = Aggregation("max", series, (*query.group_by, "room"))
    rooms = Aggregation("count", Call("rate", RangeSelector(selector, window)), ("room", *query.group_by))
    ratio = BinaryOperation("/", by_room, rooms, matching=Matching.on("room", *query.group_by))
    return BinaryOperation("<=", Aggregation("sum", ratio, query.group_by), total(query))


def whole_name(rack: Rack) -> str:
    """Return the metric that was typed, which there is none without."""
    if rack.note == "":
        raise InputError("note is empty")
    return rack.note or "rack_power"


TEXTS = ("rack", "note")


def refusing_plain(rack: Rack) -> dict[str, Any]:
    """Return labels for odd texts alone, as a class may that knows its own."""
    if any((getattr(rack, name) or "").startswith("statcore") for name in TEXTS):
        raise InputError("there is no such rack")
    return (
        {"instance": f"{rack.rack}:{rack.note}"}
        if rack.rack and rack.note
        else {"rack": str(rack.rack), "note": str(rack.note)}
    )


TEXT_ELSEWHERE: dict[str, dict[str, Any]] = {
    "the metric name": {
        "name": whole_name,
        "labels": lambda rack: {"metric": rack.metric_name, "rack": rack.rack or "any"},
    },
    "part of it, and of a label": {"name": lambda rack: f"rack_{rack.metric_name}_{rack.note}"},
    "a regex": {
        "labels": lambda rack: {
            "rack": LabelMatcher.regex(".*" if rack.rack is None else rack.rack),
            "note": LabelMatcher.not_regex("" if rack.note is None else rack.note),
        }
    },
    "one of a set": {
        "labels": lambda rack: {name: LabelMatcher.one_of([str(getattr(rack, name)), "x|y"]) for name in TEXTS}
    },
    "a part of a value": {"labels": lambda rack: {"instance": f"{rack.rack}:{rack.note}"}},
    "a part of none of them": {"labels": lambda rack: {"instance": LabelMatcher.not_equal(f"{rack.rack}:{rack.note}")}},
    "where plain text is refused": {"labels": refusing_plain},
}


def named_strategies(first: Any, others: Any) -> list[Rack]:
    """Return queriers of which a name chooses the strategy, as a metric's name may that is text."""
    return racks(query_strategy=lambda rack: first if rack.rack == "one" else others)


RIGHT: dict[str, list[Rack]] = {
    "a strategy of every kind of expression": doing(Own(0.5)),
    "a strategy that sums late": doing(summed_late),
    "a strategy with a matcher of its own": doing(of_all_modes),
    "a strategy that replaces a label": doing(OfCapacity()),
    "a strategy that matches series before they are summed": doing(where_there_is_power),
    "a strategy or a rate": named_strategies(summed_late, "rate"),
    "a gauge or a rate": named_strategies("gauge", "rate"),
    "two strategies": named_strategies(summed_late, Own(0.5)),
    **{f"text in {place}": racks(**members) for place, members in TEXT_ELSEWHERE.items()},
}


class TestRightRacks(QuerierConformance):
    """Strategies of their own, of which only as much is demanded as can be told, and text of users in other places."""

    @pytest.fixture(autouse=True, params=list(RIGHT.values()), ids=list(RIGHT))
    def _choose(self, request: pytest.FixtureRequest) -> None:
        """Let every check see each."""
        self.chosen: list[Rack] = request.param

    def queriers(self) -> list[Rack]:
        """Return the chosen queriers."""
        return self.chosen


def test_no_field_is_left_out() -> None:
    """Every field of the right one is filled in, somewhere."""
    assert {field.name for field in attrs.fields(Rack)} == FULL.keys()
