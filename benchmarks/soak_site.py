"""The servers of a soak: a Valkey cluster, a primary with sentinels, two Prometheus, a VictoriaMetrics, `statcore serve`.

Each of them except the service has a proxy in front of it, which can cut it off.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import attrs
import psutil
from aiohttp import web
from server_process import metrics_response, running_server, serve_http
from soak_ledger import sample
from soak_memory import MemorySample, sampled, samples_of
from tests.e2e.program import environment
from tests.support.service import Service, serving_in
from tests.support.valkey_network import Network, running_network
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels, running_cluster, running_sentinels
from workload import kernel_ids, session_ids

from statcore.queriers.container import CONTAINER_SERIES
from statcore.testing.servers import (
    LOOPBACK,
    Server,
    find_installations,
    raw_query,
    running_prometheus,
    running_victoriametrics,
)

KERNELS: Final = 100
METRICS: Final = ("io_read", "mem")
SCRAPE_S: Final = 1
LOOKBACK_S: Final = 30
"""How old the newest sample of a series may be before the servers take the series as ended."""
RANGE_S: Final = 10
"""How long the ranges are that are read."""
WORKERS: Final = 2
_MARGIN_S: Final = 3
_SCRAPED_S: Final = 60.0
_CLOSED_S: Final = 10.0
_WORKERS_S: Final = 60.0
_PAUSE_S: Final = 0.05


@attrs.define(kw_only=True, eq=False)
class MetricServer:
    """A metric server behind a proxy, which can be killed and started again with its data.

    Args:
        name: its name.
        run: runs the server until the block ends.
        network: the proxies.
    """

    name: str
    run: Callable[[], AbstractContextManager[Server]]
    network: Network
    _proxy: int = attrs.field(default=0, init=False)
    _life: ExitStack = attrs.field(factory=ExitStack, init=False)
    _server: Server | None = attrs.field(default=None, init=False)

    @property
    def url(self) -> str:
        """The address of its proxy."""
        return f"http://{LOOPBACK}:{self._proxy}"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._server = server = self._life.enter_context(self.run())
        if self._proxy:
            self.network.redirect(self._proxy, server.port)
        else:
            self._proxy = self.network.forward(server.port, owner=self.name)

    def wait_until_scraped(self) -> None:
        """Wait until it has had the series of all kernels for longer than the ranges that are read."""
        assert self._server is not None
        query = f"count({CONTAINER_SERIES} offset {RANGE_S + _MARGIN_S}s)"
        deadline = time.monotonic() + _SCRAPED_S
        while time.monotonic() < deadline:
            found = raw_query(self._server, query, time.time())
            if found and int(found[0]["value"][1]) == KERNELS * len(METRICS):
                return
            time.sleep(_PAUSE_S)
        raise TimeoutError(f"waited {_SCRAPED_S:g} s for the series of {KERNELS} kernels in {self.name}")

    def kill(self) -> None:
        """End it at once; without a process, do nothing."""
        if self._server is not None:
            self._server.process.kill()
            self._server = None
            self._life.close()

    def stop(self) -> None:
        """Stop its process: the kernel takes connections for it, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.process.send_signal(number)


@attrs.frozen(kw_only=True)
class Site:
    """The running servers.

    Attributes:
        engine: None where no VictoriaMetrics is installed.
        spared: the worker of the service that no fault harms, so that its memory is that of one process.
    """

    cluster: ValkeyCluster
    sentinels: ValkeySentinels
    pair: Sequence[MetricServer]
    engine: MetricServer | None
    service: Service
    spared: psutil.Process
    versions: str


@contextmanager
def running_site(folder: Path, *, timeout_s: float) -> Generator[Site]:
    """Run the servers within the block; the service gives up on a store or backend after `timeout_s` seconds."""
    folders = {
        name: folder / name for name in ("cluster", "sentinels", "prometheus-1", "prometheus-2", "engine", "service")
    }
    for each in folders.values():
        each.mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(folders["cluster"], proxied=True))
        sentinels = stack.enter_context(running_sentinels(folders["sentinels"], replicas=1, proxied=True))
        network = stack.enter_context(running_network())
        address, _ = stack.enter_context(running_server(serve_series))
        pair = [
            MetricServer(name=name, run=partial(_run_prometheus, folders[name], address), network=network)
            for name in ("prometheus-1", "prometheus-2")
        ]
        engines = find_installations("victoria-metrics")
        engine = (
            MetricServer(name="engine", run=partial(_run_victoriametrics, folders["engine"], address), network=network)
            if engines
            else None
        )
        for server in (*pair, *([engine] if engine else [])):
            stack.callback(server.kill)
            server.start()
        service = stack.enter_context(_running_service(folders["service"], cluster, pair, timeout_s=timeout_s))
        for server in (*pair, *([engine] if engine else [])):
            server.wait_until_scraped()
        yield Site(
            cluster=cluster,
            sentinels=sentinels,
            pair=pair,
            engine=engine,
            service=service,
            spared=service.workers()[0],
            versions=", ".join(
                [
                    _valkey_version(cluster),
                    f"Prometheus {find_installations('prometheus')[0].version}",
                    *(f"VictoriaMetrics {program.version}".rstrip() for program in engines[:1]),
                ]
            ),
        )


