"""The service while its store and its metric servers are away for an hour, and when they are back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import pytest
from tests.simulation.metric_world import KERNELS
from tests.simulation.planting import Plant, is_found
from tests.simulation.seeds import for_seeds
from tests.simulation.service_scenario import Away, running_service, service_scenario
from tests.simulation.traces import traced

from statcore.errors import StatcoreError
from statcore.model import KernelRecord, StatisticsBatch
from statcore.services import HealthReport
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.prometheus_faults import hang
from statcore_memory import MemoryInventory
from statcore_valkey import ValkeyStatistics
from statcore_web.application import Readiness

HOUR_S: Final = 3_600.0
_MOST: Final = 40
"""More tasks, connections or timers than a few callers can need, however long stores are away; 24 were seen."""


def test_an_hour_without_stores_is_errors_and_then_answers() -> None:
    """Not ready, errors and never zero, all the time; right within a minute, and few tasks are held."""
    _check_service("both", HOUR_S, 0)


@for_seeds(3)
def test_stores_that_are_away_are_errors_and_then_answers(part: range) -> None:
    """The same with one of the stores or both, in as many ways as there are seeds."""
    stores: tuple[Away, ...] = ("metrics", "store", "both")
    for seed in part:
        _check_service(stores[seed % 3], 300.0, seed)


def _check_service(away: Away, away_s: float, seed: int) -> None:
    counts = simulate(partial(service_scenario, away=away, away_s=away_s), seed=seed)
    for held in ("tasks", "connections", "timers"):
        assert max(getattr(count, held) for count in counts) <= _MOST, held


def test_a_server_that_hangs_costs_no_more_than_its_fields() -> None:
    """Where the host knows the objects, live statistics are answered although no metric server ever answers."""

    async def scenario(simulation: Simulation) -> None:
        inventory = MemoryInventory()
        for kernel in KERNELS:
            labels = kernel.labels
            record = KernelRecord(
                kernel_id=labels["kernel_id"], session_id=labels["session_id"], agent_id=labels["agent_id"]
            )
            inventory.register_kernel(record)
        async with running_service(simulation, inventory=inventory) as world:
            for member in world.members:
                member.fall_sick([hang], 1.0)
            answer = await world.ask(
                """{ compute_session_list { items { kernels { live_stat(fields: ["mem.current"]) }
                utilization(metric_name: "mem", start: "2026-11-22T10:00:00Z", end: "2026-11-22T10:00:00Z", step: "1m")
                { series { values } } } } }"""
            )
        sessions = answer["data"]["compute_session_list"]["items"]
        assert [None] * len(sessions) == [session["utilization"] for session in sessions]
        assert {"TimedOutError"} == {error["extensions"]["code"] for error in answer["errors"]}
        found = [kernel for session in sessions for kernel in session["kernels"]]
        assert len(KERNELS) == len(found)
        assert None not in [kernel["live_stat"] for kernel in found]

    simulate(scenario, seed=1)


def readiness_is_assumed(patch: pytest.MonkeyPatch) -> None:
    """The service says that it is ready, and asks nobody."""

    async def report(self: Readiness) -> HealthReport:
        return HealthReport(dict.fromkeys(self.ports))

    patch.setattr(Readiness, "report", report)


def a_store_that_is_away_is_empty(patch: pytest.MonkeyPatch) -> None:
    """Kernels have no statistics where the store does not answer."""
    _instead_of_failing(patch, "fetch_kernel_statistics", lambda _: None)


def a_store_that_is_away_has_zeros(patch: pytest.MonkeyPatch) -> None:
    """Sessions have no requests where the store does not answer."""
    _instead_of_failing(patch, "fetch_inference_metrics", lambda _: {"requests": 0, "last_response_ms": 0})


def a_failure_is_kept(patch: pytest.MonkeyPatch) -> None:
    """A store that failed once is never asked again."""
    fetch = ValkeyStatistics.fetch_kernel_statistics
    failures: list[StatcoreError] = []

    async def fetch_until_it_fails(self: ValkeyStatistics, ids: Sequence[str], /) -> StatisticsBatch:
        if failures:
            raise failures[0]
        try:
            return await fetch(self, ids)
        except StatcoreError as error:
            failures.append(error)
            raise

    patch.setattr(ValkeyStatistics, "fetch_kernel_statistics", fetch_until_it_fails)


def each_failure_leaves_a_task(patch: pytest.MonkeyPatch) -> None:
    """A port that does not answer is watched in the background, by one more task each time."""
    report = Readiness.report
    tasks: list[asyncio.Task[None]] = []

    async def report_and_watch(self: Readiness) -> HealthReport:
        tasks.append(asyncio.create_task(asyncio.sleep(HOUR_S)))
        return await report(self)

    patch.setattr(Readiness, "report", report_and_watch)


def _instead_of_failing(patch: pytest.MonkeyPatch, method: str, entry: Callable[[str], Any]) -> None:
    fetch = getattr(ValkeyStatistics, method)

    async def never_fail(self: ValkeyStatistics, ids: Sequence[str], /) -> StatisticsBatch:
        try:
            batch: StatisticsBatch = await fetch(self, ids)
        except StatcoreError:
            return StatisticsBatch([entry(id_) for id_ in ids])
        return batch

    patch.setattr(ValkeyStatistics, method, never_fail)


@pytest.mark.parametrize(
    ("away", "plant"),
    [
        ("both", readiness_is_assumed),
        ("both", each_failure_leaves_a_task),
        ("store", a_store_that_is_away_is_empty),
        ("store", a_store_that_is_away_has_zeros),
        ("store", a_failure_is_kept),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_planted_fault_is_found(away: Away, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the service, or of what it reads by, fails the scenario."""
    plant(monkeypatch)
    assert is_found(partial(_check_service, away, 600.0, 0))


def test_a_seed_is_one_run_in_every_process() -> None:
    """Every event has the same time in processes whose hashes of text differ."""
    program = (
        "from functools import partial; from tests.simulation.service_scenario import service_scenario as scenario;"
        "from statcore.testing.simulation import simulate;"
        "simulate(partial(scenario, away='both', away_s=120.0), seed=1)"
    )
    first, second = (traced(program, hash_seed=hash_seed) for hash_seed in (1, 2))
    assert len(first) > 100
    assert first == second
