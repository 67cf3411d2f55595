"""What the demo reads back: live statistics and utilization of its children, through the public API alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult, Series
from statcore.model.time import QueryTimeRange
from statcore.queriers.container import ContainerMetricQuerier
from statcore_cli.demo.children import Child
from statcore_cli.demo.stage import INTERVAL_S, Stage
from statcore_cli.entries import Entries

METRICS: Final = ("cpu_util", "mem", "net_rx", "io_write")
_RATE_INTERVAL: Final = "5s"
_WINDOW: Final = timedelta(seconds=60)


@attrs.frozen(kw_only=True)
class Reading:
    """The state of all children at one moment; `failures` says what could not be queried."""

    live: Entries
    utilization: Mapping[str, MatrixResult]
    failures: Sequence[str]

    def document(self, children: Sequence[Child]) -> dict[str, Any]:
        """Return what JSON shows."""
        return {
            "loads": {child.target.kernel_id: child.title for child in children},
            **self.live.document(),
            "utilization": {metric: found.to_json() for metric, found in self.utilization.items()},
            "failures": list(self.failures),
        }


async def read(stage: Stage, children: Sequence[Child], *, since: datetime, now: datetime) -> Reading:
    """Read the live statistics of every child in one batch, and query each metric of each over the last minute."""
    ids = [child.target.kernel_id for child in children]
    time_range = QueryTimeRange(start=max(since, now - _WINDOW), end=now, step=timedelta(seconds=INTERVAL_S))

    async def query(metric: str, kernel_id: str) -> Sequence[Series]:
        querier = ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=kernel_id)
        return (await stage.metrics.query_utilization(querier, time_range, rate_interval=_RATE_INTERVAL)).series

    batch = await stage.repository.get_kernel_statistics_batch(ids)
    asked = [(metric, kernel_id) for metric in METRICS for kernel_id in ids]
    answers = await asyncio.gather(*(query(*one) for one in asked), return_exceptions=True)
    utilization: dict[str, list[Series]] = {metric: [] for metric in METRICS}
    failures: dict[str, None] = {}
    for (metric, _), answer in zip(asked, answers, strict=True):
        if isinstance(answer, StatcoreError):
            failures[f"{metric}: {answer}"] = None
        elif isinstance(answer, BaseException):
            raise answer
        else:
            utilization[metric].extend(answer)
    results = {metric: MatrixResult(series=tuple(found)) for metric, found in utilization.items()}
    return Reading(live=Entries.read(ids, batch), utilization=results, failures=list(failures))
