"""Processes of kernels, from the series of a metric backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs
import pytest
from tests.support.graphql_host import kernel_id
from tests.support.turns import counting_turns

from statcore.errors import ProtocolError
from statcore.model import Problem, ProblemKind
from statcore.model.results import Sample, VectorResult
from statcore.ports import ScrapeSample
from statcore.queriers import UtilizationMetricQuerier
from statcore.queriers.container import PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore.statistics.processes import Process, ProcessList, read_processes
from statcore_memory import MemoryMetrics

LACKS: Final = Problem(ProblemKind.INCOMPLETE, message="the metric backend says that its answer may lack data")


@attrs.frozen(kw_only=True)
class Backend(MemoryMetrics):
    """A backend at a time, with notes on each answer."""

    now: float = 90.0
    notes: dict[str, Any] = attrs.field(factory=dict[str, Any])
    clock: Any = attrs.field(init=False, default=attrs.Factory(lambda backend: lambda: backend.now, takes_self=True))

    async def query_utilization_now(self, querier: UtilizationMetricQuerier, **options: Any) -> VectorResult:
        """Add the notes."""
        return attrs.evolve(await super().query_utilization_now(querier, **options), **self.notes)

    def scrape(self, time: float, samples: Iterable[ScrapeSample]) -> None:
        """Add one scrape of an agent."""
        self.append_scrape(samples, target="agent", time=time)


@attrs.frozen
class Answering:
    """A backend with one answer."""

    answer: VectorResult

    async def query_utilization_now(self, querier: UtilizationMetricQuerier, **options: Any) -> VectorResult:
        """Return the answer."""
        del querier, options
        return self.answer


def sample(metric: str, value: float, *, kernel: int = 0, pid: object = 1) -> ScrapeSample:
    """Return the current value of a metric of a process."""
    labels = {PROCESS_METRIC_LABEL: metric, "value_type": "current", "kernel_id": kernel_id(kernel), "pid": str(pid)}
    return PROCESS_SERIES, labels, value


def process(time: float, pid: int) -> list[ScrapeSample]:
    """Return both metrics of a process, which uses CPU all the time."""
    return [sample("cpu_util", 250.0 * time, pid=pid), sample("mem", 4096.0, pid=pid)]


async def test_a_process_that_ended_between_two_scrapes_is_gone() -> None:
    """The rate of its CPU time still has a value, because its window begins before the end."""
    backend = Backend()
    for time in (30.0, 60.0):
        backend.scrape(time, [*process(time, 1), *process(time, 2)])
    backend.scrape(90.0, process(90.0, 1))
    (found,) = await read_processes(backend, [kernel_id(0)], rate_interval="2m")
    assert [1] == [process.pid for process in found.processes]
    assert found.processes[0].cpu_pct


async def test_what_is_not_known_of_a_process_is_none() -> None:
    """A new process has no rate; text that is no pid, and a kernel without series, have no processes."""
    backend = Backend()
    no_pids = [sample("mem", 3.0, pid=text) for text in ("x", "", "-7", "9" * 10, "9" * 5_000)]
    samples = [sample("mem", 1.0, pid=12), sample("mem", 2.0, pid=7), *no_pids]
    backend.scrape(90.0, [*samples, sample("cpu_util", 1.0, pid=7)])
    with_processes, without = await read_processes(backend, [kernel_id(0), kernel_id(1)])
    assert [Process(pid=7, mem_bytes=2.0), Process(pid=12, mem_bytes=1.0)] == with_processes.processes
    assert ProcessList(processes=[]) == without


async def test_a_process_without_a_memory_that_means_something_is_listed() -> None:
    """Its memory is not known; a number that means nothing is a problem, and a missing one is not."""
    backend = Backend()
    nan = float("nan")
    for time in (30.0, 60.0, 90.0):
        odd = [sample("cpu_util", 900.0 * time, pid=2), sample("mem", nan, pid=2)]
        no_rate = [sample("cpu_util", nan, pid=3), sample("mem", 5.0, pid=3)]
        of_other = sample("cpu_util", 250.0 * time, kernel=1, pid=4)
        backend.scrape(time, [*process(time, 1), *odd, *no_rate, of_other])
    found, other = await read_processes(backend, [kernel_id(0), kernel_id(1)], rate_interval="2m")
    expected = [(1, True, 4096.0), (2, True, None), (3, False, 5.0)]
    assert expected == [(process.pid, process.cpu_pct is not None, process.mem_bytes) for process in found.processes]
    message = "a number of 2 processes means nothing, such as one of pid 2"
    assert Problem(ProblemKind.INCOMPLETE, message=message) == found.problem
    assert [(4, None)] == [(process.pid, process.mem_bytes) for process in other.processes]
    assert other.processes[0].cpu_pct
    assert None is other.problem


async def test_two_problems_are_one() -> None:
    """The message has both."""
    backend = Backend(notes={"partial": True})
    backend.scrape(90.0, [sample("mem", float("inf"), pid=2)])
    (found,) = await read_processes(backend, [kernel_id(0)])
    message = f"{LACKS.message}; a number of 1 processes means nothing, such as one of pid 2"
    assert Problem(ProblemKind.INCOMPLETE, message=message) == found.problem


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        ({"partial": True}, LACKS),
        ({"warnings": ("http://10.0.0.1:9090 did not answer",)}, LACKS),
        ({"infos": ("a rate of a gauge",)}, None),
    ],
)
async def test_an_answer_that_may_lack_data_is_incomplete(
    notes: dict[str, Any], problem: Problem | None, caplog: pytest.LogCaptureFixture
) -> None:
    """So is a kernel without processes; the text of a warning is in the log alone."""
    backend = Backend(notes=notes)
    backend.scrape(90.0, process(90.0, 1))
    found = await read_processes(backend, [kernel_id(0), kernel_id(1)])
    assert [problem, problem] == [of_kernel.problem for of_kernel in found]
    assert [1, 0] == [len(of_kernel.processes) for of_kernel in found]
    assert all(warning in caplog.text for warning in notes.get("warnings", ()))


@pytest.mark.parametrize("labels", [{"pid": "1"}, {"pid": "1", "kernel_id": kernel_id(1)}])
async def test_samples_of_other_kernels_are_refused(labels: dict[str, str]) -> None:
    """A backend may ignore matchers or grouping."""
    backend: Any = Answering(VectorResult(samples=(Sample(labels=labels, timestamp=90.0, value=1.0),)))
    with pytest.raises(ProtocolError, match="which the query does not name"):
        await read_processes(backend, [kernel_id(0)])


async def test_other_tasks_run_while_many_processes_are_read() -> None:
    """A turn of the event loop takes 128 samples, or makes the lists of 16 kernels."""
    kernels = [kernel_id(kernel) for kernel in range(256)]
    samples = [
        Sample(labels={"kernel_id": kernel, "pid": str(pid), PROCESS_METRIC_LABEL: "mem"}, timestamp=90.0, value=1.0)
        for kernel in kernels
        for pid in range(40)
    ]
    backend: Any = Answering(VectorResult(samples=tuple(samples)))
    async with counting_turns() as turns:
        found = await read_processes(backend, kernels)
        counted = turns.count
    assert [40] * 256 == [len(of_kernel.processes) for of_kernel in found]
    assert 94 <= counted  # 79 with samples, 15 between lists, and some in which the queries are sent
