"""Utilization of containers, for callers who speak in actions and results."""

from __future__ import annotations

import logging
from typing import Final

import attrs

from statcore.model.duration import format_duration
from statcore.model.matrix import MatrixResult
from statcore.model.time_range import QueryTimeRange
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, ContainerMetricQuerier
from statcore.services.available_metrics import available_metrics
from statcore.services.container_types import (
    ContainerMetricAction,
    ContainerMetricActionResult,
    ContainerMetricMetadataAction,
    ContainerMetricMetadataActionResult,
    ContainerMetricResponseInfo,
    ContainerMetricResult,
    MetricResultValue,
)

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
