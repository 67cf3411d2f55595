"""Live statistics from a metric backend: which queries are sent, and the entries that their answers become."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from tests.support.stored_payloads import shown
from tests.support.turns import counting_turns
from tests.unit.statistics.live_backend import NOW, UUIDS, LiveBackend, kind_of

from statcore.errors import InputError, ProtocolError, UnavailableError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.promql import live_stat_queries, render
from statcore.services import KernelLiveStatService

IDS = [str(UUID(int=number)) for number in range(600)]
LACKS = Problem(ProblemKind.INCOMPLETE, message="the metric backend says that its answer may lack data")
SIX = ("now", "rate_now", "max", "avg", "rate_max", "rate_avg")


def _mem(*kernels: str) -> dict[tuple[str, str, str], float]:
    return {(kernel, "mem", "current"): float(UUID(kernel).int) for kernel in kernels}


async def test_no_ids_send_no_query() -> None:
    """The time is not queried, either."""
    backend = LiveBackend()
    assert StatisticsBatch() == await KernelLiveStatService(backend).fetch_kernel_statistics([])
    assert [] == backend.queries


async def test_a_batch_is_six_expressions_at_the_backends_time() -> None:
    """The core has no clock; the window is the service's."""
    backend = LiveBackend()
    await KernelLiveStatService(backend, window="90s").fetch_kernel_statistics(IDS[:2])
    queries = live_stat_queries(IDS[:2], window="90s")
    assert ("time()", None) == backend.queries[0]
    assert Counter((render(getattr(queries, name)), NOW) for name in SIX) == Counter(backend.queries[1:])


@pytest.mark.parametrize(("count", "sizes"), [(600, [88, 256, 256]), (10_000, [16, *[256] * 39])])
async def test_batches_have_256_kernels_and_one_moment(count: int, sizes: list[int]) -> None:
    """Each batch of kernels is six expressions; entries are in the order of the ids."""
    kernels = [str(UUID(int=number)) for number in range(count)]
    backend = LiveBackend(_mem(*kernels))
    batch = await KernelLiveStatService(backend).fetch_kernel_statistics(kernels)
    assert 1 + len(sizes) * 6 == len(backend.queries)
    assert {NOW} == {time for _, time in backend.queries[1:]}
    named = [UUIDS.findall(text) for text, _ in backend.queries if kind_of(text) == "now"][1:]
    assert sizes == sorted(map(len, named))
    assert kernels == sorted(id_ for ids in named for id_ in ids)
    assert [str(number) for number in range(count)] == [entry["mem"]["current"] for entry in batch if entry]


async def test_a_given_time_is_the_moment() -> None:
    """It is in UTC and rounded to the millisecond; the time of the backend is not queried."""
    given = datetime(2026, 11, 22, 19, 0, 0, 124_600, tzinfo=timezone(timedelta(hours=9)))
    backend = LiveBackend()
    await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:1], time=given)
    assert [datetime(2026, 11, 22, 10, 0, 0, 125_000, tzinfo=UTC)] * 6 == [time for _, time in backend.queries]


@pytest.mark.parametrize(
    ("ids", "time"),
    [([IDS[0], "no id"], NOW), ([IDS[0], ""], None), ([IDS[0]], datetime(2026, 11, 22))],  # noqa: DTZ001 - refused
)
async def test_bad_input_is_refused_before_any_query(ids: list[str], time: datetime | None) -> None:
    """Bad input is a text that is not an id, or a time without a zone."""
    backend = LiveBackend()
    with pytest.raises(InputError):
        await KernelLiveStatService(backend).fetch_kernel_statistics(ids, time=time)
    assert [] == backend.queries


@pytest.mark.parametrize("window", ["0s", "5 minutes", "", timedelta(0)])
def test_a_bad_window_is_refused_at_once(window: Any) -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match="duration"):
        KernelLiveStatService(LiveBackend(), window=window)


async def test_six_queries_run_at_once() -> None:
    """The others of eighteen queries wait."""
    running, most, answered = 0, 0, asyncio.Event()

    async def hang(promql: str) -> None:
        nonlocal running, most
        if promql == "time()":
            return
        running += 1
        most = max(most, running)
        await answered.wait()
        running -= 1

    backend = LiveBackend(before=hang)
    task = asyncio.create_task(KernelLiveStatService(backend).fetch_kernel_statistics(IDS))
    for _ in range(100):  # turns of the event loop, far more than it takes
        await asyncio.sleep(0)
    assert 6 == running
    answered.set()
    await task
    assert (6, 1 + 18) == (most, len(backend.queries))


async def test_a_failing_query_cancels_the_others() -> None:
    """The backend's error is raised with its cause and not in a group, after the other queries have ended."""
    cause = ConnectionResetError("reset")
    cancelled: list[str] = []

    async def fail(promql: str) -> None:
        if promql == "time()":
            return
        if kind_of(promql) == "rate_avg":
            raise UnavailableError("down", service="prometheus") from cause
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(kind_of(promql))

    with pytest.raises(UnavailableError, match="down") as caught:
        await KernelLiveStatService(LiveBackend(before=fail)).fetch_kernel_statistics(IDS[:10])
    assert cause is caught.value.__cause__
    assert sorted(SIX[:5]) == sorted(cancelled)


