"""The pipeline of the demo: child processes, the collector that samples them, a store and a backend, and reading back.

The store and the backend are inside this process, or a real Valkey and a real Prometheus. The collector fills an inventory
in memory. Everything is read back through the public API.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs

from statcore.model.inventory import EndpointRecord, ReplicaRecord
from statcore.model.time import QueryTimeRange
from statcore.plugins.registry import PluginRegistry
from statcore.ports import ScrapeSinkPort
from statcore.ports.capabilities import as_port
from statcore.runtime import Runtime, Settings, open_runtime, open_sink
from statcore.statistics.utilization import UtilizationSource
from statcore.testing.servers import running_prometheus, running_valkey
from statcore_cli.live_view import LiveState
from statcore_collector import Collector, KernelTarget, start_exporter
from statcore_memory import MemoryInventory

INTERVAL_S: Final = 1.0
AGENT_ID: Final = "demo"
METRICS: Final = ("cpu_util", "mem", "net_rx", "io_write")
RATE_INTERVAL: Final = "5s"
_WINDOW: Final = timedelta(seconds=60)
_STOP_S: Final = 5.0
_LOADS: Final = (
    ("busy 50%", "busy", "0.5"),
    ("busy 15%", "busy", "0.15"),
    ("memory", "memory", "120"),
    ("traffic", "traffic", "2"),
    ("writer", "writer", "1"),
)


@attrs.frozen(kw_only=True)
class Child:
    """A running child process: the title of its load, and the kernel that it is collected as."""

    title: str
    target: KernelTarget


@contextmanager
def running_children(agent_id: str) -> Generator[tuple[Child, ...]]:
    """Run one child process per load, as kernels of two sessions of one user; end them with the block."""
    sessions = [str(uuid.uuid4()) for _ in range(2)]
    user, project = str(uuid.uuid4()), str(uuid.uuid4())
    with ExitStack() as stack:
        children: list[Child] = []
        for number, (title, load, amount) in enumerate(_LOADS):
            process = stack.enter_context(_running(load, amount))
            target = KernelTarget(
                pid=process.pid,
                kernel_id=str(uuid.uuid4()),
                session_id=sessions[number % 2],
                user_id=user,
                project_id=project,
                agent_id=agent_id,
            )
            children.append(Child(title=title, target=target))
        yield tuple(children)


@contextmanager
def _running(load: str, amount: str) -> Generator[subprocess.Popen[bytes]]:
    # In a new session, so that Ctrl-C at the terminal reaches the demo, which then ends its children.
    command = [sys.executable, "-m", "statcore_cli.demo.loads", load, amount]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own module
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@attrs.frozen(kw_only=True)
class Pipeline:
    """The child processes, the collector that samples them, and the open ports that its data is read back from."""

    children: Sequence[Child]
    collector: Collector
    runtime: Runtime


@asynccontextmanager
async def open_pipeline(registry: PluginRegistry, *, servers: bool) -> AsyncGenerator[Pipeline]:
    """Run the child processes, and open a store and a backend for their statistics, within the block.

    Args:
        registry: the adapters.
        servers: whether a Valkey and a Prometheus are started; otherwise the store and the backend are in this process.

    Raises:
        UnavailableError: a server is not installed, or does not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="statcore-demo-")))
        settings = Settings(statistics_url="memory://", metrics_url="memory://")
        if servers:  # starting a server blocks the event loop; nothing else runs on it yet
            valkey = stack.enter_context(running_valkey(folder))
            settings = attrs.evolve(settings, statistics_url=valkey.url)
        sink = await stack.enter_async_context(open_sink(settings, registry))
        children = stack.enter_context(running_children(AGENT_ID))
        inventory = MemoryInventory()
        collector = Collector(sink, agent_id=AGENT_ID, interval_s=INTERVAL_S, inventory=inventory)
        for child in children:
            collector.add(child.target)
        inventory.register_endpoint(_endpoint_of([child.target for child in children if child.title == "traffic"]))
        if servers:
            exporter = start_exporter(collector)
            stack.callback(exporter.close)
            targets, interval = {"statcore": exporter.address}, f"{INTERVAL_S:.0f}s"
            prometheus = stack.enter_context(running_prometheus(folder, targets=targets, scrape_interval=interval))
            settings = attrs.evolve(settings, metrics_url=prometheus.url)
        runtime = await stack.enter_async_context(open_runtime(settings, registry))
        yield Pipeline(children=children, collector=collector, runtime=attrs.evolve(runtime, inventory=inventory))


async def read_state(pipeline: Pipeline, *, since: datetime, now: datetime) -> LiveState:
    """Read the live statistics of all children in one batch, and query their metrics over the last minute.

    Args:
        pipeline: the children, the store and the backend.
        since: the start of the demo; no range begins before it.
        now: the end of the range.

    Raises:
        StatcoreError: the live statistics cannot be read.
    """
    return await LiveState.read(
        pipeline.runtime.repository,
        UtilizationSource(pipeline.runtime.metrics),
        {child.target.kernel_id: child.title for child in pipeline.children},
        title_name="load",
        metrics=METRICS,
        time_range=QueryTimeRange(start=max(since, now - _WINDOW), end=now, step=timedelta(seconds=INTERVAL_S)),
        rate_interval=RATE_INTERVAL,
    )


async def run_rounds(pipeline: Pipeline, stop: asyncio.Event, *, rounds: int | None = None) -> AsyncGenerator[LiveState]:
    """Collect the children once per interval, and yield the state that is read back after every round.

    Args:
        pipeline: the children, their collector, and where its data is read back from.
        stop: ends the rounds when it is set.
        rounds: how many rounds to run at most; None is no limit.

    Raises:
        StatcoreError: a round cannot be collected, or its live statistics cannot be read.
    """
    loop = asyncio.get_running_loop()
    since, started = datetime.now(UTC), loop.time()
    for number in count(1):
        await pipeline.collector.collect()
        if (sink := as_port(pipeline.runtime.metrics, ScrapeSinkPort)) is not None:
            sink.append_scrape(pipeline.collector.samples(), target=AGENT_ID, time=time.time())
        yield await read_state(pipeline, since=since, now=datetime.now(UTC))
        if number == rounds:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(started + number * INTERVAL_S):
                await stop.wait()
        if stop.is_set():
            return


def _endpoint_of(kernels: Sequence[KernelTarget]) -> EndpointRecord:
    """Return an endpoint whose replicas are the sessions of some kernels of one owner."""
    replicas = [ReplicaRecord(replica_id=str(uuid.uuid4()), session_id=kernel.session_id) for kernel in kernels]
    return EndpointRecord(
        endpoint_id=str(uuid.uuid4()),
        replicas=tuple(replicas),
        user_id=kernels[0].user_id,
        project_id=kernels[0].project_id,
        started_at=datetime.now(UTC),
    )
