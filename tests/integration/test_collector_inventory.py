"""What collectors of real processes register in an inventory in memory, and what a real Prometheus shows of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing, closing
from datetime import UTC, datetime
from subprocess import DEVNULL, Popen
from time import time
from typing import cast
from uuid import uuid4

import attrs
import psutil
import pytest
from tests.integration.kernel_programs import Start, end, read_line
from tests.support.polling import until

from statcore.errors import InputError
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.plugins import PluginRegistry
from statcore.ports import InventoryPort, ScrapeSinkPort
from statcore.runtime import Settings, open_runtime, open_sink
from statcore.services import AGENTS, KERNELS, ObjectListing, SeriesInventory
from statcore.testing.servers import Server
from statcore_collector import Collector, KernelTarget, start_exporter
from statcore_memory import MemoryInventory, MemoryStatistics
from statcore_prometheus import PrometheusClient

IDLE = 'say("up")\nwait_for_input()'
Known = tuple[list[SessionRecord], list[str], list[SessionRecord | None]]
SESSION, OTHER_SESSION, USER = sorted(str(uuid4()) for _ in range(3))


def collecting(inventory: MemoryInventory, agent_id: str) -> Collector:
    """Return a collector that registers its kernels in the inventory."""
    return Collector(MemoryStatistics(), agent_id=agent_id, interval_s=0.2, inventory=inventory)


def add(collector: Collector, process: Popen[bytes], session_id: str | None, user_id: str | None = None) -> KernelRecord:
    """Collect a process as a new kernel, and return its record."""
    kernel_id = str(uuid4())
    collector.add(KernelTarget(pid=process.pid, kernel_id=kernel_id, session_id=session_id, user_id=user_id))
    return KernelRecord(kernel_id=kernel_id, session_id=session_id, agent_id=collector.agent_id, user_id=user_id)


def ended_process() -> Popen[bytes]:
    """Return a process that has ended."""
    process = Popen([sys.executable, "-c", ""], stdin=DEVNULL)
    process.wait()
    return process


async def read(inventory: InventoryPort) -> Known:
    """Return all sessions, all agents, and what is found by id, without the times of starts, which series do not have."""
    sessions, agents = await inventory.list_sessions(), await inventory.list_agents()
    found = await inventory.find_sessions([OTHER_SESSION, USER, SESSION])
    return [_timeless(session) for session in sessions.items], list(agents.items), [s and _timeless(s) for s in found]


def _timeless(session: SessionRecord) -> SessionRecord:
    return attrs.evolve(session, kernels=tuple(attrs.evolve(kernel, started_at=None) for kernel in session.kernels))


def expected(*kernels: KernelRecord) -> Known:
    """Return what `read` must return for these kernels."""
    in_order = sorted(kernels, key=lambda kernel: kernel.kernel_id)
    members = {id_: tuple(record for record in in_order if record.session_id == id_) for id_ in (SESSION, OTHER_SESSION)}
    sessions = {id_: SessionRecord(session_id=id_, kernels=members[id_]) for id_ in sorted(members) if members[id_]}
    agents = sorted({kernel.agent_id for kernel in kernels if kernel.agent_id})
    return list(sessions.values()), agents, [sessions.get(OTHER_SESSION), None, sessions.get(SESSION)]


async def agree(inventory: InventoryPort, known: Known) -> None:
    """Return when `read` returns the expected."""

    async def is_known() -> bool:
        return await read(inventory) == known

    await until(is_known, "kernels in Prometheus")


async def test_a_kernel_appears_ends_and_disappears(start_kernel: Start) -> None:
    """It is known when it is added, and unknown after it was removed or after the round that finds it ended."""
    inventory = MemoryInventory()
    here, there = collecting(inventory, "i-1"), collecting(inventory, "i-2")
    processes = [start_kernel(IDLE) for _ in range(3)]
    assert ["up"] * 3 == [await read_line(process) for process in processes]

    first = add(here, processes[0], SESSION, USER)
    assert expected(first) == await read(inventory)
    second, third = add(there, processes[1], SESSION), add(there, processes[2], OTHER_SESSION)
    await here.collect()
    assert expected(first, second, third) == await read(inventory)

    await end(processes[0])
    await there.collect()
    assert expected(first, second, third) == await read(inventory)
    await here.collect()
    assert expected(second, third) == await read(inventory)

    there.remove(third.kernel_id.upper())
    assert expected(second) == await read(inventory)
    there.remove(second.kernel_id)
    assert expected() == await read(inventory)


async def test_a_kernel_started_when_its_process_did(start_kernel: Start) -> None:
    """A session started with the first of its kernels."""
    inventory = MemoryInventory()
    collector = collecting(inventory, "i-1")
    processes = [start_kernel(IDLE) for _ in range(2)]
    for process in reversed(processes):
        add(collector, process, SESSION)
    first, second = (datetime.fromtimestamp(psutil.Process(process.pid).create_time(), UTC) for process in processes)

    (session,) = (await inventory.list_sessions()).items

    assert {first, second} == {kernel.started_at for kernel in session.kernels}
    assert min(first, second) == session.started_at


async def test_a_refused_kernel_is_not_registered(start_kernel: Start) -> None:
    """The record of the kernel that has its place stays."""
    inventory = MemoryInventory()
    collector = collecting(inventory, "i-1")
    process, other = start_kernel(IDLE), start_kernel(IDLE)
    known = add(collector, process, SESSION)
    with pytest.raises(InputError, match="is collected already"):
        collector.add(KernelTarget(pid=other.pid, kernel_id=known.kernel_id, session_id=OTHER_SESSION))
    with pytest.raises(InputError, match="is collected already, as kernel"):
        add(collector, process, OTHER_SESSION)
    with pytest.raises(InputError, match="no process has the pid"):
        add(collector, ended_process(), OTHER_SESSION)
    assert expected(known) == await read(inventory)


async def test_a_kernel_that_the_inventory_refuses_is_not_collected(start_kernel: Start) -> None:
    """Collector and inventory always agree."""

    class Closed(MemoryInventory):
        def register_kernel(self, kernel: KernelRecord, /) -> None:
            raise InputError(f"no place for {kernel.kernel_id}")

    collector = collecting(Closed(), "i-1")
    with pytest.raises(InputError, match="no place for"):
        add(collector, start_kernel(IDLE), SESSION)
    assert () == collector.kernel_ids


async def test_series_of_a_real_prometheus_agree(start_kernel: Start, start_prometheus: Callable[..., Server]) -> None:
    """Two agents, and a kernel of one ends: the inventory over scraped series agrees with the one in memory in the end."""
    inventory = MemoryInventory()
    here, there = collecting(inventory, "i-1"), collecting(inventory, "i-2")
    processes = [start_kernel(IDLE) for _ in range(4)]
    assert ["up"] * 4 == [await read_line(process) for process in processes]
    ending = add(here, processes[0], SESSION, USER)
    staying = [add(there, processes[1], SESSION), add(there, processes[2], OTHER_SESSION, USER)]
    stop = asyncio.Event()
    with closing(start_exporter(here)) as first, closing(start_exporter(there)) as second:
        targets = {"here": first.address, "there": second.address}
        server = await asyncio.to_thread(start_prometheus, targets=targets, scrape_interval="500ms")
        async with aclosing(PrometheusClient(server.url)) as client, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(here.run(stop))
            tasks.create_task(there.run(stop))
            series = SeriesInventory(client, clock=lambda: datetime.now(UTC), lookback="1s")

            await agree(series, expected(ending, *staying))
            assert expected(ending, *staying) == await read(inventory)

            await end(processes[0])
            started = add(there, processes[3], OTHER_SESSION)
            sessions, _, found = expected(*staying, started)
            await agree(series, (sessions, ["i-1", "i-2"], found))  # the node of an agent without kernels is exported
            assert expected(*staying, started) == await read(inventory)
            stop.set()


async def test_series_in_memory_agree_after_each_round(start_kernel: Start) -> None:
    """With store and backend in one process, the runtime's inventory has what the collector found in its last round.

    It has owners, kernels without a session, and the agent from its first round on, before it has a kernel. A kernel that
    ended stays for the lookback, as with a server.
    """
    settings = Settings(statistics_url="memory://", metrics_url="memory://")
    registry = PluginRegistry.discover()
    async with open_runtime(settings, registry) as runtime, open_sink(settings, registry) as sink:
        collector = Collector(sink, agent_id="i-1", interval_s=0.2)

        async def collect() -> None:
            await collector.collect()
            metrics = cast("ScrapeSinkPort", runtime.metrics)
            metrics.append_scrape(collector.samples(), target=collector.agent_id, time=time())

        listing = ObjectListing(runtime.inventory, runtime.repository)
        await collect()
        (agent,) = (await listing.read(AGENTS, figures=True)).items
        assert ("i-1", (), True) == (agent.object_id, agent.kernel_ids, bool(agent.figures and agent.figures.devices))

        processes = [start_kernel(IDLE) for _ in range(2)]
        assert ["up"] * 2 == [await read_line(process) for process in processes]
        first, alone = add(collector, processes[0], SESSION, USER), add(collector, processes[1], None)
        await collect()

        assert expected(first) == await read(runtime.inventory)
        kernels = (await listing.read(KERNELS, figures=True)).items
        assert sorted([first, alone], key=lambda record: record.kernel_id) == [kernel.record for kernel in kernels]
        assert all(kernel.figures and kernel.figures.mem_bytes for kernel in kernels)
