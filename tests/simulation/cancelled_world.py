"""The cluster of `tests.support.scoped_world` on simulated servers, and the ports that read from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any, Final
from unittest.mock import patch

import aiohttp
import attrs
from redis.asyncio import Redis
from tests.support.scoped_world import AGENTS, ENDPOINTS, KERNELS, START, fill, world

import statcore_memory.pace
import statcore_memory.statistics
from statcore.model import QueryTimeRange
from statcore.ports import StatisticsSinkPort
from statcore.queriers import ContainerMetricQuerier
from statcore.runtime import Runtime
from statcore.statistics import StatisticsRepositories
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.prometheus import ApiRequest, HttpAnswer, SimulatedPrometheus
from statcore.testing.simulation.valkey import SimulatedValkey
from statcore.testing.simulation.valkey_cluster import SimulatedCluster, key_slot
from statcore.testing.simulation.valkey_sentinels import SimulatedSentinels
from statcore_memory import MemoryMetrics, MemoryStatistics
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

VALKEY = "valkey://valkey"
PROMETHEUS = "http://prometheus:9090"
NOW = START + timedelta(minutes=3)
RANGE = QueryTimeRange(start=START, end=NOW, step="1m")


@attrs.frozen(kw_only=True)
class Ports(Runtime):
    """The open ports, and a writer to the store."""

    sink: StatisticsSinkPort


@cache
def in_memory() -> Runtime:
    """Return the cluster in memory; nothing changes it."""
    return asyncio.run(world(KERNELS, ENDPOINTS, AGENTS))


@cache
def stored() -> Sequence[Mapping[bytes, Any]]:
    """Return what the store has, by database and key."""

    async def scenario(simulation: Simulation) -> list[dict[bytes, Any]]:
        server = SimulatedValkey(simulation.network, "valkey")
        server.start()
        sink = ValkeyStatisticsSink.from_url(VALKEY)
        await fill(sink, KERNELS, ENDPOINTS, AGENTS)
        await sink.aclose()
        return [{key: value.content for key, value in database.values.items()} for database in server.databases]

    return simulate(scenario, seed=1)


def stored_in_one() -> dict[str, bytes]:
    """Return what the store has in all databases."""
    return {key.decode(): content for contents in stored() for key, content in contents.items()}


def prepare() -> None:
    """Make what the runs share, which they cannot make themselves, since each has an event loop of its own."""
    in_memory()
    stored()


def start_valkey(simulation: Simulation) -> SimulatedValkey:
    """Start the store."""
    server = SimulatedValkey(simulation.network, "valkey")
    for database, contents in zip(server.databases, stored(), strict=True):
        for key, content in contents.items():
            database.set(key, content)
    server.start()
    return server


_ANSWERS: dict[object, HttpAnswer] = {}
_MOST_ANSWERS: Final = 1_000
"""Runs of one call ask the same; answers for all calls would take more than a gigabyte."""


class RememberingPrometheus(SimulatedPrometheus):
    """A server that evaluates each query once for all runs; its samples do not change."""

    async def right_answer(self, request: ApiRequest) -> HttpAnswer:
        """Return the answer to a request."""
        question = request.path, *(pair for pair in request.parameters if pair[0] != "timeout")
        if question not in _ANSWERS:
            if len(_ANSWERS) == _MOST_ANSWERS:
                _ANSWERS.clear()
            _ANSWERS[question] = await super().right_answer(request)
        return _ANSWERS[question]


def start_prometheus(simulation: Simulation) -> None:
    """Start the metric backend."""
    backend = in_memory().metrics
    assert isinstance(backend, MemoryMetrics)
    RememberingPrometheus(simulation.network, "prometheus", backend).start()


def prometheus_options(connections: int, **options: Any) -> PrometheusOptions:
    """Return options by which a range query has several requests."""
    return PrometheusOptions(max_connections=connections, max_points=3, **options)


@asynccontextmanager
async def on_servers(
    simulation: Simulation, connections: int, *, url: str = VALKEY, **options: Any
) -> AsyncIterator[Ports]:
    """Read from a Valkey and a Prometheus; what exists is known from memory.

    Args:
        simulation: the simulation.
        connections: how many connections a client has to a server at most.
        url: the store, which is started before unless it is a single server.
        options: further options of the store.
    """
    if url == VALKEY:
        start_valkey(simulation)
    start_prometheus(simulation)
    store_options = ValkeyOptions(pool_size=connections, **options)
    store = ValkeyStatistics.from_url(url, options=store_options)
    sink = ValkeyStatisticsSink.from_url(url, options=store_options)
    metrics = PrometheusClient(PROMETHEUS, options=prometheus_options(connections))
    try:
        yield Ports(
            statistics=store,
            repository=StatisticsRepositories.create(store).repository,
            metrics=metrics,
            inventory=in_memory().inventory,
            sink=sink,
        )
    finally:
        for port in (store, sink, metrics):
            await port.aclose()


@asynccontextmanager
async def on_hosts_clients(simulation: Simulation, connections: int) -> AsyncIterator[Ports]:
    """Read through clients of the host, which have time-outs of their own."""
    async with on_servers(simulation, connections) as ports, AsyncExitStack() as stack:
        settings: dict[str, Any] = {"host": "valkey", "max_connections": connections, "socket_timeout": 5, "protocol": 2}
        clients = [await stack.enter_async_context(Redis(db=number, **settings)) for number in (0, 2)]
        options = ValkeyOptions(pool_size=connections)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield attrs.evolve(
            ports,
            statistics=ValkeyStatistics.from_clients(*clients, options=options),
            sink=ValkeyStatisticsSink.from_clients(*clients, options=options),
            metrics=PrometheusClient(PROMETHEUS, options=prometheus_options(connections), session=session),
        )


@asynccontextmanager
async def on_cluster(simulation: Simulation, connections: int) -> AsyncIterator[Ports]:
    """Read from a cluster, of which a slot moves."""
    cluster = SimulatedCluster(simulation.network, simulation.random)
    cluster.start()
    cluster.store(stored_in_one())
    moving = KERNELS[2].kernel_id
    slots = [key_slot(moving.encode())]
    source = cluster.primary_of(slots[0])
    target = next(node for node in cluster.nodes if node.primary is None and node is not source)
    cluster.begin_move(slots, source, target)
    cluster.move_keys([moving], source, target)
    try:
        async with on_servers(simulation, connections, url=cluster.url, live_db=0) as ports:
            yield ports
    finally:
        cluster.stop()


@asynccontextmanager
async def on_sentinels(simulation: Simulation, connections: int) -> AsyncIterator[Ports]:
    """Read from the replicas and the primary of sentinels."""
    sentinels = SimulatedSentinels(simulation.network, simulation.random)
    sentinels.start()
    sentinels.store(stored_in_one())
    try:
        async with on_servers(simulation, connections, url=sentinels.url, live_db=0, read_from_replicas=True) as ports:
            yield ports
    finally:
        sentinels.stop()


@asynccontextmanager
async def on_pair(simulation: Simulation, connections: int) -> AsyncIterator[Ports]:
    """Read from an HA pair, whose first member cannot be reached until the network is healed."""
    async with on_servers(simulation, connections) as ports:
        simulation.network.host("first").cut()
        options = prometheus_options(connections, fallback_urls=[PROMETHEUS], clock=asyncio.get_running_loop().time)
        pair = PrometheusClient("http://first:9090", options=options)
        try:
            yield attrs.evolve(ports, metrics=pair)
        finally:
            await pair.aclose()


@asynccontextmanager
async def on_memory(_: Simulation, __: int) -> AsyncIterator[Ports]:
    """Read from memory, which gives way to the event loop after each entry and sample."""
    store = MemoryStatistics(clock=lambda: 0.0)
    await fill(store, KERNELS, ENDPOINTS, AGENTS)
    known = in_memory()
    repository = StatisticsRepositories.create(store).repository
    with (
        patch.object(statcore_memory.statistics, "_ENTRIES_PER_TURN", 1),
        patch.object(statcore_memory.pace, "_SAMPLES_PER_TURN", 0),
    ):
        yield Ports(statistics=store, repository=repository, metrics=known.metrics, inventory=known.inventory, sink=store)


def querier(number: int) -> ContainerMetricQuerier:
    """Return the querier of a kernel, whose values are the number times the minute."""
    return ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=KERNELS[number].kernel_id)


WITNESSES: Sequence[Callable[[Ports], Awaitable[object]]] = [
    lambda ports: ports.statistics.fetch_kernel_statistics([KERNELS[3].kernel_id]),
    lambda ports: ports.statistics.fetch_kernel_statistics([KERNELS[4].kernel_id, KERNELS[5].kernel_id]),
    lambda ports: ports.statistics.fetch_kernel_statistics([KERNELS[6].kernel_id]),
    lambda ports: ports.metrics.query_utilization_now(querier(6), time=NOW),
    lambda ports: ports.metrics.query_utilization_now(querier(7), time=NOW),
    lambda ports: ports.metrics.query_utilization_now(querier(8), time=NOW),
]
"""Reads of the ports, whose answers show whether a connection still has the answer to another question."""
