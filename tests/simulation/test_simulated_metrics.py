"""The Prometheus client against simulated servers that fail by a seed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import pytest
from tests.simulation.metric_plants import PLANTS
from tests.simulation.metric_world import CREDENTIAL, SETTLE_S, Member
from tests.simulation.metrics_scenario import metrics_scenario
from tests.simulation.planting import Plant, is_found
from tests.simulation.seeds import RecordProperty, check_answers, for_seeds
from tests.simulation.traces import traced

from statcore.errors import TimedOutError, UnavailableError
from statcore.testing.simulation import Path, Simulation, simulate
from statcore.testing.simulation.prometheus import SimulatedPrometheus
from statcore.testing.simulation.prometheus_faults import TooManyRequests
from statcore_memory import MemoryMetrics
from statcore_prometheus import PrometheusClient, PrometheusOptions

_SEEDS_TO_FIND = 100


def test_each_server_of_a_pair_gets_the_pause_that_it_asks_for() -> None:
    """One server asks for a second, the other for five: neither is asked earlier, and each as soon as it may be."""

    async def scenario(simulation: Simulation) -> list[list[float]]:
        pauses_s = {"quick": 1, "slow": 5}
        servers = [SimulatedPrometheus(simulation.network, name, MemoryMetrics()) for name in pauses_s]
        for server, pause_s in zip(servers, pauses_s.values(), strict=True):
            behaviour = TooManyRequests(pause_s)
            server.choose = lambda _, behaviour=behaviour: behaviour  # type: ignore[misc]
            server.start()
        options = PrometheusOptions(timeout_s=12, attempts=20, fallback_urls=[servers[1].url])
        async with aclosing(PrometheusClient(servers[0].url, options=options)) as client:
            with pytest.raises(UnavailableError, match=r"http://quick.*http://slow") as raised:
                await client.query("up")
            assert raised.value.retry_after_s is not None
            assert 0.9 < raised.value.retry_after_s <= 1.0
        return [[time_s for time_s, _ in server.requests] for server in servers]

    quick, slow = simulate(scenario, seed=1)
    assert [1] * 11 == [round(later - earlier) for earlier, later in pairwise(quick)]
    assert [5, 5] == [round(later - earlier) for earlier, later in pairwise(slow)]
    assert all(later - earlier >= 5 for earlier, later in pairwise(slow))


def test_only_a_request_that_was_sent_during_a_pause_is_too_early() -> None:
    """The model complains about a request that arrives during a pause, but not if it was on its way before."""

    async def scenario(simulation: Simulation) -> list[tuple[int, int]]:
        member = Member(simulation, "slow")
        member.server.start()
        member.server.host.path = Path(latency_s=(3.0, 3.0))
        seen: list[tuple[int, int]] = []

        async def ask(timeout_s: float) -> None:
            options = PrometheusOptions(timeout_s=timeout_s, attempts=1)
            async with aclosing(PrometheusClient(f"http://{CREDENTIAL}@slow:9090", options=options)) as client:
                with pytest.raises((TimedOutError, UnavailableError)):
                    await client.query("up", time=datetime(2026, 11, 30, tzinfo=UTC))
            seen.append((len(member.server.requests), len(member.complaints)))

        await ask(timeout_s=4)
        await member.heal()
        member.fall_sick([TooManyRequests(30)], 1.0)
        await ask(timeout_s=1)
        await asyncio.sleep(SETTLE_S)
        await ask(timeout_s=1)
        return seen

    assert [(0, 0), (1, 0), (3, 1)] == simulate(scenario, seed=1)


@for_seeds(25)
def test_answers_are_right_whatever_fails(part: range, record_property: RecordProperty) -> None:
    """Every sample is that of its series and time, nothing is missing without a word, and everything recovers."""
    check_answers(lambda seed: simulate(metrics_scenario, seed=seed), part, record_property)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the adapter fails the scenario with one of the first seeds."""
    plant(monkeypatch)
    assert any(is_found(partial(simulate, metrics_scenario, seed=seed)) for seed in range(_SEEDS_TO_FIND))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_is_one_run_in_every_process(seed: int) -> None:
    """Every event has the same time in processes whose hashes of text differ."""
    program = (
        "from tests.simulation.metrics_scenario import metrics_scenario as scenario;"
        f"from statcore.testing.simulation import simulate; simulate(scenario, seed={seed})"
    )
    first, second = (traced(program, hash_seed=hash_seed) for hash_seed in (1, 2))
    assert len(first) > 100
    assert first == second
