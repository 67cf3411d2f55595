"""Measures what up to 50,000 kernels cost a Prometheus: series, memory, scrapes, and statcore's queries.

Each agent has a page with the series that the collector exports. A page has timestamps of its own, and each scrape gets the
next: so an hour of data is scraped in a minute or some minutes.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from typing import Final
from uuid import UUID

import attrs
from aiohttp import web
from planning import KERNELS_OF_AGENT, Line, PrometheusCosts, PrometheusSite, plan_prometheus
from prometheus_client.parser import text_string_to_metric_families
from report import Report, Row, Table, show_progress
from server_process import metrics_response, running_server, serve_http
from timing import Sample, Stopwatch, high_water_bytes
from workload import kernel_ids

from statcore.errors import StatcoreError, UnavailableError
from statcore.model import QueryTimeRange
from statcore.queriers import ContainerMetricQuerier
from statcore.statistics import UtilizationSource
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.testing.servers import Server, find_installations, running_prometheus
from statcore_collector.metric import RawValue
from statcore_collector.series import container_samples, process_samples
from statcore_prometheus import PrometheusClient, PrometheusOptions

STEP_S: Final = 60
STEPS: Final = 61
"""How many pages of each agent are scraped: an hour of data."""
BYTES_OF_KERNEL: Final = 150_000
"""More memory than a kernel needs in a server, pages and answers, to refuse sizes that this machine cannot hold."""
_AHEAD_S: Final = 300
"""How far the last page is in the future, since a Prometheus takes no samples that are older than an hour."""
_PAGES_PER_S: Final = 150
"""How many pages are scraped in a second, so that two cores can serve them and take them in."""
_LEAST_INTERVAL_S: Final = 1.0
_PAUSE_S: Final = 0.5
_DEADLINE_S: Final = 900.0
_FEW: Final = 100
_HOUR: Final = "an hour by minutes"
_RUNS: Final = 9
_ENOUGH_S: Final = 2.0
_CAPACITIES: Final = {"cpu_util": 1_000.0, "mem": 64e9}
_METRICS: Final = ("cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx")
_OF_PROCESS: Final = ("cpu_util", "mem", "io_read", "io_write")
_LEAST_SHARE: Final = 0.95
"""How many of the samples the server must have; a scrape that runs out of time on a busy machine loses its page."""
_PIDS: Final = 30_000
_QUERY_API: Final = "/api/v1/query"
_APPENDED: Final = "prometheus_tsdb_head_samples_appended_total"
_ANSWERS: Final = "prometheus_http_response_size_bytes_count"
_ANSWER_BYTES: Final = "prometheus_http_response_size_bytes_sum"
_OPTIONS: Final = PrometheusOptions(timeout_s=120.0)


@attrs.frozen(kw_only=True)
class Query:
    """The median cost of a read of statcore.

    Args:
        wall_s: its wall time.
        client_s: the CPU time of this process.
        requests: how many requests it takes.
        answer_bytes: the bytes of the answers.
    """

    wall_s: float
    client_s: float
    requests: float
    answer_bytes: float


@attrs.frozen(kw_only=True)
class Measured:
    """What a number of kernels costs a Prometheus.

    Args:
        series: the series in its head.
        ingest_s: the CPU time of the server to scrape all pages once.
        scrape_s: how long the scrape of one page takes.
        resident_bytes: its resident memory when the hour is scraped.
        peak_bytes: its most resident memory, with the queries.
        queries: what reads cost, by name.
        disturbed: whether the scrapes were disturbed by steal or another process.
    """

    series: int
    ingest_s: float
    scrape_s: float
    resident_bytes: float
    peak_bytes: float
    queries: Mapping[str, Query]
    disturbed: bool


async def measure(report: Report, scratch: Path, *, sizes: Sequence[int], site: PrometheusSite) -> list[Table]:
    """Measure and print what kernels cost; return the tables of fitted costs and of larger sites."""
    programs = sorted(
        find_installations("prometheus"), key=lambda program: [int(part) for part in program.version.split(".")]
    )
    if not programs:
        raise UnavailableError("not found on PATH: prometheus", service="prometheus")
    found: dict[str, dict[int, Measured]] = {}
    for program in programs:
        name = f"Prometheus {program.version}"
        found[name] = {}
        for size in sizes:
            show_progress(f"{name}: {size:,} kernels")
            folder = scratch / f"{program.version}-{size}"
            folder.mkdir()
            found[name][size] = await measure_size(folder, size, program=program.path)
            rmtree(folder)
    for table in _tables(found):
        report.add(table)
    return plan_prometheus({name: _costs(by_size) for name, by_size in found.items()}, site)


async def measure_size(folder: Path, size: int, *, program: str) -> Measured:
    """Let a Prometheus scrape an hour of kernels, and query it."""
    start_s = int(time.time()) - STEP_S * (STEPS - 1) + _AHEAD_S
    end = datetime.fromtimestamp(start_s + STEP_S * (STEPS - 1), UTC)
    with (
        running_server(serve_pages, size, start_s) as (address, pid),
        running_prometheus(folder, targets={}, program=program) as server,
    ):
        stopwatch = Stopwatch(pid=server.process.pid, helpers=[pid])
        pages = math.ceil(size / KERNELS_OF_AGENT)
        scrape(server, folder, address, pages=pages, interval_s=max(_LEAST_INTERVAL_S, pages / _PAGES_PER_S))
        await wait_until(lambda: _remaining(address) == 0)
        sample = stopwatch.stop(runs=STEPS)
        async with aclosing(PrometheusClient(server.url, options=_OPTIONS)) as client:
            (duration,) = (await client.query("avg(avg_over_time(scrape_duration_seconds[10m]))")).samples
            scrape(server, folder, address, pages=0, interval_s=_LEAST_INTERVAL_S)
            after = counted(server)
            assert after[_APPENDED] > _LEAST_SHARE * size * _SERIES_OF_KERNEL * STEPS
            queries = await _query_all(server, client, size, end=end)
        return Measured(
            series=int(after["prometheus_tsdb_head_series"]),
            ingest_s=sample.cpu_s,
            scrape_s=duration.value,
            resident_bytes=after["process_resident_memory_bytes"],
            peak_bytes=high_water_bytes(server.process.pid),
            queries=queries,
            disturbed=sample.disturbed,
        )


async def _query_all(server: Server, client: PrometheusClient, size: int, *, end: datetime) -> dict[str, Query]:
    hour = QueryTimeRange(start=end - timedelta(hours=1), end=end, step="1m")
    source, live = UtilizationSource(client), KernelLiveStatService(client)
    ids = kernel_ids(size)
    of_kernels = [
        ContainerMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=UUID(kernel_id)) for kernel_id in ids
    ]
    of_all = [ContainerMetricQuerier(metric_name="cpu_util", value_type="current")]
    found: dict[str, Query] = {}
    for name, queriers in {
        "one kernel": of_kernels[:1],
        f"{_FEW} kernels": of_kernels[:_FEW],
        "all kernels": of_kernels,
        "the sum of all kernels": of_all,
    }.items():
        found[f"{name}, now"] = await _query(server, partial(_instant, source, queriers, end))
        found[f"{name}, {_HOUR}"] = await _query(server, partial(_range, source, queriers, hour))
    found["live statistics of all kernels"] = await _query(server, partial(_live, live, ids, end))
    return found


async def _instant(source: UtilizationSource, queriers: Sequence[ContainerMetricQuerier], time: datetime) -> None:
    for outcome in await source.read_utilization_now_batch(queriers, time=time):
        assert not isinstance(outcome, StatcoreError), outcome
        assert len(outcome.samples) == 1


async def _range(source: UtilizationSource, queriers: Sequence[ContainerMetricQuerier], hour: QueryTimeRange) -> None:
    for outcome in await source.read_utilization_batch(queriers, hour):
        assert not isinstance(outcome, StatcoreError), outcome
        assert len(outcome.series) == 1


async def _live(live: KernelLiveStatService, ids: Sequence[str], time: datetime) -> None:
    batch = await live.fetch_kernel_statistics(ids, time=time)
    assert not batch.problems
    assert batch[-1] is not None


async def _query(server: Server, run: Callable[[], Awaitable[None]]) -> Query:
    """Return the medians of some runs; of long runs, one is enough."""
    before, samples = counted(server), list[Sample]()
    while len(samples) < _RUNS and sum(sample.wall_s for sample in samples) < _ENOUGH_S:
        stopwatch = Stopwatch(helpers=[server.process.pid])
        await run()
        samples.append(stopwatch.stop())
    after = counted(server)
    each = {name: (after[name] - before[name]) / len(samples) for name in (_ANSWERS, _ANSWER_BYTES)}
    return Query(
        wall_s=statistics.median(sample.wall_s for sample in samples),
        client_s=statistics.median(sample.cpu_s for sample in samples),
        requests=each[_ANSWERS],
        answer_bytes=each[_ANSWER_BYTES],
    )


def kernel_series(number: int) -> Iterator[str]:
    """Yield the series that the collector exports for a kernel with one process, as a page names them."""
    agent = number // KERNELS_OF_AGENT
    owners = {
        "agent_id": f"agent-{agent}",
        "kernel_id": str(UUID(int=2 << 64 | number)),
        "session_id": str(UUID(int=1 << 64 | number)),
        "user_id": str(UUID(int=3 << 64 | agent)),
        "project_id": str(UUID(int=4 << 64 | agent)),
    }
    of_kernel = {metric: RawValue(0, _CAPACITIES.get(metric)) for metric in _METRICS}
    of_process = {metric: RawValue(0) for metric in _OF_PROCESS}
    pid = 1 + number % _PIDS
    for name, labels, _ in (*container_samples(owners, of_kernel), *process_samples(owners, pid, of_process)):
        texts = ",".join(f'{label}="{value}"' for label, value in labels.items())
        yield f"{name}{{{texts}}}"


_SERIES_OF_KERNEL: Final = len(list(kernel_series(0)))


def serve_pages(kernels: int, start_s: int, port: Connection) -> None:
    """Serve the pages of agents until the process is killed; send the port."""
    pages = [
        [series for number in range(start, min(start + KERNELS_OF_AGENT, kernels)) for series in kernel_series(number)]
        for start in range(0, kernels, KERNELS_OF_AGENT)
    ]
    scraped = [0] * len(pages)
    noise = [random.Random(number).randrange(1_000) for number in range(1_009)]  # noqa: S311 - the same in each run

    async def answer(request: web.Request) -> web.Response:
        agent = int(request.match_info["agent"])
        step = scraped[agent]
        if step == STEPS:
            raise web.HTTPServiceUnavailable
        scraped[agent] += 1
        time_ms = (start_s + STEP_S * step) * 1_000
        lines = [
            f"{series} {step * 30_000 + noise[(place + step) % 1_009]} {time_ms}\n"
            for place, series in enumerate(pages[agent])
        ]
        return metrics_response("".join(lines))

    async def remaining(_: web.Request) -> web.Response:
        return web.Response(text=str(STEPS * len(pages) - sum(scraped)))

    async def serve() -> None:
        port.send(await serve_http({"/remaining": remaining, "/agents/{agent}": answer}))
        await asyncio.Event().wait()

    asyncio.run(serve())


def scrape(server: Server, folder: Path, address: str, *, pages: int, interval_s: float) -> None:
    """Let a Prometheus scrape the pages of agents, or nothing."""
    interval = f"{round(interval_s * 1_000)}ms"
    targets = [
        {"targets": [address], "labels": {"__metrics_path__": f"/agents/{agent}", "instance": f"agent-{agent}"}}
        for agent in range(pages)
    ]
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": "agents", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    server.process.send_signal(signal.SIGHUP)


def _remaining(address: str) -> int:
    """Return how many pages have not been scraped."""
    with urllib.request.urlopen(f"http://{address}/remaining") as answer:
        return int(answer.read())


def counted(server: Server) -> dict[str, float]:
    """Return the server's own metrics by name, summed over its query API where a metric has a handler, else over all."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:  # noqa: S310 - our own server
        text = answer.read().decode()
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("handler", _QUERY_API).startswith(_QUERY_API):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until a Prometheus has scraped what it should.

    Raises:
        UnavailableError: it has not in time.
    """
    deadline_s = time.monotonic() + _DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise UnavailableError(f"Prometheus has not scraped all pages in {_DEADLINE_S:g} s", service="prometheus")
        await asyncio.sleep(_PAUSE_S)  # no server tells when it has scraped


def _costs(by_size: Mapping[int, Measured]) -> PrometheusCosts:
    def fit(cost: Callable[[Measured], float]) -> Line:
        return Line.fit({size: cost(measured) for size, measured in by_size.items()})

    return PrometheusCosts(
        series=_SERIES_OF_KERNEL,
        memory_bytes=fit(lambda measured: measured.peak_bytes),
        ingest_s=fit(lambda measured: measured.ingest_s),
        query_s=fit(lambda measured: measured.queries[f"all kernels, {_HOUR}"].wall_s),
    )


def _tables(found: Mapping[str, Mapping[int, Measured]]) -> list[Table]:
    disturbed = [measured.disturbed for by_size in found.values() for measured in by_size.values()]
    cost = Table(
        title="Kernels in Prometheus, an hour of them with a sample a minute",
        subject="kernels",
        rows=[
            Row(
                contender=f"{size:,}, {name}",
                figures={
                    "head series": measured.series,
                    "resident MB": measured.resident_bytes / 1e6,
                    "peak MB": measured.peak_bytes / 1e6,
                    "peak bytes a series": measured.peak_bytes / measured.series,
                    "scrape of an agent ms": measured.scrape_s * 1e3,
                    "CPU of scraping all once s": measured.ingest_s,
                    "CPU µs a sample": measured.ingest_s * 1e6 / (size * _SERIES_OF_KERNEL),
                },
            )
            for name, by_size in found.items()
            for size, measured in by_size.items()
        ],
        notes=[
            f"A kernel with one process has {_SERIES_OF_KERNEL} series, an agent {KERNELS_OF_AGENT} kernels",
            "*resident* is the memory when the hour has been scraped, *peak* the most, with the queries below",
            (
                f"Measurements: {len(disturbed)}, of which {sum(disturbed)} were disturbed by steal or another process;"
                " all are kept"
            ),
        ],
    )
    queries = [
        Table(
            title=f"Queries of cpu_util through statcore, {name}",
            subject="kernels stored: read",
            rows=[
                Row(
                    contender=f"{size:,}: {what}",
                    figures={
                        "wall ms": query.wall_s * 1e3,
                        "CPU of the client ms": query.client_s * 1e3,
                        "requests": round(query.requests),
                        "kB of answers": query.answer_bytes / 1e3,
                    },
                )
                for size, measured in by_size.items()
                for what, query in measured.queries.items()
            ],
            notes=[f"Each is the median of up to {_RUNS} runs, fewer where {_ENOUGH_S:g} seconds have been spent"],
        )
        for name, by_size in found.items()
    ]
    return [cost, *queries]
