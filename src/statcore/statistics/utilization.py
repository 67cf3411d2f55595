"""Utilization of many queriers with few requests to a metric backend, and the names of its metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import attrs

from statcore.concurrency import ITEMS_PER_TURN, in_thread, in_turns, map_keeping_errors
from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.model.validation import check_count
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.coalescing import MAX_VALUES, CoalescedQuerier, coalesce_queries
from statcore.queriers.interface import MetricQuery, UtilizationMetricQuerier, resolve


async def available_metrics(metrics: MetricQuerierPort, *, series: str, metric_label: str | None) -> list[str]:
    """Return the names of the metrics that a backend has, sorted.

    Args:
        metrics: the backend.
        series: the name of the series, as in `QuerierSpec`.
        metric_label: the label that tells its metrics apart, or None where `series` is the only metric.

    Raises:
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """
    selector = Selector(series)
    if metric_label is not None:
        return list(await metrics.label_values(metric_label, match=selector))
    return [series] if await metrics.series(selector) else []


_Answer = TypeVar("_Answer", MatrixResult, VectorResult)


@attrs.frozen
class UtilizationSource:
    """Reads the utilization of many queriers; queriers that differ in the value of one label share a request.

    Each method returns one outcome per querier, in order: an answer or an error. The error of a request is the outcome of
    the queriers that share it. The error of a querier that breaks its contract, or has bad input, is the outcome of that
    querier alone. Once the backend cannot be reached or does not answer in time, no further request is made, and the
    remaining queriers have that error, too, so a backend that does not answer costs the deadline of one request.

    Args:
        metrics: the backend; the caller closes it.
        max_values: how many values of a label one request names at most.

    Raises:
        InputError: `max_values` is not a whole number of at least 1.
    """

    metrics: MetricQuerierPort
    max_values: int = attrs.field(default=MAX_VALUES, kw_only=True, validator=check_count)

    async def read_utilization_batch(
        self,
        queriers: Sequence[UtilizationMetricQuerier],
        time_range: QueryTimeRange,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> Sequence[MatrixResult | StatcoreError]:
        """Return each querier's utilization at every point of the range."""

        async def request(querier: UtilizationMetricQuerier) -> MatrixResult:
            return await self.metrics.query_utilization(querier, time_range, rate_interval=rate_interval)

        return await self._read(queriers, request)

    async def read_utilization_now_batch(
        self,
        queriers: Sequence[UtilizationMetricQuerier],
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> Sequence[VectorResult | StatcoreError]:
        """Return each querier's utilization at `time` (aware), by default the backend's now when a request reaches it."""

        async def request(querier: UtilizationMetricQuerier) -> VectorResult:
            return await self.metrics.query_utilization_now(querier, time=time, rate_interval=rate_interval)

        return await self._read(queriers, request)

    async def _read(
        self,
        queriers: Sequence[UtilizationMetricQuerier],
        request: Callable[[CoalescedQuerier], Awaitable[_Answer]],
    ) -> list[_Answer | StatcoreError]:
        outcomes: dict[int, _Answer | StatcoreError] = {}
        queries: dict[int, MetricQuery] = {}
        async for part in in_turns(list(enumerate(queriers))):
            for position, querier in part:
                try:
                    queries[position] = resolve(querier)
                except StatcoreError as error:
                    outcomes[position] = error
        merge = partial(coalesce_queries, queries, max_values=self.max_values)
        batches = merge() if len(queries) <= ITEMS_PER_TURN else await in_thread(merge)

        async def request_and_split(batch: CoalescedQuerier) -> Sequence[_Answer]:
            return batch.split(await request(batch))

        for batch, answers in zip(batches, await map_keeping_errors(batches, request_and_split), strict=True):
            of_members = [answers] * len(batch.positions) if isinstance(answers, StatcoreError) else answers
            outcomes.update(zip(batch.positions, of_members, strict=True))
        return [outcomes[position] for position in range(len(outcomes))]
