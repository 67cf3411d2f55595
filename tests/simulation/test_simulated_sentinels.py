"""The simulated sentinels answer as real ones, and the store answers right in some rare orders of events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from tests.simulation.command_scripts import Step, plain, replies, steps
from tests.support.valkey_topologies import ValkeySentinels

from statcore.errors import UnavailableError
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.valkey_sentinels import SimulatedSentinels
from statcore_valkey import ValkeyOptions, ValkeyStatistics

_SETTLED_S = 30.0
"""Simulated seconds after which all servers have the role that the sentinels gave them."""
_FIELDS = ("name", "ip", "port", "flags", "role-reported", "config-epoch", "num-slaves", "master-link-status")


def _simulated(script: Sequence[Step], *, fails_over: bool = False) -> list[Any]:
    async def scenario(simulation: Simulation) -> list[Any]:
        topology = SimulatedSentinels(simulation.network, simulation.random)
        topology.start()
        try:
            if fails_over:
                assert topology.fail_over(topology.sentinels[0])
            await asyncio.sleep(_SETTLED_S)
            replica = next(server for server in topology.servers if server.primary is not None)
            places = {"primary": topology.primary.address, "replica": replica.address}
            names = {
                name.encode(): "host" for name, _ in (*places.values(), *(server.address for server in topology.servers))
            }
            names |= {b"6379": "port"}
            return [
                plain(answer, names) for answer in await replies({"sentinel": ("sentinel-1", 26_379), **places}, script)
            ]
        finally:
            topology.stop()

    return simulate(scenario, seed=1)


def _real(topology: ValkeySentinels, script: Sequence[Step]) -> list[Any]:
    nodes = {"primary": topology.primary, "replica": topology.replicas[0], "sentinel": topology.sentinels[1]}
    names = {b"127.0.0.1": "host"} | {b"%d" % server.announced_port: "port" for server in topology.servers}
    places = {name: ("127.0.0.1", node.port) for name, node in nodes.items()}
    return [plain(answer, names) for answer in asyncio.run(replies(places, script))]


def _essence(answer: Any) -> Any:
    """Return the fields that a simulated sentinel has, of one server or several."""
    if isinstance(answer, list) and answer and isinstance(answer[0], list):
        return sorted(map(_essence, answer))
    if isinstance(answer, list) and answer[:1] == ["name"]:
        fields = dict(zip(answer[::2], answer[1::2], strict=True))
        if "config-epoch" in fields:  # each attempt at a fail-over has its own
            fields["config-epoch"] = fields["config-epoch"] != "0"
        return [(name, value) for name, value in fields.items() if name in _FIELDS]
    if isinstance(answer, list) and answer[:1] == ["server"]:
        return answer[:2], answer[4:6], answer[8:]
    return answer


SENTINEL = steps(
    "sentinel",
    *(f"SENTINEL {kind} mymaster" for kind in ("GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS", "SLAVES")),
    *(f"SENTINEL {kind} nobody" for kind in ("GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS", "NONSENSE")),
    *(
        "SENTINEL MASTERS",
        "SENTINEL MASTER",
        "SENTINEL",
        "PING",
        "GET a",
        "SELECT 0",
        "HELLO 2",
        "CLIENT SETINFO LIB-NAME a",
    ),
)
SERVERS = [
    *steps("primary", "HELLO 2", "SET a 1", "GET a", "READONLY", "CLUSTER SLOTS"),
    *steps("replica", "HELLO 2", "SET a 1", "DEL a", "READONLY", "SET a 1", "FLUSHALL", "MGET b"),
]


def test_the_replies_are_those_of_real_sentinels(sentinels: ValkeySentinels) -> None:
    """Of a sentinel, a primary and a replica, before and after a fail-over."""
    script = [*SENTINEL, *SERVERS]
    assert list(map(_essence, _real(sentinels, script))) == list(map(_essence, _simulated(script)))
    sentinels.fail_over()
    sentinels.wait_until_whole()
    assert list(map(_essence, _real(sentinels, script))) == list(map(_essence, _simulated(script, fails_over=True)))


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_sentinel_that_names_another_server_is_outvoted(liar: int) -> None:
    """It has seen as many fail-overs as the others; in a fail-over, one that knows more is believed."""

    async def scenario(simulation: Simulation) -> None:
        topology = SimulatedSentinels(simulation.network, simulation.random)
        topology.start()
        topology.store({"k": b"\x80"})
        topology.sentinels[liar].primary = topology.servers[1]
        async with aclosing(ValkeyStatistics.from_url(topology.url)) as store:
            assert [{}] == list(await store.fetch_kernel_statistics(["k"]))
        topology.stop()

    simulate(scenario, seed=1)


def test_one_cut_connection_costs_no_key() -> None:
    """Replicas have answered for other keys; a new connection to the primary waits for the sentinels."""

    async def scenario(simulation: Simulation) -> None:
        topology = SimulatedSentinels(simulation.network, simulation.random)
        topology.start()
        topology.store({"k": b"\x80"})
        options = ValkeyOptions(read_from_replicas=True)
        async with aclosing(ValkeyStatistics.from_url(topology.url, options=options)) as store:
            await store.fetch_kernel_statistics(["missing"])
            await store.ping()
            for end in topology.primary.host.connections():
                end.abort()
            batch = await store.fetch_kernel_statistics(["k", "missing"])
            assert not batch.problems
        topology.stop()

    simulate(scenario, seed=1)


def test_a_cancelled_call_leaves_no_connection_that_was_not_confirmed() -> None:
    """It was cancelled while the sentinels were asked; the server is a replica by now, and has lost its data."""

    async def scenario(simulation: Simulation) -> None:
        topology = SimulatedSentinels(simulation.network, simulation.random)
        topology.start()
        topology.store({"k": b"\x80"})
        async with aclosing(ValkeyStatistics.from_url(topology.url, options=ValkeyOptions(timeout_s=1.0))) as store:
            assert [{}] == list(await store.fetch_kernel_statistics(["k"]))
            old = topology.primary
            topology.fail_over(topology.sentinels[0])
            topology.primary.is_withholding = True
            old.follow(topology.primary)
            old.restart(with_data=False)
            for sentinel in topology.sentinels:
                sentinel.hang()
            call = asyncio.create_task(store.fetch_kernel_statistics(["k"]))
            await asyncio.wait([call], timeout=0.1)
            call.cancel()
            await asyncio.wait([call])
            with pytest.raises(UnavailableError, match="role"):
                await store.fetch_kernel_statistics(["k"])
        topology.stop()

    simulate(scenario, seed=1)
