"""The querier of containers."""

from __future__ import annotations

from enum import Enum
from typing import Any
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import UNBOUNDED_METRICS
from statcore.queriers import ContainerMetricQuerier, PercentOfCapacity, QueryStrategy

KERNEL, SESSION, USER, PROJECT = (UUID(int=number) for number in range(1, 5))


class ValueType(str, Enum):  # noqa: UP042 - the kind whose members format as their names
    """An enumeration of a caller."""

    CURRENT = "current"


def test_labels_stand_in_a_fixed_order() -> None:
    """The metric and the value type first, then the owners, whatever the order of the arguments."""
    querier = ContainerMetricQuerier(
        project_id=PROJECT,
        user_id=USER,
        agent_id="i-1",
        session_id=SESSION,
        kernel_id=KERNEL,
        value_type="current",
        metric_name="mem",
    )
    assert [
        ("container_metric_name", "mem"),
        ("value_type", "current"),
        ("kernel_id", str(KERNEL)),
        ("session_id", str(SESSION)),
        ("agent_id", "i-1"),
        ("user_id", str(USER)),
        ("project_id", str(PROJECT)),
    ] == list(querier.labels().items())
    assert ["value_type", "kernel_id", "session_id", "agent_id", "user_id", "project_id"] == querier.group_by_labels()
    assert "backendai_container_utilization" == querier.name()


@pytest.mark.parametrize(
    ("metric_name", "value_type", "strategy"),
    [
        ("cpu_util", "current", QueryStrategy.RATE),
        ("net_rx", "current", QueryStrategy.RATE_NORMALIZED),
        ("net_tx", "current", QueryStrategy.RATE_NORMALIZED),
        ("mem", "current", QueryStrategy.GAUGE),
        ("cuda_util", "current", QueryStrategy.GAUGE),
        ("cpu_util", "capacity", QueryStrategy.GAUGE),
        ("net_rx", "capacity", QueryStrategy.GAUGE),
        ("net_tx", "capacity", QueryStrategy.GAUGE),
        ("mem", "capacity", QueryStrategy.GAUGE),
    ],
)
def test_only_current_values_of_counters_are_rates(metric_name: str, value_type: Any, strategy: QueryStrategy) -> None:
    """A capacity is a gauge for every metric: the rate of a constant is zero."""
    assert strategy == ContainerMetricQuerier(metric_name=metric_name, value_type=value_type).query_strategy()


@pytest.mark.parametrize(("metric_name", "is_counter"), [("cpu_util", True), ("mem", False), ("cuda_util", False)])
def test_percent_of_a_metric_with_a_bound(metric_name: str, is_counter: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """The querier neither matches nor groups by the value type, because the expression reads two of them."""
    querier = ContainerMetricQuerier(metric_name=metric_name, value_type="pct", kernel_id=KERNEL)
    assert {"container_metric_name": metric_name, "kernel_id": str(KERNEL)} == querier.labels()
    assert ["kernel_id"] == querier.group_by_labels()
    assert PercentOfCapacity(is_counter=is_counter) == querier.query_strategy()


@pytest.mark.parametrize("metric_name", sorted(UNBOUNDED_METRICS))
def test_percent_of_a_metric_without_a_bound_is_refused(metric_name: str) -> None:
    """Agents write its first sample as the capacity."""
    with pytest.raises(InputError, match=f"^{metric_name} has no bound, and so no pct; use value_type current"):
        ContainerMetricQuerier(metric_name=metric_name, value_type="pct")


def test_ids_are_uuids_or_text_that_spells_one() -> None:
    """Both give equal queriers."""
    spelled: Any = str(USER).upper()
    by_text = ContainerMetricQuerier(metric_name="mem", value_type="current", user_id=spelled)
    assert ContainerMetricQuerier(metric_name="mem", value_type="current", user_id=USER) == by_text
    assert str(USER) == by_text.labels()["user_id"]


def test_members_of_an_enumeration_are_their_values() -> None:
    """The values are plain text."""
    kind: Any = ValueType.CURRENT
    querier = ContainerMetricQuerier(metric_name=kind, value_type=kind, agent_id=kind)
    assert ["current"] * 3 == [f"{value}" for value in querier.labels().values()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric_name": ""}, "metric_name is empty"),
        ({"metric_name": None}, "metric_name must be text, not NoneType"),
        ({"metric_name": "\ud800"}, "metric_name holds a lone surrogate"),
        ({"value_type": "share"}, "value_type must be one of current, capacity, pct, not 'share'"),
        ({"value_type": None}, "value_type must be one of"),
        ({"kernel_id": "kernel"}, "not an id: 'kernel'"),
        ({"session_id": 5}, "not an id: 5"),
        ({"user_id": ""}, "not an id: ''"),
        ({"project_id": ".*"}, "not an id"),
        ({"agent_id": "a\udc00"}, "agent_id holds a lone surrogate"),
        ({"agent_id": ""}, "agent_id is empty"),
        ({"agent_id": 5}, "agent_id must be text"),
    ],
)
def test_bad_input_is_refused_at_construction(fields: dict[str, Any], message: str) -> None:
    """The error names the field."""
    with pytest.raises(InputError, match=message):
        ContainerMetricQuerier(**{"metric_name": "mem", "value_type": "current", **fields})


def test_a_querier_is_a_value() -> None:
    """It is frozen, comparable, hashable and keyword-only."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current")
    assert {querier} == {ContainerMetricQuerier(metric_name="mem", value_type="current")}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        querier.metric_name = "other"  # type: ignore[misc]  # what must not be possible
    positional: Any = ContainerMetricQuerier
    with pytest.raises(TypeError):
        positional("mem", "current")
