"""Processes of kernels, from the series of a metric backend: stores of live statistics have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import chain
from math import isfinite
from typing import Final

import attrs

from statcore.concurrency import map_concurrently, run_both
from statcore.model.results import Sample
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.live_stat import distinct_batches
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import PROCESS_SERIES
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher

_MILLICORES_PER_PCT: Final = 10


@attrs.frozen(kw_only=True)
class Process:
    """A process of a kernel; None is a number that is not known.

    Args:
        pid: its id on the machine of its agent.
        cpu_pct: CPU use in percent of one core.
        mem_bytes: memory in use.
    """

    pid: int
    cpu_pct: float | None = None
    mem_bytes: float | None = None


@attrs.frozen
class _ProcessMetric(UtilizationMetricQuerier):
    """Querier of the current values of one metric, for each process of some kernels."""

    metric: str
    strategy: QueryStrategy
    kernel_ids: Sequence[str]

    def name(self) -> str:
        return PROCESS_SERIES

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        kernels = LabelMatcher.one_of(self.kernel_ids)
        return {"process_metric_name": self.metric, "value_type": "current", "kernel_id": kernels}

    def group_by_labels(self) -> Sequence[str]:
        return ["kernel_id", "pid"]

    def query_strategy(self) -> QueryStrategy:
        return self.strategy


async def read_processes(
    metrics: MetricQuerierPort, kernel_ids: Sequence[str], *, rate_interval: timedelta | str = RATE_INTERVAL
) -> list[Sequence[Process]]:
    """Return the processes of each kernel, in order, sorted by pid; none for a kernel without such series.

    Args:
        metrics: the backend.
        kernel_ids: in canonical text.
        rate_interval: the window that the CPU use is taken over.

    Raises:
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """

    async def read(metric: str, strategy: QueryStrategy) -> dict[tuple[str, int], float]:
        async def read_batch(batch: Sequence[str]) -> Sequence[Sample]:
            querier = _ProcessMetric(metric, strategy, batch)
            return (await metrics.query_utilization_now(querier, rate_interval=rate_interval)).samples

        batches = await map_concurrently(distinct_batches(kernel_ids), read_batch)
        return {
            (sample.labels["kernel_id"], int(pid)): sample.value
            for sample in chain.from_iterable(batches)
            if (pid := sample.labels.get("pid", "")).isdecimal() and isfinite(sample.value)
        }

    cpu, mem = await run_both(read("cpu_util", QueryStrategy.RATE), read("mem", QueryStrategy.GAUGE))
    processes: dict[str, list[Process]] = {}
    for kernel_id, pid in sorted({*cpu, *mem}):
        millicores = cpu.get((kernel_id, pid))
        cpu_pct = None if millicores is None else millicores / _MILLICORES_PER_PCT
        process = Process(pid=pid, cpu_pct=cpu_pct, mem_bytes=mem.get((kernel_id, pid)))
        processes.setdefault(kernel_id, []).append(process)
    return [processes.get(kernel_id, ()) for kernel_id in kernel_ids]
