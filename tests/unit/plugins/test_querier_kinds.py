"""Kinds of querier in use: queriers from values, and the metrics that the backend has."""

from __future__ import annotations

import enum
from typing import Any, Literal
from uuid import UUID

import attrs
import pytest
from tests.unit.plugins.known_queriers import Known, Level, Node, RackMetricQuerier

from statcore.errors import InputError, PluginError
from statcore.plugins import QuerierSpec
from statcore.plugins.querier_kinds import build_querier, metric_names, prepare
from statcore.queriers import ContainerMetricQuerier, QueryStrategy
from statcore.queriers.container import CONTAINER_SERIES, DEVICE_SERIES
from statcore_memory import MemoryMetrics

ONE = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"


NODE = QuerierSpec(name="node", summary="s", querier=Node)
CONTAINER = QuerierSpec(name="container", summary="s", querier=ContainerMetricQuerier)


def test_values_reach_the_constructor_as_it_wants_them() -> None:
    """A value that is not given is left out, so that the default of the class applies."""
    values = {"metric_name": "m", "level": "2", "strict": True, "share": 1, "node_id": ONE, "rack": None}

    assert Node(metric_name="m", level=Level.HIGH, strict=True, share=1, node_id=UUID(ONE)) == build_querier(NODE, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "node needs metric_name"),
        ({"metric_name": None}, "node needs metric_name"),
        ({"metric_name": "m", "colour": "red"}, "node has no field 'colour'; its fields are metric_name, node_id, rack"),
        ({"metric_name": "m", "level": "middle"}, "level must be one of 1, 2, not 'middle'"),
        ({"metric_name": "m", "node_id": "x"}, "not an id: 'x'"),
    ],
)
def test_bad_values_are_named(values: dict[str, object], message: str) -> None:
    """The message has the field and what it takes."""
    with pytest.raises(InputError, match=message):
        build_querier(NODE, values)


def test_a_class_that_crashes_is_named() -> None:
    """Errors of statcore pass, all others become a `PluginError`."""
    with pytest.raises(PluginError, match=r"known_queriers\.Node\(\) raised KeyError: 'crash'"):
        build_querier(NODE, {"metric_name": "crash"})
    with pytest.raises(InputError, match="metric_name is empty"):
        build_querier(CONTAINER, {"metric_name": ""})


class Metric(enum.Enum):
    """An enumeration of metrics."""

    SHARE = "cache_share"


@attrs.define(kw_only=True)
class Counted(Known):
    """A querier of a series, which counts the calls of its methods."""

    metric_name: object = "cache_util"
    series: str = "m"
    calls: list[str] = attrs.field(factory=list[str], init=False)

    def name(self) -> str:
        """Count the call."""
        self.calls.append("name")
        return self.series

    def query_strategy(self) -> QueryStrategy:
        """Count the call."""
        self.calls.append("query_strategy")
        return super().query_strategy()


@pytest.mark.parametrize(
    ("fields", "units", "unit"),
    [
        ({"metric_name": "x"}, {"x": "bytes"}, "bytes"),
        ({}, {"cache_util": "1"}, "1"),
        ({"metric_name": Metric.SHARE}, {"cache_share": "1"}, "1"),
        ({"metric_name": "cache_util"}, {}, ""),
        ({"metric_name": "cuda_util", "series": CONTAINER_SERIES}, {}, "percent"),
        ({"metric_name": "cuda_mem", "series": DEVICE_SERIES}, {}, "bytes"),
        ({"metric_name": "odd", "series": CONTAINER_SERIES}, {}, ""),
        ({"metric_name": None}, {}, ""),
    ],
)
def test_a_query_has_a_unit_where_it_is_known(fields: dict[str, Any], units: dict[str, str], unit: str) -> None:
    """It is that of the kind for the metric, given or not; names say the unit in the series of agents only."""
    querier = Counted(**fields)
    prepared = prepare(querier, units)
    assert unit == prepared.unit
    assert fields.get("series", "m") == prepared.querier.query.name
    assert ["name", "query_strategy"] == querier.calls


def test_a_metric_that_cannot_be_read_has_no_unit() -> None:
    """The attribute of a third party's class may fail."""

    class Failing(Known):
        @property
        def metric_name(self) -> str:
            raise KeyError("metric")

    assert "" == prepare(Failing(), {"": "bytes"}).unit


@attrs.frozen(kw_only=True)
class RowQuerier(RackMetricQuerier):
    """Rows."""

    number: int


async def test_metrics_are_the_choices_that_have_series() -> None:
    """A class that has other required fields lists all its choices; one without choices lists nothing."""
    backend = MemoryMetrics()
    scrape = [("rack_power", {"row": "1"}, 1.0), ("rack_noise", {"row": "1"}, 1.0), ("heat", {}, 1.0)]
    backend.append_scrape(scrape, target="t", time=backend.clock())
    assert ["power", "noise"] == await metric_names(backend, QuerierSpec.of(RackMetricQuerier))
    assert ["power", "heat", "noise"] == await metric_names(backend, QuerierSpec.of(RowQuerier))
    with pytest.raises(InputError, match="known has no field metric_name with choices to list"):
        await metric_names(backend, QuerierSpec.of(Known))
    with pytest.raises(InputError, match="node does not say which metrics it has; query them by name"):
        await metric_names(backend, NODE)


@attrs.frozen(kw_only=True)
class DemandingQuerier(Known):
    """Racks, one of whose metrics needs a row."""

    metric_name: Literal["power", "heat"]
    row: str | None = None

    def __attrs_post_init__(self) -> None:
        """Check."""
        if self.metric_name == "heat" and self.row is None:
            raise InputError("heat is measured by row")


async def test_a_choice_that_needs_another_field_is_listed() -> None:
    """Its series cannot be looked for; a metric without series is still left out."""
    assert ["heat"] == await metric_names(MemoryMetrics(), QuerierSpec.of(DemandingQuerier))


async def test_metrics_of_a_series_are_the_values_of_its_label() -> None:
    """The spec names both."""
    backend = MemoryMetrics()
    scrape = [("rack", {"kind": kind, "row": "1"}, 1.0) for kind in ("power", "heat")]
    backend.append_scrape(scrape, target="t", time=backend.clock())
    spec = attrs.evolve(QuerierSpec.of(RackMetricQuerier), series="rack", metric_label="kind")
    assert ["heat", "power"] == await metric_names(backend, spec)
