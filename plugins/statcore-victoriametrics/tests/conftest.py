"""A real VictoriaMetrics, ways to fill it, and a server that says what a real single node never does."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing
from functools import partial
from typing import Any

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import (
    Program,
    Server,
    find_installations,
    free_port,
    running_http,
    running_victoriametrics,
)
from statcore_victoriametrics.client import VictoriaMetricsClient

pytest_plugins = ["statcore.testing.fixtures"]
VICTORIAMETRICS = find_installations("victoria-metrics")
CLUSTER = ("vmstorage", "vminsert", "vmselect")


def pytest_report_header() -> list[str]:
    """Say which servers the tests run on, and which are not found."""
    found = f"servers: {', '.join(f'{program} ({program.path})' for program in VICTORIAMETRICS) or 'none'}"
    missing = [name for name in CLUSTER if not find_installations(name)]
    return [found, f"servers not found: {', '.join(missing)} (make servers-current)"] if missing else [found]


@pytest.fixture(scope="session", params=list[Any](VICTORIAMETRICS) or [None], ids=str)
def victoriametrics_program(request: pytest.FixtureRequest, require_program: Callable[..., str]) -> Program:
    """Each VictoriaMetrics that is installed, one after the other."""
    require_program("victoria-metrics")
    program: Program = request.param
    return program


@pytest.fixture(scope="session")
def start_victoriametrics(
    tmp_path_factory: pytest.TempPathFactory, victoriametrics_program: Program
) -> Iterator[Callable[..., Server]]:
    """Start a server that lasts for the whole run; arguments as `running_victoriametrics`."""
    with ExitStack() as stack:

        def start(**options: Any) -> Server:
            folder = tmp_path_factory.mktemp("victoriametrics")
            return stack.enter_context(running_victoriametrics(folder, program=victoriametrics_program.path, **options))

        yield start


@pytest.fixture(scope="session")
def server(start_victoriametrics: Callable[..., Server]) -> Server:
    """A server for all tests; each test plants series under names of its own."""
    return start_victoriametrics()


@pytest.fixture(scope="session")
def ask_server() -> Callable[..., str]:
    """`ask_server(server, path, body)` asks for what is no part of the Prometheus API, and returns the answer's text."""

    def ask(server: Server, path: str, body: str | None = None) -> str:
        address = f"http://127.0.0.1:{server.port}{path}"
        with urllib.request.urlopen(address, data=None if body is None else body.encode(), timeout=60) as answer:
            text: bytes = answer.read()
        return text.decode()

    return ask


def import_text(series: Iterable[PlantedSeries]) -> str:
    """Return samples in the format that the server imports, with times in milliseconds."""
    lines: list[str] = []
    for line in openmetrics_text(series).rstrip("\n").split("\n"):
        if not line.startswith("#"):
            sample, _, time = line.rpartition(" ")
            lines.append(f"{sample} {round(float(time) * 1000)}\n")
    return "".join(lines)


@pytest.fixture(scope="session")
def plant_into(ask_server: Callable[..., str]) -> Callable[[Server, Iterable[PlantedSeries]], None]:
    """`plant_into(server, series)` imports samples into a server and waits until queries see them."""

    def run(server: Server, series: Iterable[PlantedSeries]) -> None:
        ask_server(server, "/api/v1/import/prometheus", import_text(series))
        ask_server(server, "/internal/force_flush")

    return run


@pytest.fixture(scope="session")
def plant(
    server: Server, plant_into: Callable[[Server, Iterable[PlantedSeries]], None]
) -> Callable[[Iterable[PlantedSeries]], None]:
    """`plant(series)` imports samples into the server for all tests."""
    return partial(plant_into, server)


@attrs.frozen(kw_only=True)
class Cluster:
    """A cluster: two storage nodes, the server that takes samples, and the server that answers queries."""

    storages: Sequence[Server]
    insert: Server
    select: Server

    def url(self, tenant: str = "0") -> str:
        """Return the URL of a tenant."""
        return f"victoriametrics://127.0.0.1:{self.select.port}/select/{tenant}/prometheus"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of the test's module, whose storage nodes a test may end."""
    found = {name: find_installations(name) for name in CLUSTER}
    if missing := [name for name, programs in found.items() if not programs]:
        pytest.skip(f"not found: {', '.join(missing)}; `make servers-current` builds them where Go can get their release")
    programs = {name: installations[-1].path for name, installations in found.items()}
    folder = tmp_path_factory.mktemp("cluster")

    def command(name: str, *arguments: str) -> Callable[[int], list[str]]:
        return lambda port: [programs[name], f"-httpListenAddr=127.0.0.1:{port}", *arguments]

    with ExitStack() as stack:

        def run(name: str, *arguments: str) -> Server:
            log = folder / f"{name}-{len(list(folder.iterdir()))}.log"
            return stack.enter_context(running_http(command(name, *arguments), log))

        storages: list[Server] = []
        inserts, selects = ([f"127.0.0.1:{free_port()}" for _ in range(2)] for _ in range(2))
        for number in range(2):
            ports = (f"-vminsertAddr={inserts[number]}", f"-vmselectAddr={selects[number]}")
            storages.append(run("vmstorage", f"-storageDataPath={folder / f'data-{number}'}", *ports))
        insert = run("vminsert", f"-storageNode={','.join(inserts)}")
        select = run("vmselect", f"-storageNode={','.join(selects)}")
        yield Cluster(storages=storages, insert=insert, select=select)


@pytest.fixture(scope="module")
def plant_in_cluster(cluster: Cluster, ask_server: Callable[..., str]) -> Callable[..., None]:
    """`plant_in_cluster(series, tenant)` imports samples of a tenant and waits until queries see them."""

    def run(series: Iterable[PlantedSeries], tenant: str = "0") -> None:
        ask_server(cluster.insert, f"/insert/{tenant}/prometheus/api/v1/import/prometheus", import_text(series))
        for storage in cluster.storages:
            ask_server(storage, "/internal/force_flush")

    return run


@pytest.fixture
async def open_client() -> AsyncIterator[Callable[..., Awaitable[VictoriaMetricsClient]]]:
    """Open a client by URL and settings, which is closed with the test."""
    async with AsyncExitStack() as stack:

        async def open_(url: str, **settings: Any) -> VictoriaMetricsClient:
            return await stack.enter_async_context(aclosing(VictoriaMetricsClient.from_settings(url, settings)))

        yield open_


@pytest.fixture
async def client(server: Server, open_client: Callable[..., Awaitable[VictoriaMetricsClient]]) -> VictoriaMetricsClient:
    """A client of the server."""
    return await open_client(f"victoriametrics://127.0.0.1:{server.port}")


@attrs.define
class Scripted:
    """A server that gives the same answer to every request, and records the parameters of each."""

    url: str
    seen: list[dict[str, str]]


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[..., Awaitable[Scripted]]]:
    """Start a server of that kind, with the answer to give, at a URL with the scheme `victoriametrics`."""
    async with AsyncExitStack() as stack:

        async def start(answer: dict[str, Any]) -> Scripted:
            seen: list[dict[str, str]] = []

            async def reply(request: web.Request) -> web.Response:
                seen.append(
                    {"path": request.path, **request.query, **{k: str(v) for k, v in (await request.post()).items()}}
                )
                return web.json_response(answer)

            app = web.Application()
            app.router.add_route("*", "/{path:.*}", reply)
            running = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
            return Scripted(f"victoriametrics://127.0.0.1:{running.port}", seen)

        yield start
