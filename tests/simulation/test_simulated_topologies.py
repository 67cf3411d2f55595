"""Readers and writers of simulated clusters and sentinels: right answers, or a reason, under every fault and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import pytest
from tests.simulation.cluster_scenario import ClusterScenario, run_cluster
from tests.simulation.planting import Plant, is_found
from tests.simulation.seeds import RecordProperty, check_answers, for_seeds
from tests.simulation.sentinel_scenario import SentinelScenario, run_sentinels
from tests.simulation.topology_planting import CLUSTER_PLANTS, SENTINEL_PLANTS
from tests.simulation.topology_scenario import KEYS
from tests.simulation.traces import traced

from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.valkey_cluster import key_slot

Run: TypeAlias = Callable[[int], tuple[int, int]]

_FOUND_LATE: Final = frozenset(
    ["new_primaries_are_believed", "replicas_say_where_keys_are", "maps_do_not_age", "connections_are_not_confirmed"]
)
"""Plants that take up to a minute to find."""
_LONG: Final = [pytest.mark.long, pytest.mark.timeout(900)]
_PLANTS: Final = [
    pytest.param(run, plant, id=f"{run.__name__}-{plant.__name__}", marks=_LONG if plant.__name__ in _FOUND_LATE else [])
    for run, plants in ((run_cluster, CLUSTER_PLANTS), (run_sentinels, SENTINEL_PLANTS))
    for plant in plants
]


@pytest.mark.parametrize("run", [run_cluster, run_sentinels])
@for_seeds(20)
def test_answers_are_right_whatever_goes_wrong(run: Run, part: range, record_property: RecordProperty) -> None:
    """No answer is of another key or older than servers hold; what can be read is read; nothing is left."""
    check_answers(run, part, record_property)


@pytest.mark.parametrize(("run", "plant"), _PLANTS)
def test_a_planted_fault_is_found(run: Run, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the adapter is found by one of the first seeds."""
    plant(monkeypatch)
    assert any(is_found(partial(run, seed)) for seed in range(80))


@pytest.mark.parametrize("run", ["cluster_scenario.run_cluster", "sentinel_scenario.run_sentinels"])
def test_a_seed_is_one_run_in_every_process(run: str) -> None:
    """Every event has the same time in processes whose hashes of text differ."""
    module, _, name = run.partition(".")
    program = f"from tests.simulation.{module} import {name} as run; print(run(3))"
    first, second = (traced(program, hash_seed=hash_seed) for hash_seed in (1, 2))
    assert len(first) > 1_000
    assert first == second


def test_no_answer_is_due_while_a_slot_moves_to_a_replica() -> None:
    """Until its owner knows who replaced the node to which a slot moves, both redirect clients to each other."""

    async def scenario(simulation: Simulation) -> None:
        run = ClusterScenario(simulation, [])
        run.cluster.start()
        try:
            key, (source, target, *_) = KEYS[0].encode(), run.cluster.nodes
            run.cluster.begin_move([key_slot(key)], source, target)
            assert ([target], True) == ([*run.holders(key)], run.is_well(key))
            (replica,) = run.cluster.shard(target)[1:]
            replica.take_over()
            target.learn(replica)
            assert ([], False) == ([*run.holders(key)], run.is_well(key))
            source.learn(replica)
            assert ([replica], True) == ([*run.holders(key)], run.is_well(key))
        finally:
            run.cluster.stop()

    simulate(scenario, seed=1)


def test_a_value_that_only_a_former_primary_has_was_written() -> None:
    """A write arrives at a server that no client believes to be a primary any more; replicas may show its value later."""

    async def scenario(simulation: Simulation) -> None:
        run = SentinelScenario(simulation, [])
        run.topology.start()
        try:
            run.changed(None)
            key, (former, *_) = KEYS[0], run.sentinels.servers
            former.hang()
            run.write(former, key)
            assert [] == [*run.holders(key.encode())]
            assert ["1"] == [held.entry["value"]["current"] for held in run.ledger.written[key]]
        finally:
            run.topology.stop()

    simulate(scenario, seed=1)


def test_no_answer_to_a_new_store_is_due_once_all_nodes_have_left_its_addresses() -> None:
    """Nodes that are well elsewhere are found by one node at an address of the URL, unless it hangs."""

    async def scenario(simulation: Simulation) -> None:
        run = ClusterScenario(simulation, [])
        run.cluster.start()
        try:
            first, *others = run.cluster.nodes
            for node in others:
                node.move(f"{node.name}b")
            await asyncio.sleep(5.0)
            assert run.is_found()
            first.hang()
            assert not run.is_found()
            others[0].move("node-1")
            await asyncio.sleep(5.0)
            assert run.is_found()
        finally:
            run.cluster.stop()

    simulate(scenario, seed=1)
