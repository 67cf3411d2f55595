"""The service over HTTP, with its store and its metric servers away for an hour, and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, Final, Literal, TypeAlias
from unittest import mock

import aiohttp
import attrs
from aiohttp import web
from tests.simulation.metric_world import (
    KERNELS,
    Kernel,
    Member,
    Question,
    aiohttp_on_virtual_clock,
    is_close,
    wall_s,
    wall_time,
)

import statcore_web
from statcore.errors import StatcoreError
from statcore.model import MetricValue
from statcore.plugins import PluginRegistry
from statcore.ports import InventoryPort
from statcore.runtime import Settings, open_runtime, open_sink
from statcore.statistics.series_inventory import SeriesInventory
from statcore.testing.simulation import Simulation
from statcore.testing.simulation.prometheus_faults import answer_with_page, hang
from statcore.testing.simulation.valkey import SimulatedValkey
from statcore_web import application

Away: TypeAlias = Literal["store", "metrics", "both"]

AGENT_S: Final = 5.0
"""How often the agents write."""
RECOVERY_S: Final = 60.0
"""How long after the stores are back everything is right again, at most."""
_REQUEST_S: Final = 30.0
_READINESS_S: Final = 1.0
"""How long an answer about readiness holds."""
_STEP_S: Final = 5.0
_CALLERS: Final = 3
_SERVICE: Final = "http://service"
_HOSTS: Final = ("metrics-a", "metrics-b")
_SESSIONS: Final = """{ compute_session_list { total_count items {
    session_id inference_metrics kernels { kernel_id live_stat(fields: ["mem.current"]) } } } }"""
_KERNEL: Final = '{ kernel(kernel_id: "%s") { kernel_id live_stat(fields: ["mem.current"]) } }'
_UTILIZATION: Final = """{ utilization(querier: "container", start: "%s", end: "%s", step: "30s",
    selector: {metric_name: "mem", value_type: "current", kernel_id: "%s"}) { partial series { labels values } } }"""
_METRICS: Final = '{ available_metrics(querier: "container") }'


@cache
def registry() -> PluginRegistry:
    """Return the plugins, which are found with threads and so outside of the simulation."""
    return PluginRegistry.discover()


@attrs.frozen
class Counts:
    """What the process holds at a moment: tasks, ends of connections, timers."""

    tasks: int
    connections: int
    timers: int


@attrs.define(eq=False)
class World:
    """The stores, the agents' writer, the service and its callers."""

    simulation: Simulation
    store: SimulatedValkey
    members: tuple[Member, Member]
    http: aiohttp.ClientSession
    away: frozenset[str] = frozenset()
    counts: list[Counts] = attrs.field(factory=list[Counts])

    async def ask(self, query: str) -> dict[str, Any]:
        """Return the answer to a GraphQL query, which comes within the time of a request."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        async with self.http.post(f"{_SERVICE}/graphql", json={"query": query}) as response:
            document: dict[str, Any] = json.loads(await response.read())
        assert loop.time() - start_s <= _REQUEST_S + 0.1, f"{query} took {loop.time() - start_s} s"
        return document

    async def is_ready(self) -> tuple[int, dict[str, bool]]:
        """Return the status of /readyz, and which ports it says are healthy."""
        async with self.http.get(f"{_SERVICE}/readyz") as response:
            document = json.loads(await response.read())
        assert document["healthy"] == all(port["healthy"] for port in document["ports"].values())
        return response.status, {name: port["healthy"] for name, port in document["ports"].items()}

    async def check_right(self) -> None:
        """Check that everything is answered, and rightly."""
        assert await self.is_ready() == (200, {"statistics": True, "metrics": True})
        for query, check in _queries(self):
            document = await self.ask(query)
            assert "errors" not in document, document["errors"]
            check(document["data"])

    async def check_away(self) -> None:
        """Check that what is away is said to be away, and that nothing is shown as zero or nothing."""
        async with self.http.get(f"{_SERVICE}/healthz") as response:
            assert response.status == 200, "the process is alive all the same"
        status, healthy = await self.is_ready()
        assert status == 503
        assert healthy == {name: name not in self.away for name in ("statistics", "metrics")}
        for query, check in _queries(self):
            document = await self.ask(query)
            if not self.away.isdisjoint(_reads(query)):
                assert document.get("errors"), f"no error for {query}"
                assert list(_numbers(document.get("data"))) == [], f"a number without a source: {document}"
                assert list(_empty(document.get("data"))) == [], f"nothing instead of an error: {document}"
            else:
                check(document["data"])


def _reads(query: str) -> set[str]:
    return {"metrics"} if query.startswith(("{ utilization", "{ available")) else {"metrics", "statistics"}


def _numbers(value: Any) -> Iterator[float]:
    """Yield every number of a document."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "total_count":
                yield from _numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _empty(value: Any) -> Iterator[object]:
    """Yield every empty list and map of a document."""
    if isinstance(value, dict | list):
        if not value:
            yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _empty(item)