def connections_of_callers(service: Service) -> int:
    """Return how many connections of callers the service still has after some time, although nobody calls it."""
    _, port = service.address
    deadline = time.monotonic() + _CLOSED_S
    while True:
        connections = [each for worker in service.workers() for each in worker.net_connections("tcp")]
        left = sum(each.laddr.port == port and each.status != psutil.CONN_LISTEN for each in connections)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_PAUSE_S)


def memory_of_spared(site: Site) -> list[MemorySample]:
    """Return the samples of the worker that no fault harms."""
    return samples_of(site.service.log_file.parent, site.spared.pid)


def wait_for_workers(site: Site) -> None:
    """Wait until the service has all its workers.

    Raises:
        RuntimeError: the worker that no fault harms has ended.
        TimeoutError: another one has not been replaced.
    """
    deadline = time.monotonic() + _WORKERS_S
    while len(workers := site.service.workers()) < WORKERS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_WORKERS_S:g} s for {WORKERS} workers of the service")
        time.sleep(_PAUSE_S)
    if site.spared not in workers:
        raise RuntimeError("a worker of the service has ended without a fault")


def owners(number: int) -> dict[str, str]:
    """Return the labels of a kernel, which is the only one of the session with the same number."""
    return {
        "agent_id": agent_id(number % 4),
        "kernel_id": kernel_ids(KERNELS)[number],
        "session_id": session_ids(KERNELS)[number],
        "user_id": "undefined",
        "project_id": "undefined",
    }


def agent_id(number: int) -> str:
    """Return the id of an agent."""
    return f"agent-{number}"


def serve_series(port: Connection) -> None:
    """Serve the series of all kernels until the process is killed; send the port."""
    for each in (signal.SIGINT, signal.SIGTERM):  # for all processes of the soak; the parent ends this one
        signal.signal(each, signal.SIG_IGN)
    series: list[tuple[str, int]] = []
    for number in range(KERNELS):
        labels = owners(number)
        for metric in METRICS:
            named = {"container_metric_name": metric, "value_type": "current", **labels}
            text = ",".join(f'{name}="{value}"' for name, value in named.items())
            series.append((f"{CONTAINER_SERIES}{{{text}}}", number))

    async def answer(_: web.Request) -> web.Response:
        time_ms = time.time_ns() // 1_000_000
        return metrics_response("".join(f"{name} {sample(number, time_ms)} {time_ms}\n" for name, number in series))

    async def serve() -> None:
        port.send(await serve_http({"/metrics": answer}))
        await asyncio.Event().wait()

    asyncio.run(serve())


def _run_prometheus(folder: Path, address: str) -> AbstractContextManager[Server]:
    arguments = [f"--query.lookback-delta={LOOKBACK_S}s"]
    return running_prometheus(folder, targets={"agents": address}, scrape_interval=f"{SCRAPE_S}s", arguments=arguments)


def _run_victoriametrics(folder: Path, address: str) -> AbstractContextManager[Server]:
    scrape = {
        "global": {"scrape_interval": f"{SCRAPE_S}s"},
        "scrape_configs": [{"job_name": "agents", "honor_timestamps": True, "static_configs": [{"targets": [address]}]}],
    }
    config = folder / "scrape.yml"
    config.write_text(json.dumps(scrape))  # JSON is YAML
    lookback = f"-search.maxStalenessInterval={LOOKBACK_S}s"
    return running_victoriametrics(folder, arguments=[f"-promscrape.config={config}", "-search.latencyOffset=0s", lookback])


def _running_service(
    folder: Path, cluster: ValkeyCluster, pair: Sequence[MetricServer], *, timeout_s: float
) -> AbstractContextManager[Service]:
    first, *others = (server.url for server in pair)
    config = folder / "statcore.toml"
    config.write_text(
        f'statistics_url = "{cluster.url}"\nmetrics_url = "{first}"\n'
        f"[statistics]\nlive_db = 0\ntimeout_s = {timeout_s}\n"
        f"[metrics]\nfallback_urls = {json.dumps(others)}\nfailback_s = 5\ntimeout_s = {timeout_s}\n"
        f"[limits]\nrequest_s = {3 * timeout_s}\n"
    )
    variables = sampled(environment(config=str(config)), folder)
    return serving_in(folder, variables, "--workers", str(WORKERS), "--log-level", "error")


def _valkey_version(cluster: ValkeyCluster) -> str:
    info: dict[str, str] = cluster.nodes[0].command("INFO", "server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
