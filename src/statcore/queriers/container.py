"""The querier of containers ("kernels"), and the names of their series, labels and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, cast, get_args
from uuid import UUID

import attrs

from statcore.errors import InputError
from statcore.model.statistics import UNBOUNDED_METRICS, has_bound
from statcore.model.text import check_text
from statcore.model.validation import optional_uuid
from statcore.queriers.interface import PercentOfCapacity, QueryStrategy, UtilizationMetricQuerier

CONTAINER_SERIES: Final = "backendai_container_utilization"
CONTAINER_METRIC_LABEL: Final = "container_metric_name"
DEVICE_SERIES: Final = "backendai_device_utilization"
"""The series of the devices of an agent's node, which have no kernel."""
DEVICE_METRIC_LABEL: Final = "device_metric_name"
PROCESS_SERIES: Final = "backendai_process_utilization"
"""The series of the processes of kernels, with the labels of their kernel and `pid`."""
PROCESS_METRIC_LABEL: Final = "process_metric_name"
VALUE_TYPES: Final = ("current", "capacity")
"""The value types that agents export."""
PERCENT: Final = "pct"
"""The value type that is computed from the other two."""
ValueType: TypeAlias = Literal["current", "capacity", "pct"]
UNKNOWN_OWNER: Final = "undefined"
"""The label value that agents export for an unknown owner."""
OWNER_LABELS: Final = ("kernel_id", "session_id", "agent_id", "user_id", "project_id")
"""The labels that name the owners of a series. A host may confine reads by them, so no strategy may replace them."""

COUNTERS: Final[Mapping[str, QueryStrategy]] = MappingProxyType(
    {
        "cpu_util": QueryStrategy.RATE,
        "net_rx": QueryStrategy.RATE_NORMALIZED,
        "net_tx": QueryStrategy.RATE_NORMALIZED,
    }
)
"""The metrics whose current values are read as rates. A capacity is a constant, and its rate would be 0."""
UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cpu_util": "millicores",
        "cpu_used": "ms",
        "mem": "bytes",
        "io_read": "bytes",
        "io_write": "bytes",
        "io_scratch_size": "bytes",
        "net_rx": "bytes/s",
        "net_tx": "bytes/s",
    }
)
"""The units of the metrics that agents export for every container, as the querier answers them."""


def _metric_name(value: str) -> str:
    name = check_text(value, what="metric_name")
    if not name:
        raise InputError("metric_name is empty; expected a name such as cpu_util or mem")
    return name


def _value_type(value: str) -> ValueType:
    for known in get_args(ValueType):
        if value == known:
            return cast("ValueType", known)
    raise InputError(f"value_type must be one of {', '.join(get_args(ValueType))}, not {value!r}")


def _agent(value: str | None) -> str | None:
    if value == "":
        raise InputError("agent_id is empty, which would match series without an agent; leave it out to match every agent")
    return None if value is None else check_text(value, what="agent_id")


@attrs.frozen(kw_only=True)
class ContainerMetricQuerier(UtilizationMetricQuerier):
    """Utilization of all containers, or of the containers of a kernel, session, agent, user or project.

    Args:
        metric_name: for example `cpu_util`, `mem`, `net_rx`.
        value_type: `current`; `capacity`; or `pct`, the current value in percent of the capacity, over kernels that have
            both and a finite capacity above 0. Percentages of `cpu_util` are of cores and are added: two kernels that use a
            core each are 200. For any other metric the sum of the current values is divided by the sum of the capacities.
        kernel_id, session_id, user_id, project_id: a UUID, or its text.
        agent_id: the agent's name.

    Raises:
        InputError: an empty metric name or agent id, an unknown value type, the `pct` of a metric without a bound, or an id
            that is not a UUID.
    """

    metric_name: str = attrs.field(converter=_metric_name)
    value_type: ValueType = attrs.field(converter=_value_type)
    kernel_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    agent_id: str | None = attrs.field(default=None, converter=_agent)
    session_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    user_id: UUID | None = attrs.field(default=None, converter=optional_uuid)
    project_id: UUID | None = attrs.field(default=None, converter=optional_uuid)

    def __attrs_post_init__(self) -> None:
        """Check fields against each other."""
        if self.value_type == PERCENT and not has_bound(self.metric_name):
            unbounded = ", ".join(sorted(UNBOUNDED_METRICS))
            raise InputError(
                f"{self.metric_name} has no bound, and so no pct; use value_type current. Without a bound: {unbounded}"
            )

    def name(self) -> str:
        """Return the series that the agents export for containers."""
        return CONTAINER_SERIES

    def labels(self) -> dict[str, str]:
        """Return the metric, the value type (except for `pct`, which reads two of them), and the owners that are set."""
        labels: dict[str, str] = {CONTAINER_METRIC_LABEL: self.metric_name}
        if self.value_type != PERCENT:
            labels["value_type"] = self.value_type
        for label in OWNER_LABELS:
            if (owner := getattr(self, label)) is not None:
                labels[label] = str(owner)
        return labels

    def group_by_labels(self) -> list[str]:
        """Return `value_type` (except for `pct`), and the label of each owner that is set."""
        value_type = [] if self.value_type == PERCENT else ["value_type"]
        return [*value_type, *[label for label in OWNER_LABELS if getattr(self, label) is not None]]

    def query_strategy(self) -> QueryStrategy | PercentOfCapacity:
        """Return the rate for current values of counters, percent of capacity for `pct`, and otherwise the gauge."""
        if self.value_type == PERCENT:
            return PercentOfCapacity(is_counter=self.metric_name in COUNTERS)
        if self.value_type == "capacity":
            return QueryStrategy.GAUGE
        return COUNTERS.get(self.metric_name, QueryStrategy.GAUGE)
