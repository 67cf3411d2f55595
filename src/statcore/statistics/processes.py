"""Processes of kernels, from the series of a metric backend: stores of live statistics have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Final, TypeAlias

import attrs

from statcore.concurrency import in_turns, map_concurrently, run_both
from statcore.model.results import VectorResult
from statcore.model.statistics import Problem, ProblemKind
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.live_stat import distinct_batches
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher
from statcore.statistics.live_stat import doubt_of, kernel_of

_CPU: Final = "cpu_util"
_MEM: Final = "mem"
_MILLICORES_PER_PCT: Final = 10
_KERNELS_PER_TURN: Final = 16
_PID_DIGITS: Final = 9
"""How many digits a pid has at most: Linux has pids of seven, and any number of nine is an `Int` of GraphQL."""

_Numbers: TypeAlias = dict[int, dict[str, float]]
"""Sample values by pid, then by metric."""


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
        problem: *incomplete* if the backend says that its answer may lack data, or if a number means nothing, such as NaN,
            and is therefore not known; otherwise None.
    """

    processes: Sequence[Process]
    problem: Problem | None = None


@attrs.frozen
class _ProcessMetric(UtilizationMetricQuerier):
    """Querier of the current values of metrics, for each process of some kernels."""

    metrics: Sequence[str]
    strategy: QueryStrategy
    kernel_ids: Sequence[str]

    def name(self) -> str:
        return PROCESS_SERIES

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        kernels = LabelMatcher.one_of(self.kernel_ids)
        return {PROCESS_METRIC_LABEL: LabelMatcher.one_of(self.metrics), "value_type": "current", "kernel_id": kernels}

    def group_by_labels(self) -> Sequence[str]:
        return [PROCESS_METRIC_LABEL, "kernel_id", "pid"]

    def query_strategy(self) -> QueryStrategy:
        return self.strategy


async def read_processes(
    metrics: MetricQuerierPort, kernel_ids: Sequence[str], *, rate_interval: timedelta | str = RATE_INTERVAL
) -> list[ProcessList]:
    """Return the processes of each kernel, in order.

    A process exists while the backend has its memory or its CPU time. Its CPU use is a rate, which a process that has ended
    keeps until the end of the window.

    Args:
        metrics: the backend.
        kernel_ids: in canonical text.
        rate_interval: the window that the CPU use is taken over.

    Raises:
        ProtocolError: the backend answered for a kernel that the query does not name.
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """
    answers: list[VectorResult] = []

    async def read(names: Sequence[str], strategy: QueryStrategy) -> dict[str, _Numbers]:
        """Return the values of metrics by kernel."""
        numbers_of: dict[str, _Numbers] = {}

        async def read_batch(batch: Sequence[str]) -> None:
            querier = _ProcessMetric(names, strategy, batch)
            answer = await metrics.query_utilization_now(querier, rate_interval=rate_interval)
            answers.append(answer)
            named = frozenset(batch)
            async for part in in_turns(answer.samples):
                for sample in part:
                    kernel_id, pid = kernel_of(sample, named), sample.labels.get("pid", "")
                    name = sample.labels.get(PROCESS_METRIC_LABEL, "")
                    if name in names and pid.isdecimal() and len(pid) <= _PID_DIGITS:
                        numbers_of.setdefault(kernel_id, {}).setdefault(int(pid), {})[name] = sample.value

        await map_concurrently(distinct_batches(kernel_ids), read_batch)
        return numbers_of

    rates, now = await run_both(read([_CPU], QueryStrategy.RATE), read([_CPU, _MEM], QueryStrategy.GAUGE))
    doubt = doubt_of(answers)
    lists: list[ProcessList] = []
    async for part in in_turns(kernel_ids, size=_KERNELS_PER_TURN):
        lists += [_process_list(rates.get(kernel_id, {}), now.get(kernel_id, {}), doubt) for kernel_id in part]
    return lists


def _process_list(rates: _Numbers, now: _Numbers, doubt: Problem | None) -> ProcessList:
    processes: list[Process] = []
    odd_pids: list[int] = []
    for pid, numbers in sorted(now.items()):
        millicores, mem_bytes = rates.get(pid, {}).get(_CPU), numbers.get(_MEM)
        processes.append(
            Process(
                pid=pid,
                cpu_pct=None if millicores is None or not isfinite(millicores) else millicores / _MILLICORES_PER_PCT,
                mem_bytes=None if mem_bytes is None or not isfinite(mem_bytes) else mem_bytes,
            )
        )
        if not all(map(isfinite, (*numbers.values(), millicores or 0))):
            odd_pids.append(pid)
    if not odd_pids:
        return ProcessList(processes=processes, problem=doubt)
    message = f"a number of {len(odd_pids)} processes means nothing, such as one of pid {odd_pids[0]}"
    if doubt is not None:
        message = f"{doubt.message}; {message}"
    return ProcessList(processes=processes, problem=Problem(ProblemKind.INCOMPLETE, message=message))