@pytest.mark.parametrize("clock", [(), (1.0, 2.0), (float("nan"),), (float("inf"),), (1e300,)])
async def test_the_backends_time_is_one_sample(clock: tuple[float, ...]) -> None:
    """No sample, two samples, or a sample that is not a time are refused."""
    backend = LiveBackend(clock=clock)
    with pytest.raises(ProtocolError, match=r"one sample for time\(\)"):
        await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:1])
    assert ["time()"] == [text for text, _ in backend.queries]


@pytest.mark.parametrize("labels", [{"kernel_id": IDS[9]}, {}, {"kernel_id": IDS[0].replace("-", "")}])
async def test_samples_of_other_kernels_are_refused(labels: dict[str, str]) -> None:
    """No kernel gets the numbers of another."""
    backend = LiveBackend(_mem(IDS[0]), more=({"container_metric_name": "mem", **labels},))
    with pytest.raises(ProtocolError, match="which the query does not name"):
        await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:2])


async def test_other_tasks_run_while_many_kernels_are_read() -> None:
    """A turn of the event loop makes six expressions, groups one answer, or makes 32 entries."""
    async with counting_turns() as turns:
        batch = await KernelLiveStatService(LiveBackend(_mem(*IDS))).fetch_kernel_statistics(IDS)
    assert 43 <= turns.count  # 3 of expressions, 18 of answers, 19 of entries, and some in which queries are sent
    assert 600 == len(batch)


ONE, TWO = (str(UUID(int=number)) for number in (1, 2))
UNBOUNDED = "9223372036854775807"
NAN, INF = math.nan, math.inf


async def _read(figures: dict[str, dict[str, float]], **options: Any) -> StatisticsBatch:
    """Return what the service answers for a kernel with these samples, by metric and kind."""
    planted = {(ONE, metric, kind): value for metric, kinds in figures.items() for kind, value in kinds.items()}
    return await KernelLiveStatService(LiveBackend(planted, **options)).fetch_kernel_statistics([ONE])


async def _entry(figures: dict[str, dict[str, float]], **options: Any) -> tuple[Mapping[str, Any], Mapping[int, Problem]]:
    """Return the entry of the kernel, which must exist, and the problems."""
    batch = await _read(figures, **options)
    (entry,) = batch
    assert entry is not None
    return entry, batch.problems


@pytest.mark.parametrize(
    ("metric", "figures", "expected"),
    [
        (
            "mem",
            {"current": 1000.0, "capacity": 8000.0, "max": 2000.0, "avg": 1500.12345, "rate_max": 9.0},
            shown("1000", "8000", "12.50", "bytes", max="2000", avg="1500.123"),
        ),
        (
            "cpu_util",
            {"current": 5e6, "capacity": 1000.0, "rate_now": 250.0, "max": 5e6, "rate_max": 500.5, "rate_avg": 300.0},
            shown("250", "1000", "25.00", "millicores", max="500.5", avg="300", diff="250", rate="250"),
        ),
        (
            "net_rx",
            {"current": 5e6, "rate_now": 1 / 3, "rate_max": 2.0, "rate_avg": 1.0},
            shown("0.333", UNBOUNDED, "0.00", "bps", max="2", avg="1", rate="0.333"),
        ),
        (
            "net_tx",  # agents export their first sample as the capacity of what has none
            {"current": 5e6, "capacity": 1820.0, "rate_now": 10005.5, "rate_max": 10005.5, "rate_avg": 7.0},
            shown("10005.5", UNBOUNDED, "0.00", "bps", max="10005.5", avg="7", rate="10005.5"),
        ),
        *(
            (metric, {"current": 5e6, "capacity": 40.0, "max": 5e6, "avg": 4e6}, shown("5000000", UNBOUNDED, "0.00", unit))
            for metric, unit in (("cpu_used", "msec"), ("io_read", "bytes"), ("io_write", "bytes"))
        ),
        (
            "cuda_util",
            {"current": 66.6666, "capacity": 100.0, "max": 70.0, "avg": 60.0},
            shown("66.667", "100", "66.67", "percent", max="70", avg="60"),
        ),
        ("cuda_mem", {"current": -0.0, "capacity": 100.0, "max": 0.0, "avg": 0.0}, shown("0", "100", "0.00", "bytes")),
        (
            "temperature",
            {"current": 40.0, "capacity": 0.0, "max": 40.0, "avg": 35.0},
            shown("40", "0", "0.00", "temperature", max="40", avg="35"),
        ),
    ],
)
async def test_a_metric_is_the_map_that_the_store_would_have(
    metric: str, figures: dict[str, float], expected: dict[str, str]
) -> None:
    """Metrics are gauges, counters shown as their rate, other counters, accelerators, and unknown ones."""
    (entry,) = await _read({metric: figures})
    assert {metric: expected} == entry


