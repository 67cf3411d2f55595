"""Utilization of containers, with actions as arguments and action results as answers."""

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

_logger: Final = logging.getLogger(__name__)


@attrs.frozen
class ContainerMetricOptionalLabel:
    """Selects containers by ids, or all containers without ids; `value_type` is that of `ContainerMetricQuerier`."""

    value_type: str
    agent_id: str | None = None
    kernel_id: UUID | str | None = None
    session_id: UUID | str | None = None
    user_id: UUID | str | None = None
    project_id: UUID | str | None = None


@attrs.frozen
class ContainerMetricAction:
    """Request for the utilization over a time range; `start`, `end` and `step` are as in `QueryTimeRange`."""

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
    """Labels of one series; None for a label that the series does not have, since the query does not group by it."""

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
        """The user id, under the name that older clients use; on the wire the label is `user_id`."""
        return self.user_id

    @property
    def owner_project_id(self) -> str | None:
        """The project id, under the name that older clients use; on the wire the label is `project_id`."""
        return self.project_id

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Self:
        """Make the info of the labels for which there is a field."""
        return cls(**{field.name: labels.get(field.name) for field in attrs.fields(cls)})


@attrs.frozen
class ContainerMetricResult:
    """One series: its labels, and its samples in order of time."""

    metric: ContainerMetricResponseInfo
    values: list[MetricResultValue]


@attrs.frozen
class ContainerMetricActionResult:
    """Answer to a `ContainerMetricAction`: series in the backend's order, and its notes as in `MatrixResult`."""

    result: list[ContainerMetricResult]
    warnings: tuple[str, ...] = ()
    partial: bool = False


@attrs.frozen
class ContainerMetricMetadataAction:
    """Request for the names of the metrics of containers."""


@attrs.frozen
class ContainerMetricMetadataActionResult:
    """Answer to a `ContainerMetricMetadataAction`: the names, sorted."""

    metric_names: list[str]


@attrs.frozen
class ContainerUtilizationMetricService:
    """Turns actions into queriers, and answers into results; errors are those of `MetricQuerierPort`.

    Args:
        metrics: the backend; the caller closes it.
        rate_interval: the window of rates.
    """

    metrics: MetricQuerierPort
    rate_interval: str = attrs.field(default=RATE_INTERVAL, kw_only=True, converter=format_duration)

    async def fetch_metric(self, action: ContainerMetricAction) -> ContainerMetricActionResult:
        """Return the utilization that an action requests; without data, a result without series.

        Raises:
            InputError: the action has no metric name, an id that is not a UUID, or a time range that cannot be read.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        querier = ContainerMetricQuerier(metric_name=action.metric_name, **attrs.asdict(action.labels, recurse=False))
        time_range = QueryTimeRange(start=action.start, end=action.end, step=action.step)
        answer = await self.metrics.query_utilization(querier, time_range, rate_interval=self.rate_interval)
        if answer.warnings or answer.partial:
            reasons = "; ".join(answer.warnings) or "the answer is partial"
            _logger.warning("utilization of containers, %s: %s", action.metric_name, reasons)
        return _result(answer)

    async def query_metric(self, action: ContainerMetricAction) -> ContainerMetricActionResult:
        """Return what `fetch_metric` returns; this is its older name."""
        return await self.fetch_metric(action)

    async def query_metadata(self, action: ContainerMetricMetadataAction) -> ContainerMetricMetadataActionResult:
        """Return the names of the metrics of containers that the backend has.

        Raises:
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        del action  # it has no fields
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
