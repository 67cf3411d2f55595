"""Readers and writers of one simulated Valkey: right answers, or errors with a reason, under every fault and after it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from tests.simulation.planting import STORE_PLANTS, Plant, is_found
from tests.simulation.seeds import RecordProperty, check_answers, for_seeds
from tests.simulation.store_scenario import run_store
from tests.simulation.traces import traced

from statcore.errors import ClosedError
from statcore.testing.simulation import Simulation, simulate
from statcore_valkey import ValkeyStatistics

_GATE = 50
_SEEDS_TO_FIND = 100


@for_seeds(_GATE)
def test_answers_are_right_whatever_goes_wrong(part: range, record_property: RecordProperty) -> None:
    """No answer is of another key or time, no call is late, nothing is left; `SIMULATION_SEEDS` runs more seeds."""
    check_answers(run_store, part, record_property)


def test_the_gate_sees_calls_fail() -> None:
    """The faults are not so tame that every call succeeds anyway."""
    counts = [run_store(seed) for seed in range(5)]
    assert all(failures > 0 for _, failures in counts[:3])
    assert sum(answers for answers, _ in counts) > sum(failures for _, failures in counts)


def test_calls_that_connect_end_when_the_store_is_closed() -> None:
    """The server is not there to take connections; the calls end at once, in the order in which they began."""

    async def call(store: ValkeyStatistics, number: int, ended: list[int]) -> None:
        with pytest.raises(ClosedError):
            await store.fetch_kernel_statistics([f"kernel-{number}"])
        ended.append(number)

    async def scenario(simulation: Simulation) -> None:
        simulation.network.host("store").cut()
        store, ended = ValkeyStatistics.from_url("valkey://store:6379"), list[int]()
        calls = [asyncio.create_task(call(store, number, ended)) for number in range(16)]
        await asyncio.sleep(0.1)
        await store.aclose()
        await asyncio.wait(calls, timeout=0.001)
        assert [*range(16)] == ended

    simulate(scenario, seed=1)


@pytest.mark.parametrize("turns", range(6))
def test_a_store_is_closed_twice_while_a_call_connects(turns: int) -> None:
    """Closing it again does nothing more, however far the first closing has come."""

    async def scenario(simulation: Simulation) -> None:
        simulation.network.host("store").cut()
        store = ValkeyStatistics.from_url("valkey://store:6379")
        call = asyncio.create_task(store.fetch_kernel_statistics(["kernel"]))
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(store.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        await store.aclose()
        await closing
        with pytest.raises(ClosedError):
            await call

    simulate(scenario, seed=1)


@pytest.mark.parametrize("plant", STORE_PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the adapter is found by one of the first seeds."""
    plant(monkeypatch)
    assert any(is_found(partial(run_store, seed)) for seed in range(_SEEDS_TO_FIND))


@pytest.mark.parametrize("seed", [2, 3])
def test_a_seed_is_one_run_in_every_process(seed: int) -> None:
    """Every event has the same time in processes whose hashes of text differ."""
    program = f"from tests.simulation.store_scenario import run_store; print(run_store({seed}))"
    first, second = (traced(program, hash_seed=hash_seed) for hash_seed in (1, 2))
    assert len(first) > 1_000
    assert first == second