def _queries(world: World) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield queries, and the checks of their data."""
    kernel = world.simulation.random.choice([kernel for kernel in KERNELS if kernel.number % 5])
    kernel_id = kernel.labels["kernel_id"]
    end_s = wall_s() - 1
    yield _SESSIONS, _check_sessions
    yield _KERNEL % kernel_id, lambda data: check_live(kernel, data["kernel"])
    yield _UTILIZATION % (end_s - 60, end_s, kernel_id), lambda data: _check_series(world, kernel, data["utilization"])
    yield _METRICS, _check_metrics


def _check_sessions(data: Any) -> None:
    lasting = {kernel.labels["session_id"] for kernel in KERNELS if kernel.number % 5}
    sessions = {item["session_id"]: item for item in data["compute_session_list"]["items"]}
    assert lasting <= sessions.keys()
    for kernel in KERNELS:
        if kernel.number % 5:
            session = sessions[kernel.labels["session_id"]]
            assert session["inference_metrics"] == {"requests": kernel.number // 2 + 7, "last_response_ms": 12}
            found = {item["kernel_id"]: item for item in session["kernels"]}
            check_live(kernel, found[kernel.labels["kernel_id"]])


def check_live(kernel: Kernel, found: Any) -> None:
    """Check that live memory is that of the kernel, and was written a moment ago."""
    current = float(found["live_stat"]["mem"]["current"])
    written_s = wall_s() + current - kernel.value("mem", "current", wall_s())
    assert wall_s() - 4 * AGENT_S <= written_s <= wall_s() + 1, f"{kernel}: {current} is of {wall_s() - written_s} s ago"


def _check_series(world: World, kernel: Kernel, found: Any) -> None:
    assert not found["partial"]
    assert len(found["series"]) == 1, "a server that was away has not scraped yet"
    (series,) = found["series"]
    question = Question("mem", "current", {"kernel_id": kernel.labels["kernel_id"]}, ("kernel_id",))
    for time_s, value in series["values"]:
        bands = [
            band
            for member in world.members
            for scrapes in member.scrapes_since(0.0)
            for band in question.expected(scrapes, float(time_s)).values()
        ]
        assert any(is_close(float(value), band) for band in bands), (kernel, time_s, value, bands)


def _check_metrics(data: Any) -> None:
    assert data["available_metrics"] == ["cpu_util", "mem", "net_rx"]


@asynccontextmanager
async def running_service(simulation: Simulation, *, inventory: InventoryPort | None = None) -> AsyncGenerator[World]:
    """Run the stores, what writes into them, and the service, whose inventory is by default that of the metric servers."""
    loop = asyncio.get_running_loop()
    store = SimulatedValkey(simulation.network, "store")
    store.start()
    members = Member(simulation, _HOSTS[0]), Member(simulation, _HOSTS[1])
    for member in members:
        member.server.start()
    settings = Settings(
        statistics_url="valkey://store",
        metrics_url=f"http://reader:secret@{_HOSTS[0]}:9090",
        metrics_options={"fallback_urls": [f"http://reader:secret@{_HOSTS[1]}:9090"]},
    )
    with (
        aiohttp_on_virtual_clock(),
        mock.patch.object(application, "Readiness", partial(application.Readiness, clock=loop.time)),
    ):
        async with (
            open_sink(settings, registry()) as sink,
            open_runtime(settings, registry()) as runtime,
            aiohttp.ClientSession() as http,
        ):
            app = web.Application()
            inventory = inventory or SeriesInventory(runtime.metrics, clock=wall_time)
            statcore_web.attach(app, attrs.evolve(runtime, inventory=inventory), registry())
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "service", 80).start()
            writing = asyncio.create_task(_write(sink))
            try:
                await asyncio.sleep(2 * AGENT_S)
                yield World(simulation, store, members, http)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
                await runner.cleanup()


async def service_scenario(simulation: Simulation, *, away: Away, away_s: float) -> list[Counts]:
    """Let callers ask the service while its stores go away and come back; return what it held meanwhile."""
    async with running_service(simulation) as world:
        await world.check_right()
        await _stay_away(world, away, away_s)
        await _check_recovery(world)
    return world.counts


async def _write(sink: Any) -> None:
    """Write what agents write; what cannot be written is lost."""
    while True:
        try:
            now_s = wall_s()
            await sink.store_kernel_statistics(
                {
                    kernel.labels["kernel_id"]: {
                        "mem": MetricValue(current=f"{kernel.value('mem', 'current', now_s)}", capacity="9000000")
                    }
                    for kernel in KERNELS
                }
            )
            for number in {kernel.number // 2 for kernel in KERNELS}:
                session_id = next(k.labels["session_id"] for k in KERNELS if k.number // 2 == number)
                await sink.store_session_activity(session_id, requests=number + 7, last_response_ms=12)
        except StatcoreError:
            pass
        await asyncio.sleep(AGENT_S)


async def _stay_away(world: World, away: Away, away_s: float) -> None:
    """Take stores away, ask all the while, and bring them back."""
    loop, random = asyncio.get_running_loop(), world.simulation.random
    world.away = frozenset({"store": {"statistics"}, "metrics": {"metrics"}, "both": {"statistics", "metrics"}}[away])
    world.simulation.record(f"away: {sorted(world.away)}")
    if "statistics" in world.away:
        random.choice([world.store.crash, world.store.hang, world.store.host.cut])()
    if "metrics" in world.away:
        for member in world.members:
            _take_away(member, random.randrange(4))
    await asyncio.sleep(_READINESS_S)
    until_s = loop.time() + away_s

    async def keep_asking() -> None:
        while loop.time() < until_s:
            await world.check_away()
            await asyncio.sleep(random.choice([1.0, 30.0, 60.0]))

    async def count() -> None:
        while loop.time() < until_s:
            await asyncio.sleep(60)
            timers = sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]
            world.counts.append(Counts(len(asyncio.all_tasks()), len(list(world.simulation.network.ends())), timers))

    await asyncio.gather(count(), *(keep_asking() for _ in range(_CALLERS)))
    world.simulation.record("back")
    world.store.heal()
    world.store.host.heal()
    for member in world.members:
        await member.heal()


def _take_away(member: Member, how: int) -> None:
    match how:
        case 0:
            member.crash()
        case 1:
            member.server.host.cut()
        case 2:
            member.fall_sick([hang], 1.0)
        case _:
            member.fall_sick([answer_with_page], 1.0)


async def _check_recovery(world: World) -> None:
    """Check that everything is right within the time of recovery, and stays so."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + RECOVERY_S
    while True:
        try:
            await world.check_right()
        except AssertionError:
            if loop.time() >= until_s:
                raise
            await asyncio.sleep(_STEP_S)
        else:
            break
    for _ in range(3):
        await asyncio.sleep(_STEP_S)
        await world.check_right()
