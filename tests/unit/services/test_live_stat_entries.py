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


def shown(current: str, capacity: str, pct: str, unit: str, **stats: str) -> dict[str, str | None]:
    """Return the map of a metric with all keys that agents write; the statistics are "0" unless given."""
    zeros = dict.fromkeys(("min", "max", "sum", "avg", "diff", "rate"), "0")
    flat = {f"stats.{name}": text for name, text in (zeros | stats).items()}
    return {"current": current, "capacity": capacity, "pct": pct, "unit_hint": unit, **flat, "stats.version": None}


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
            (
                metric,
                {"current": 5e6, "capacity": 40.0, "max": 5e6, "avg": 4e6},
                shown("5000000", UNBOUNDED, "0.00", unit),
            )
            for metric, unit in (("cpu_used", "msec"), ("io_read", "bytes"), ("io_write", "bytes"))
        ),
        (
            "cuda_util",
            {"current": 66.6666, "capacity": 100.0, "max": 70.0, "avg": 60.0},
            shown("66.667", "100", "66.67", "percent", max="70", avg="60"),
        ),
        (
            "cuda_mem",
            {"current": -0.0, "capacity": 100.0, "max": 0.0, "avg": 0.0},
            shown("0", "100", "0.00", "bytes"),
        ),
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
        ("mem", {"current": 1e308, "capacity": 0.001}),
        ("net_tx", {"current": 5.0, "rate_now": NAN}),
    ],
)
async def test_a_metric_that_is_not_finite_is_left_out_and_told(metric: str, figures: dict[str, float]) -> None:
    """Neither 0, nor "no limit", nor NaN: none of these is known. The other metrics stay."""
    batch = await _read({metric: figures, "io_read": {"current": 7.0}})
    (entry,) = batch
    assert entry is not None
    assert ["io_read"] == list(entry)
    assert {0: Problem(ProblemKind.INCOMPLETE, message=f"{metric} is not finite")} == batch.problems


async def test_an_infinite_capacity_is_no_bound() -> None:
    """The metric is shown without one, and nothing is doubtful: a missing limit is no fault."""
    batch = await _read({"mem": {"current": 5.0, "capacity": INF}, "cpu_util": {"current": 9.0, "rate_now": 5.0}})
    (entry,) = batch
    assert entry is not None
    assert ["5", UNBOUNDED, "0.00"] == [entry["mem"][name] for name in ("current", "capacity", "pct")]
    assert {} == batch.problems


@pytest.mark.parametrize("capacity", [NAN, -INF])
async def test_a_capacity_that_is_no_number_is_told_and_costs_the_percentage_alone(capacity: float) -> None:
    """The current value stands; of a metric without a bound nobody looks at the capacity."""
    batch = await _read({"mem": {"current": 5.0, "capacity": capacity}, "io_read": {"current": 7.0, "capacity": capacity}})
    (entry,) = batch
    assert entry is not None
    assert [("5", UNBOUNDED), ("7", UNBOUNDED)] == [(entry[name]["current"], entry[name]["capacity"]) for name in entry]
    assert {0: Problem(ProblemKind.INCOMPLETE, message="the capacity of mem is not finite")} == batch.problems


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
async def test_maximum_and_average_are_of_what_there_is(figures: dict[str, float], expected: dict[str, str]) -> None:
    """A kernel younger than a step has its current value; what is not finite is left out, and takes no other with it."""
    batch = await _read({"mem": figures})
    (entry,) = batch
    assert entry is not None
    found = {name: entry["mem"].get(name) for name in ("stats.max", "stats.avg") if name in entry["mem"]}
    assert expected == found
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
