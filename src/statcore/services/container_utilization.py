"""Utilization of containers for callers who use actions and results."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import attrs

from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange, format_duration
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, ContainerMetricQuerier
from statcore.statistics.utilization import available_metrics


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


_logger: Final = logging.getLogger(__name__)


@attrs.frozen
class ContainerUtilizationMetricService:
    """Turns actions into queriers, and answers into results; the errors are those of `MetricQuerierPort`.

    Args:
        metrics: the backend, which stays the caller's to close.
        rate_interval: the window that rates are taken over.
    """

    metrics: MetricQuerierPort
    rate_interval: str = attrs.field(default=RATE_INTERVAL, kw_only=True, converter=format_duration)

    async def fetch_metric(self, action: ContainerMetricAction) -> ContainerMetricActionResult:
        """Return the utilization that the action asks for; without data, a result without series.

        Raises:
            InputError: the action names no metric, an id that is not one, or a time range that is none.
        """
        querier = ContainerMetricQuerier(metric_name=action.metric_name, **attrs.asdict(action.labels, recurse=False))
        time_range = QueryTimeRange(start=action.start, end=action.end, step=action.step)
        answer = await self.metrics.query_utilization(querier, time_range, rate_interval=self.rate_interval)
        if answer.warnings or answer.partial:
            reasons = "; ".join(answer.warnings) or "the answer is partial"
            _logger.warning("utilization of containers, %s: %s", action.metric_name, reasons)
        return _result(answer)

    async def query_metric(self, action: ContainerMetricAction) -> ContainerMetricActionResult:
        """Return what `fetch_metric` returns, whose older name this is."""
        return await self.fetch_metric(action)

    async def query_metadata(self, action: ContainerMetricMetadataAction) -> ContainerMetricMetadataActionResult:
        """Return which metrics of containers the backend has."""
        del action  # there is nothing in it
        names = await available_metrics(self.metrics, series=CONTAINER_SERIES, metric_label=CONTAINER_METRIC_LABEL)
        return ContainerMetricMetadataActionResult(names)


def _result(answer: MatrixResult) -> ContainerMetricActionResult:
    result = [
        ContainerMetricResult(
            ContainerMetricResponseInfo.from_labels(series.metric),
            [MetricResultValue(timestamp, value) for timestamp, value in series.values],
        )
        for series in answer.data.result
    ]
    return ContainerMetricActionResult(result, warnings=answer.warnings, partial=answer.partial)
