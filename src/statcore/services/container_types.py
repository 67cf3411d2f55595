"""What `ContainerUtilizationMetricService` takes and returns, in the shapes that a manager's callers know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

import attrs


@attrs.frozen
class ContainerMetricOptionalLabel:
    """Whose utilization: of all containers, or of those that the ids name; `value_type` as `ContainerMetricQuerier`'s."""

    value_type: str
    agent_id: str | None = None
    kernel_id: UUID | str | None = None
    session_id: UUID | str | None = None
    user_id: UUID | str | None = None
    project_id: UUID | str | None = None


@attrs.frozen
class ContainerMetricAction:
    """Ask for the utilization over a time range; `start`, `end` and `step` are what `QueryTimeRange` reads."""

    metric_name: str
    labels: ContainerMetricOptionalLabel
    start: datetime | str | float
    end: datetime | str | float
    step: timedelta | str | float


@attrs.frozen
class MetricResultValue:
    """One sample: unix seconds, and the value as Prometheus writes it."""

    timestamp: float
    value: str


@attrs.frozen(kw_only=True)
class ContainerMetricResponseInfo:
    """The labels of one series; None is a label that the answer does not have, as it was not asked for by."""

    value_type: str | None = None
    container_metric_name: str | None = None
    agent_id: str | None = None
    instance: str | None = None
    job: str | None = None
    kernel_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None

    @property
    def owner_user_id(self) -> str | None:
        """The user, under the name of older clients."""
        return self.user_id  # they looked for a label of this name, which is not what it is called on the wire, in vain

    @property
    def owner_project_id(self) -> str | None:
        """The project, likewise."""
        return self.project_id

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Self:
        """Take the labels that there is a field for."""
        return cls(**{field.name: labels.get(field.name) for field in attrs.fields(cls)})


@attrs.frozen
class ContainerMetricResult:
    """One series: its labels, and its samples in order of time."""

    metric: ContainerMetricResponseInfo
    values: list[MetricResultValue]


@attrs.frozen
class ContainerMetricActionResult:
    """The series in the order of the backend's answer; `warnings` and `partial` are what the backend says of it."""

    result: list[ContainerMetricResult]
    warnings: tuple[str, ...] = ()
    partial: bool = False


@attrs.frozen
class ContainerMetricMetadataAction:
    """Ask which metrics of containers there are."""


@attrs.frozen
class ContainerMetricMetadataActionResult:
    """The names of the metrics, sorted."""

    metric_names: list[str]
