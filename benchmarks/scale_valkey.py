"""Measures what up to a million kernels cost in one Valkey and in a cluster: memory, writes, reads, connections."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Final

import attrs
import msgpack
from live_reads import FIELDS
from planning import KERNELS_OF_AGENT, Line, ValkeyCosts, ValkeySite, plan_valkey
from report import Report, Row, Table, show_progress
from tests.support.valkey_nodes import ValkeyNode, running_server
from tests.support.valkey_topologies import running_cluster
from timing import Sample, Stopwatch, cpu_s, high_water_bytes, longest_stall_s
from workload import kernel_ids, payload

from statcore.concurrency import CONCURRENT_CALLS, map_concurrently
from statcore.model import MetricValue
from statcore.model.store_keys import metrics_entry
from statcore.statistics import StatisticsRepositories, StatisticsRepository
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey.codec import encode_map

PAGE: Final = 10_000
BYTES_OF_KERNEL: Final = 2_500
"""More memory than a kernel needs in a server, to refuse sizes that this machine cannot hold."""
_REPLICATED: Final = 100_000
"""The size at which replicas are measured, if it is measured without them."""
LEAST_KERNELS: Final = 100_000
"""How many kernels a sample writes or reads at least; smaller sizes are repeated within a sample."""
_PAGES: Final = 9
_CALLERS: Final = 64
_KERNELS_OF_CALL: Final = 1_000
_PROCESSES: Final = (1, 4)
_OPTIONS: Final = ValkeyOptions(live_db=0, timeout_s=60.0)
_RANDOM: Final = random.Random(13)  # noqa: S311 - places of pages, the same in each run
_ENTRIES: Final = [
    {metric: MetricValue.from_map(fields) for metric, fields in msgpack.unpackb(payload(number)).items()}
    for number in range(1_000)
]
"""The different payloads of the workload, as agents hand them to the sink."""


@attrs.frozen(kw_only=True)
class Topology:
    """Running servers: what to call them, the URL of all, and its nodes."""

    name: str
    url: str
    nodes: Sequence[ValkeyNode]

    def total(self, section: str, field: str) -> int:
        """Return the sum of a field of INFO over all servers."""
        return sum(int(node.command("INFO", section)[field]) for node in self.nodes)

    @property
    def version(self) -> str:
        """The name and version of the servers."""
        facts = self.nodes[0].command("INFO", "server")
        return f"Valkey {facts['valkey_version']}" if "valkey_version" in facts else f"Redis {facts['redis_version']}"

    @property
    def primaries(self) -> list[ValkeyNode]:
        """The servers that own keys."""
        return [node for node in self.nodes if node.replication()["role"] == "master"]


@contextmanager
def one_server(folder: Path) -> Iterator[Topology]:
    """Run one server."""
    with running_server(folder) as node:
        yield Topology(name="one server", url=node.url, nodes=[node])


@contextmanager
def cluster(folder: Path, *, replicas: int = 0) -> Iterator[Topology]:
    """Run a cluster of three primaries."""
    with running_cluster(folder, replicas=replicas, node_timeout_ms=15_000) as running:
        name = "three primaries" + (f" with {replicas} replica each" if replicas else "")
        yield Topology(name=name, url=running.url, nodes=running.nodes)


@attrs.frozen(kw_only=True)
class Cost:
    """What it costs to write or read all kernels once.

    Args:
        sample: the wall time, and the CPU time of this process.
        primaries_s: the CPU time of all primaries.
        replicas_s: the CPU time of all replicas.
    """

    sample: Sample
    primaries_s: float
    replicas_s: float

    @property
    def figures(self) -> dict[str, float]:
        """The columns of a table."""
        return {
            "wall ms": self.sample.wall_s * 1e3,
            "CPU of the client ms": self.sample.cpu_s * 1e3,
            "CPU of the primaries ms": self.primaries_s * 1e3,
            **({"CPU of the replicas ms": self.replicas_s * 1e3} if self.replicas_s else {}),
        }


@attrs.frozen(kw_only=True)
class Measured:
    """What a number of kernels costs in a topology.

    Args:
        memory_bytes: the memory of their entries in all servers.
        resident_bytes: the resident memory of all servers.
        write: what it costs to write all once more.
        read: what it costs to read three fields of all once, in pages.
        page_s: the median time to read a page at a random place.
        stall_s: the longest stall of the event loop while all are read.
        reader_bytes: the most resident memory of a new process that reads all.
    """

    memory_bytes: int
    resident_bytes: int
    write: Cost
    read: Cost
    page_s: float
    stall_s: float
    reader_bytes: float


async def measure(report: Report, scratch: Path, *, sizes: Sequence[int], site: ValkeySite) -> list[Table]:
    """Measure and print what kernels cost; return the tables of fitted costs and of larger sites."""
    found: dict[str, dict[int, Measured]] = {}
    connections: list[Row] = []
    for running in (one_server, cluster):
        with running(scratch) as topology:
            found[topology.name] = {size: await measure_size(topology, size) for size in sizes}
            connections += [await measure_connections(topology, processes) for processes in _PROCESSES]
    one, three = found.values()
    size = max(size for size in sizes if size <= _REPLICATED)
    with cluster(scratch, replicas=1) as topology:
        replicated = await measure_size(topology, size)
        found[topology.name] = {size: replicated}
        version = topology.version
    replica_share = replicated.write.primaries_s / three[size].write.primaries_s - 1
    note = (
        f"Each process has {_CALLERS} callers of {_KERNELS_OF_CALL:,} kernels at once; memory is that right after the reads"
    )
    connected = Table(title="Connections of hosts", subject="servers", rows=connections, notes=[note])
    for table in (*_tables(found, version), connected):
        report.add(table)
    return plan_valkey(_costs(one, replica_share), _costs(three, replica_share), site)


async def measure_size(topology: Topology, size: int) -> Measured:
    """Write kernels into empty servers, write them again, and read them."""
    show_progress(f"Valkey, {topology.name}: {size:,} kernels")
    for node in topology.primaries:
        node.command("FLUSHALL", "SYNC")
    empty_bytes = topology.total("memory", "used_memory")
    ids = kernel_ids(size)
    runs = max(1, LEAST_KERNELS // size)
    async with (
        aclosing(ValkeyStatisticsSink.from_url(topology.url, options=_OPTIONS)) as sink,
        aclosing(ValkeyStatistics.from_url(topology.url, options=_OPTIONS)) as store,
    ):
        repository = StatisticsRepositories.create(store).repository
        await write_all(sink, ids)  # agents mostly write kernels that are stored already
        write = await _cost(topology, lambda: write_all(sink, ids), runs=runs)
        assert size == sum(node.command("DBSIZE") for node in topology.primaries)
        await read_all(repository, ids[:PAGE])  # connects
        read = await _cost(topology, lambda: read_all(repository, ids), runs=runs)
        return Measured(
            memory_bytes=topology.total("memory", "used_memory") - empty_bytes,
            resident_bytes=topology.total("memory", "used_memory_rss"),
            write=write,
            read=read,
            page_s=await _page_s(repository, ids),
            stall_s=await longest_stall_s(lambda: read_all(repository, ids)),
            reader_bytes=await _reader_bytes(topology.url, size),
        )


async def write_all(sink: ValkeyStatisticsSink, ids: Sequence[str]) -> None:
    """Write the entries of kernels as agents do: those of an agent in one exchange."""

    async def write(start: int) -> None:
        of_agent = enumerate(ids[start : start + KERNELS_OF_AGENT], start)
        await sink.store_kernel_statistics({id_: _ENTRIES[number % len(_ENTRIES)] for number, id_ in of_agent})

    await map_concurrently(range(0, len(ids), KERNELS_OF_AGENT), write)


async def read_all(repository: StatisticsRepository, ids: Sequence[str]) -> None:
    """Read three fields of kernels as columns, page after page."""
    for start in range(0, len(ids), PAGE):
        columns = await repository.get_kernel_statistics_columns(ids[start : start + PAGE], FIELDS)
        assert columns[FIELDS[0]].texts[-1] is not None


async def measure_connections(topology: Topology, processes: int) -> Row:
    """Return the connections of hosts to each server after all their callers have read at once.

    A process of a host has a store of its own; here all stores are in this process.
    """
    ids = kernel_ids(_KERNELS_OF_CALL)
    connected, used = topology.total("clients", "connected_clients"), topology.total("memory", "mem_clients_normal")
    async with AsyncExitStack() as stack:
        stores = [ValkeyStatistics.from_url(topology.url, options=_OPTIONS) for _ in range(processes)]
        for store in stores:
            stack.push_async_callback(store.aclose)
        await asyncio.gather(*(store.fetch_kernel_columns(ids, FIELDS) for store in stores for _ in range(_CALLERS)))
        connections = topology.total("clients", "connected_clients") - connected
        used = topology.total("memory", "mem_clients_normal") - used
    return Row(
        contender=topology.name,
        figures={
            "processes": processes,
            "connections of a process to a server": connections // processes // len(topology.nodes),
            "connections": connections,
            "kB of a connection": used / connections / 1e3,
        },
    )


async def _cost(topology: Topology, run: Callable[[], Awaitable[None]], *, runs: int) -> Cost:
    primaries = [node.pid for node in topology.primaries]
    replicas = [node.pid for node in topology.nodes if node.pid not in primaries]
    before_s, stopwatch = (_cpu_s(primaries), _cpu_s(replicas)), Stopwatch(helpers=[*primaries, *replicas])
    for _ in range(runs):
        await run()
    sample = stopwatch.stop(runs=runs)
    primaries_s, replicas_s = (
        (_cpu_s(pids) - before) / runs for pids, before in zip((primaries, replicas), before_s, strict=True)
    )
    return Cost(sample=sample, primaries_s=primaries_s, replicas_s=replicas_s)


def _cpu_s(pids: Sequence[int]) -> float:
    return sum(map(cpu_s, pids))


async def _reader_bytes(url: str, size: int) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return await asyncio.get_running_loop().run_in_executor(process, _read_and_measure, url, size)


def _read_and_measure(url: str, size: int) -> float:
    async def read() -> None:
        async with aclosing(ValkeyStatistics.from_url(url, options=_OPTIONS)) as store:
            await read_all(StatisticsRepositories.create(store).repository, kernel_ids(size))

    asyncio.run(read())
    return high_water_bytes()


async def _page_s(repository: StatisticsRepository, ids: Sequence[str]) -> float:
    times_s: list[float] = []
    for _ in range(_PAGES):
        first = _RANDOM.randrange(max(1, len(ids) - PAGE))
        started_s = time.perf_counter()
        await read_all(repository, ids[first : first + PAGE])
        times_s.append(time.perf_counter() - started_s)
    return statistics.median(times_s)


def _costs(by_size: Mapping[int, Measured], replica_share: float) -> ValkeyCosts:
    def fit(cost: Callable[[Measured], float]) -> Line:
        return Line.fit({size: cost(measured) for size, measured in by_size.items()})

    return ValkeyCosts(
        memory_bytes=fit(lambda measured: measured.memory_bytes),
        write_s=fit(lambda measured: measured.write.primaries_s),
        read_s=fit(lambda measured: measured.read.primaries_s),
        client_s=fit(lambda measured: measured.read.sample.cpu_s),
        replica_share=replica_share,
    )


def _tables(found: Mapping[str, Mapping[int, Measured]], version: str) -> list[Table]:
    def table(title: str, figures: Callable[[Measured, int], dict[str, float]], *notes: str) -> Table:
        rows = [
            Row(contender=f"{size:,}, {name}", figures=figures(measured, size))
            for name, by_size in found.items()
            for size, measured in by_size.items()
        ]
        return Table(title=title, subject="kernels", rows=rows, notes=notes)

    costs = [
        cost for by_size in found.values() for measured in by_size.values() for cost in (measured.write, measured.read)
    ]
    disturbed = [cost.sample.disturbed for cost in costs]
    return [
        table(
            f"Memory of kernels in {version}",
            lambda measured, size: {
                "MB": measured.memory_bytes / 1e6,
                "bytes of a kernel": measured.memory_bytes / size,
                "resident MB": measured.resident_bytes / 1e6,
            },
            f"An entry has {len(encode_map(metrics_entry(_ENTRIES[0]), key='')):,} bytes and a key of"
            f" {len(kernel_ids(1)[0])}; memory is that of all servers, replicas included",
        ),
        table(
            f"All kernels written once more, {version}",
            lambda measured, _: measured.write.figures,
            f"{KERNELS_OF_AGENT} kernels in one call, {CONCURRENT_CALLS} calls at once, from one process, which also packs"
            " the entries; at a site the agents do",
        ),
        table(
            f"Three fields of all kernels read once, {version}",
            lambda measured, _: {
                **measured.read.figures,
                "page ms": measured.page_s * 1e3,
                "stall ms": measured.stall_s * 1e3,
                "peak of a reader MB": measured.reader_bytes / 1e6,
            },
            f"Pages of {PAGE:,} kernels, one after the other; *page* is the median of {_PAGES} pages at random places",
            "*peak of a reader* is the most memory of a new process that reads all, with Python and the list of all ids",
            f"Samples: {len(disturbed)}, of which {sum(disturbed)} were disturbed by steal or another process;"
            " all are kept",
        ),
    ]
