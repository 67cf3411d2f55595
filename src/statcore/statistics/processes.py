"""Processes of kernels, from the series of a metric backend: stores of live statistics have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isfinite
from operator import attrgetter
from typing import Final

import attrs

from statcore.concurrency import in_turns, map_concurrently, run_both
from statcore.model.results import VectorResult
from statcore.model.statistics import Problem
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.live_stat import distinct_batches
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher
from statcore.statistics.live_stat import doubt_of, kernel_of

_MILLICORES_PER_PCT: Final = 10
_KERNELS_PER_TURN: Final = 16
_PID_DIGITS: Final = 9
"""How many digits a pid has at most: Linux has pids of seven, and any number of nine is an `Int` of GraphQL."""


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


@attrs.frozen(kw_only=True)
class ProcessList:
    """The processes of a kernel, sorted by pid; empty for a kernel without such series.

    Args:
        processes: the processes that exist.
        problem: *incomplete* if the backend says that its answer may lack data, otherwise None.
    """

    processes: Sequence[Process]
    problem: Problem | None = None


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
        return {PROCESS_METRIC_LABEL: self.metric, "value_type": "current", "kernel_id": kernels}

    def group_by_labels(self) -> Sequence[str]:
        return ["kernel_id", "pid"]

    def query_strategy(self) -> QueryStrategy:
        return self.strategy


async def read_processes(
    metrics: MetricQuerierPort, kernel_ids: Sequence[str], *, rate_interval: timedelta | str = RATE_INTERVAL
) -> list[ProcessList]:
    """Return the processes of each kernel, in order.

    A process exists while the backend has its memory. Its CPU use is a rate, which a process that has ended keeps until
    the end of the window.

    Args:
        metrics: the backend.
        kernel_ids: in canonical text.
        rate_interval: the window that the CPU use is taken over.

    Raises:
        ProtocolError: the backend answered for a kernel that the query does not name.
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """
    answers: list[VectorResult] = []

    async def read(metric: str, strategy: QueryStrategy) -> dict[str, dict[int, float]]:
        """Return the values of a metric by kernel and pid."""
        values_of: dict[str, dict[int, float]] = {}

        async def read_batch(batch: Sequence[str]) -> None:
            querier = _ProcessMetric(metric, strategy, batch)
            answer = await metrics.query_utilization_now(querier, rate_interval=rate_interval)
            answers.append(answer)
            named = frozenset(batch)
            async for part in in_turns(answer.samples):
                for sample in part:
                    kernel_id, pid = kernel_of(sample, named), sample.labels.get("pid", "")
                    if pid.isdecimal() and len(pid) <= _PID_DIGITS and isfinite(sample.value):
                        values_of.setdefault(kernel_id, {})[int(pid)] = sample.value

        await map_concurrently(distinct_batches(kernel_ids), read_batch)
        return values_of

    cpu, mem = await run_both(read("cpu_util", QueryStrategy.RATE), read("mem", QueryStrategy.GAUGE))
    problem = doubt_of(answers)
    lists: list[ProcessList] = []
    async for part in in_turns(kernel_ids, size=_KERNELS_PER_TURN):
        for kernel_id in part:
            processes = _processes(cpu.get(kernel_id, {}), mem.get(kernel_id, {}))
            lists.append(ProcessList(processes=processes, problem=problem))
    return lists


def _processes(millicores: Mapping[int, float], mem_bytes: Mapping[int, float]) -> list[Process]:
    processes = [
        Process(pid=pid, cpu_pct=millicores[pid] / _MILLICORES_PER_PCT if pid in millicores else None, mem_bytes=number)
        for pid, number in mem_bytes.items()
    ]
    return sorted(processes, key=attrgetter("pid"))
