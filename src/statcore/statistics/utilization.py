"""From the queriers that callers have to the few requests that a metric backend answers: merged, bounded, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import attrs

from statcore.concurrency import map_keeping_errors
from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.model.validation import check_count
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.coalescing import MAX_VALUES, CoalescedQuerier, coalesce_resolved, resolve_plain
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.query import ResolvedQuerier


async def available_metrics(metrics: MetricQuerierPort, *, series: str, metric_label: str | None) -> list[str]:
    """Return the names of the metrics that there are, sorted; the errors are those of `MetricQuerierPort`.

    Args:
        metrics: the backend.
        series: the name of the series, as in `QuerierSpec`.
        metric_label: the label that tells its metrics apart, or None where `series` is the only metric.
    """
    selector = Selector(series)
    if metric_label is not None:
        return list(await metrics.label_values(metric_label, match=selector))
    return [series] if await metrics.series(selector) else []


_AT_A_TIME: Final = 128
"""How many queriers are worked on before the event loop gets its turn: a millisecond or two."""

_Answer = TypeVar("_Answer", MatrixResult, VectorResult)


@attrs.frozen
class UtilizationSource:
    """Reads the utilization of many queriers with few requests: those that differ in one label are asked for together.

    Each method returns one outcome per querier, in order: an answer, or the error that this querier met. A request that
    fails is the outcome of those it was for, and a querier that breaks its contract, or was given bad input, of that one
    alone; the others are answered. Only once the backend does not answer in time, or not at all, nothing more is asked:
    that is the outcome of all others, too, so that the whole waits no longer than one request may.

    Args:
        metrics: the backend; it stays the caller's to close.
        max_values: how many values of a label one request names at most.
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

        async def ask(querier: UtilizationMetricQuerier) -> MatrixResult:
            return await self.metrics.query_utilization(querier, time_range, rate_interval=rate_interval)

        return await self._read(queriers, ask)

    async def read_utilization_now_batch(
        self,
        queriers: Sequence[UtilizationMetricQuerier],
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> Sequence[VectorResult | StatcoreError]:
        """Return each querier's utilization at `time` (aware), by default the backend's now when it gets each request."""

        async def ask(querier: UtilizationMetricQuerier) -> VectorResult:
            return await self.metrics.query_utilization_now(querier, time=time, rate_interval=rate_interval)

        return await self._read(queriers, ask)

    async def _read(
        self,
        queriers: Sequence[UtilizationMetricQuerier],
        ask: Callable[[CoalescedQuerier], Awaitable[_Answer]],
    ) -> list[_Answer | StatcoreError]:
        from asyncio import sleep, to_thread  # noqa: PLC0415 - as in run_concurrently

        outcomes: dict[int, _Answer | StatcoreError] = {}
        sound: dict[int, ResolvedQuerier] = {}
        for position, querier in enumerate(queriers):
            if position % _AT_A_TIME == _AT_A_TIME - 1:
                await sleep(0)
            try:
                sound[position] = resolve_plain(querier)
            except StatcoreError as error:
                outcomes[position] = error
        if len(sound) <= _AT_A_TIME:
            coalesced = coalesce_resolved(sound, max_values=self.max_values)
        else:
            coalesced = await to_thread(coalesce_resolved, sound, max_values=self.max_values)

        async def ask_and_split(querier: CoalescedQuerier) -> Sequence[_Answer]:
            return querier.split(await ask(querier))

        for querier, answers in zip(coalesced, await map_keeping_errors(coalesced, ask_and_split), strict=True):
            each = [answers] * len(querier.positions) if isinstance(answers, StatcoreError) else answers
            outcomes.update(zip(querier.positions, each, strict=True))
        return [outcomes[position] for position in range(len(outcomes))]