@pytest.mark.parametrize("metric", ["cpu_util", "net_rx", "net_tx"])
async def test_a_counter_without_a_rate_has_no_current_value(metric: str) -> None:
    """It is left out, and the entry has no problem."""
    entry, problems = await _entry({metric: {"current": 5e6, "capacity": 1000.0, "max": 5e6}, "mem": {"current": 1.0}})
    assert ["mem"] == list(entry)
    assert {} == problems


async def test_the_maximum_is_never_below_the_current_value() -> None:
    """The server evaluates the window in steps of its own, and may have missed the current value."""
    entry, _ = await _entry({"mem": {"current": 9.0, "max": 5.0, "avg": 4.0}})
    assert "9" == entry["mem"]["stats.max"]


@pytest.mark.parametrize(
    ("metric", "figures"),
    [
        ("mem", {"current": NAN, "capacity": 8000.0, "max": 5.0}),
        ("mem", {"current": -INF, "max": 5.0}),
        ("mem", {"current": 1e308, "capacity": 0.001}),
        ("net_tx", {"current": 5.0, "rate_now": NAN}),
    ],
)
async def test_a_metric_that_is_not_finite_makes_its_entry_incomplete(metric: str, figures: dict[str, float]) -> None:
    """It is left out, not shown as 0, unbounded or NaN; the other metrics stay."""
    entry, problems = await _entry({metric: figures, "io_read": {"current": 7.0}})
    assert ["io_read"] == list(entry)
    assert {0: Problem(ProblemKind.INCOMPLETE, message=f"{metric} is not finite")} == problems


async def test_an_infinite_capacity_is_no_bound() -> None:
    """The metric has no bound then, and the entry no problem."""
    entry, problems = await _entry(
        {"mem": {"current": 5.0, "capacity": INF}, "cpu_util": {"current": 9.0, "rate_now": 5.0}}
    )
    assert ["5", UNBOUNDED, "0.00"] == [entry["mem"][name] for name in ("current", "capacity", "pct")]
    assert {} == problems


@pytest.mark.parametrize("capacity", [NAN, -INF])
async def test_a_capacity_that_is_nan_makes_its_entry_incomplete(capacity: float) -> None:
    """The current value stays. The capacity of a metric without a bound is ignored."""
    figures = {metric: {"current": number, "capacity": capacity} for metric, number in (("mem", 5.0), ("io_read", 7.0))}
    entry, problems = await _entry(figures)
    assert [("5", UNBOUNDED), ("7", UNBOUNDED)] == [(entry[name]["current"], entry[name]["capacity"]) for name in entry]
    assert {0: Problem(ProblemKind.INCOMPLETE, message="the capacity of mem is not finite")} == problems


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"current": 5.0}, {"stats.max": "5", "stats.avg": "5"}),
        ({"current": 5.0, "max": 9.0}, {"stats.max": "9", "stats.avg": "5"}),
        ({"current": 5.0, "avg": 3.0}, {"stats.max": "5", "stats.avg": "3"}),
        ({"current": 5.0, "max": NAN, "avg": 3.0}, {"stats.max": "5", "stats.avg": "3"}),
        ({"current": 5.0, "max": 9.0, "avg": NAN}, {"stats.max": "9"}),
        ({"current": 5.0, "max": INF, "avg": 3.0}, {"stats.avg": "3"}),
    ],
)
async def test_maximum_and_average_default_to_the_current(figures: dict[str, float], expected: dict[str, str]) -> None:
    """A kernel younger than a step has no others; one that is not finite is left out without the other."""
    entry, problems = await _entry({"mem": figures})
    found = {name: entry["mem"].get(name) for name in ("stats.max", "stats.avg") if name in entry["mem"]}
    assert expected == found
    assert {} == problems


async def test_samples_without_a_metric_label_are_ignored() -> None:
    """Series of that name may lack the label."""
    entry, _ = await _entry({"mem": {"current": 5.0}}, more=({"kernel_id": ONE},))
    assert ["mem"] == list(entry)


@pytest.mark.parametrize("notes", [{"warnings": ("http://10.0.0.1 is down", "and 3"), "partial": True}, {"partial": True}])
async def test_a_partial_answer_makes_its_batch_incomplete(notes: Any) -> None:
    """All kernels of the batch are incomplete at every position, with or without samples; other batches are not."""
    figures = {(kernel, "mem", "current"): 5.0 for kernel in IDS[:400]}
    backend = LiveBackend(figures, notes={IDS[300]: notes})
    batch = await KernelLiveStatService(backend).fetch_kernel_statistics([*IDS, IDS[300]])
    assert dict.fromkeys([*range(256, 512), 600], LACKS) == batch.problems
    assert [True] * 400 + [False] * 200 + [True] == [entry is not None for entry in batch]


async def test_one_problem_has_all_reasons() -> None:
    """A partial answer and values that are not finite are in one message; infos are not."""
    batch = await _read({"mem": {"current": NAN}}, notes={ONE: {"warnings": ("w",), "infos": ("i",)}})
    assert {0: Problem(ProblemKind.INCOMPLETE, message=f"{LACKS.message}; mem is not finite")} == batch.problems
    assert {} == (await _read({"mem": {"current": 1.0}}, notes={ONE: {"infos": ("i",)}})).problems
