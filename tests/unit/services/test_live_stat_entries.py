"""What the service makes of the answers: the maps, what is left out of them, and what is doubtful."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import pytest
from tests.unit.services.live_backend import LiveBackend

from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.services import KernelLiveStatService

ONE, TWO = (str(UUID(int=number)) for number in (1, 2))
IDS = [str(UUID(int=number)) for number in range(600)]
UNBOUNDED = "9223372036854775807"
NAN, INF = math.nan, math.inf


async def _read(figures: dict[str, dict[str, float]], **options: Any) -> StatisticsBatch:
    """Return what is said of a kernel of which there are these figures, by metric and kind."""
    planted = {(ONE, metric, kind): value for metric, kinds in figures.items() for kind, value in kinds.items()}
    return await KernelLiveStatService(LiveBackend(planted, **options)).fetch_kernel_statistics([ONE])


@pytest.mark.parametrize(
    ("metric", "figures", "expected"),
    [
        (
            "mem",
            {"current": 1000.0, "capacity": 8000.0, "max": 2000.0, "avg": 1500.12345, "rate_max": 9.0},
            {
                "current": "1000",
                "capacity": "8000",
                "pct": "12.50",
                "unit_hint": "bytes",
                "stats.max": "2000",
                "stats.avg": "1500.123",
            },
        ),
        (
            "cpu_util",
            {"current": 5e6, "capacity": 1000.0, "rate_now": 250.0, "max": 5e6, "rate_max": 500.5, "rate_avg": 300.0},
            {
                "current": "250",
                "capacity": "1000",
                "pct": "25.00",
                "unit_hint": "percent",
                "stats.max": "500.5",
                "stats.avg": "300",
                "stats.rate": "250",
            },
        ),
        (
            "net_rx",
            {"current": 5e6, "rate_now": 1 / 3, "rate_max": 2.0, "rate_avg": 1.0},
            {
                "current": "0.333",
                "capacity": UNBOUNDED,
                "pct": "0.00",
                "unit_hint": "bps",
                "stats.max": "2",
                "stats.avg": "1",
                "stats.rate": "0.333",
            },
        ),
        *(
            (
                metric,
                {"current": 5e6, "max": 5e6, "avg": 4e6},
                {"current": "5000000", "capacity": UNBOUNDED, "pct": "0.00", "unit_hint": unit},
            )
            for metric, unit in (("cpu_used", "msec"), ("io_read", "bytes"), ("io_write", "bytes"))
        ),
        (
            "cuda_util",
            {"current": 66.6666, "capacity": 100.0},
            {"current": "66.667", "capacity": "100", "pct": "66.67", "unit_hint": "percent"},
        ),
        (
            "cuda_mem",
            {"current": -0.0, "capacity": 100.0},
            {"current": "0", "capacity": "100", "pct": "0.00", "unit_hint": "bytes"},
        ),
        (
            "temperature",
            {"current": 40.0, "capacity": 0.0, "avg": 35.0},
            {"current": "40", "capacity": "0", "pct": "0.00", "unit_hint": "", "stats.avg": "35"},
        ),
    ],
)
async def test_a_metric_is_the_map_that_the_store_would_have(
    metric: str, figures: dict[str, float], expected: dict[str, str]
) -> None:
    """Gauges, counters shown as their rate, other counters, accelerators, and what nobody knows."""
    (entry,) = await _read({metric: figures})
    assert {metric: expected} == entry


@pytest.mark.parametrize("metric", ["cpu_util", "net_rx", "net_tx"])
async def test_a_counter_without_a_rate_has_no_current_value(metric: str) -> None:
    """It is left out, and never shown as it is counted; that is nothing to doubt."""
    batch = await _read({metric: {"current": 5e6, "capacity": 1000.0, "max": 5e6}, "mem": {"current": 1.0}})
    (entry,) = batch
    assert entry is not None
    assert ["mem"] == list(entry)
    assert {} == batch.problems


async def test_what_lingers_of_a_kernel_that_has_ended_is_nothing() -> None:
    """Rates and maxima outlive the samples by the window; without a sample of now there is no entry."""
    batch = await _read({"cpu_util": {"rate_now": 5.0, "rate_max": 7.0}, "mem": {"max": 5.0, "avg": 4.0}})
    assert StatisticsBatch([None]) == batch


async def test_the_highest_is_never_below_the_current_value() -> None:
    """The server looks at the window in steps of its own, and may have missed what is now."""
    (entry,) = await _read({"mem": {"current": 9.0, "max": 5.0, "avg": 4.0}})
    assert entry is not None
    assert "9" == entry["mem"]["stats.max"]


@pytest.mark.parametrize(
    ("metric", "figures"),
    [
        ("mem", {"current": NAN, "capacity": 8000.0, "max": 5.0}),
        ("mem", {"current": -INF, "max": 5.0}),
        ("mem", {"current": 5.0, "capacity": INF}),
        ("mem", {"current": 5.0, "capacity": NAN}),
        ("mem", {"current": 1e308, "capacity": 0.001}),
        ("net_tx", {"current": 5.0, "rate_now": NAN}),
        ("cpu_util", {"current": 5.0, "rate_now": 5.0, "capacity": INF}),
    ],
)
async def test_a_metric_that_is_not_finite_is_left_out_and_told(metric: str, figures: dict[str, float]) -> None:
    """Neither 0, nor "no limit", nor NaN: none of these is known. The other metrics stay."""
    batch = await _read({metric: figures, "io_read": {"current": 7.0}})
    (entry,) = batch
    assert entry is not None
    assert ["io_read"] == list(entry)
    assert {0: Problem(ProblemKind.INCOMPLETE, message=f"{metric} is not finite")} == batch.problems


async def test_a_statistic_that_is_not_finite_is_left_out() -> None:
    """Readers are used to some being absent; the current value stands for itself."""
    batch = await _read({"mem": {"current": 5.0, "max": INF, "avg": NAN}, "cuda_mem": {"current": 5.0, "max": NAN}})
    (entry,) = batch
    assert entry is not None
    assert [[], []] == [[name for name in metric if name.startswith("stats.")] for metric in entry.values()]
    assert {} == batch.problems


async def test_a_sample_of_no_metric_is_none_of_ours() -> None:
    """A series of that name without the label that tells metrics apart."""
    batch = await _read({"mem": {"current": 5.0}}, more=({"kernel_id": ONE},))
    (entry,) = batch
    assert entry is not None
    assert ["mem"] == list(entry)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"warnings": ("store 2 is down",)}, "store 2 is down"),
        ({"warnings": ("store 2 is down", "and 3"), "partial": True}, "store 2 is down; and 3"),
        ({"partial": True}, "the metric backend says that its answer is partial"),
    ],
)
async def test_an_answer_that_may_lack_something_makes_its_batch_doubtful(notes: Any, message: str) -> None:
    """All kernels that it was about, with or without samples, at every place; those of other batches are not."""
    figures = {(kernel, "mem", "current"): 5.0 for kernel in IDS[:400]}
    backend = LiveBackend(figures, notes={IDS[300]: notes})
    batch = await KernelLiveStatService(backend).fetch_kernel_statistics([*IDS, IDS[300]])
    doubt = Problem(ProblemKind.INCOMPLETE, message=message)
    assert dict.fromkeys([*range(256, 512), 600], doubt) == batch.problems
    assert [True] * 400 + [False] * 200 + [True] == [entry is not None for entry in batch]


async def test_doubts_and_what_is_not_finite_are_told_together() -> None:
    """One problem has a place for both; remarks that never mean missing data are none."""
    batch = await _read({"mem": {"current": NAN}}, notes={ONE: {"warnings": ("w",), "infos": ("i",)}})
    assert {0: Problem(ProblemKind.INCOMPLETE, message="w; mem is not finite")} == batch.problems
    assert {} == (await _read({"mem": {"current": 1.0}}, notes={ONE: {"infos": ("i",)}})).problems
