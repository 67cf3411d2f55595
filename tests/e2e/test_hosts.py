"""`examples/fastapi_host.py` and `examples/aiohttp_host.py` as an operator runs them: over a real Valkey and Prometheus."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self
from uuid import NAMESPACE_OID, uuid5

import aiohttp
import attrs
import pytest
from tests.support.planted_server import RUN_S, planted_server
from tests.support.web_host import TokenFile

from statcore.model import MetricValue
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server, free_port
from statcore_valkey import ValkeyStatisticsSink

EXAMPLES: Final = Path(__file__).parent.parent.parent / "examples"
HOSTS: Final = {"fastapi_host": "", "aiohttp_host": "/statistics"}
"""By name of the example, what begins the paths of its routes."""
NOWHERE: Final = "http://127.0.0.1:9"
NOW: Final = int(time.time()) // 60 * 60
OWNERS: Final = ("mine", "theirs")


def id_of(kind: str, owner: str) -> str:
    """Return the id of an object of an owner, always the same."""
    return str(uuid5(NAMESPACE_OID, f"{kind} {owner}"))


def planted() -> Iterator[PlantedSeries]:
    """Yield a series for the kernel of each owner."""
    for owner in OWNERS:
        ids = {f"{kind}_id": id_of(kind, owner) for kind in ("kernel", "session", "user", "project")}
        labels = {**ids, "agent_id": f"agent-of-{owner}", CONTAINER_METRIC_LABEL: "mem", "value_type": "current"}
        yield PlantedSeries(CONTAINER_SERIES, labels, [(float(at), 5.0) for at in range(NOW - 600, NOW + RUN_S, 60)])


prometheus = planted_server(planted)


@pytest.fixture
async def store(valkey: Server) -> str:
    """The URL of a Valkey with an entry for the kernel of each owner."""
    sink = ValkeyStatisticsSink.from_url(valkey.url)
    metric = {"mem": MetricValue(current="5")}
    await sink.store_kernel_statistics({id_of("kernel", owner): metric for owner in OWNERS})
    await sink.aclose()
    return valkey.url


@attrs.define
class Host:
    """An example in a process of its own, within the block.

    Args:
        name: the name of the example.
        settings: its environment variables, without `STATCORE_`.
    """

    name: str
    settings: dict[str, str]
    process: asyncio.subprocess.Process = attrs.field(init=False)
    client: aiohttp.ClientSession = attrs.field(init=False)

    async def __aenter__(self) -> Self:
        """Start it, and wait until it takes connections."""
        port = free_port()
        variables = {f"STATCORE_{name}": value for name, value in self.settings.items()}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-W", "error", EXAMPLES / f"{self.name}.py"),
            env={**os.environ, **variables, "PORT": str(port)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while b"unning on" not in (line := await self.process.stdout.readline()):
                assert line, "the host has ended"
        self.client = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        await self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.communicate(), 20)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    async def graphql(self, query: str, secret: str | None) -> tuple[int, dict[str, Any]]:
        """Return the status and the document of the answer to a query."""
        url, headers = f"{HOSTS[self.name]}/graphql", bearer(secret)
        async with self.client.post(url, json={"query": query}, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


def bearer(secret: str | None) -> dict[str, str]:
    """Return the headers of a request with a token."""
    return {} if secret is None else {"Authorization": f"Bearer {secret}"}


def token_file(folder: Path) -> tuple[str, dict[str, str]]:
    """Write a token for the project of `mine` and one for everything, and return the path and the secrets."""
    file = TokenFile(folder / "tokens.toml")
    secrets = file.write(mine=f'scope = {{ project_id = ["{id_of("project", "mine")}"] }}', operator='scope = "everything"')
    return str(file.path), secrets


@pytest.mark.parametrize("name", HOSTS)
async def test_a_caller_sees_what_the_scope_of_its_token_allows(
    name: str, store: str, prometheus: Server, tmp_path: Path
) -> None:
    """A token of one project lists, reads and finds nothing of the other; without a token the answer is 401."""
    file, secrets = token_file(tmp_path)
    query = f"""{{
        compute_session_list {{ items {{ session_id kernels {{ kernel_id live_stat }} }} }}
        compute_session(session_id: "{id_of("session", "theirs")}") {{ session_id live_stat }}
        utilization(
            querier: "container", selector: {{ metric_name: "mem", project_id: "{id_of("project", "theirs")}" }},
            start: "{NOW - 300}", end: "{NOW}", step: "1m"
        ) {{ series {{ values }} }}
    }}"""
    settings = {"STATISTICS_URL": store, "METRICS_URL": prometheus.url, "TOKEN_FILE": file}
    async with Host(name, settings) as host:
        assert 401 == (await host.graphql(query, None))[0]
        assert 401 == (await host.graphql(query, "statcore_unknown"))[0]
        status, answer = await host.graphql(query, secrets["mine"])
        listed = [session["session_id"] for session in answer["data"]["compute_session_list"]["items"]]
        kernels = [session["kernels"] for session in answer["data"]["compute_session_list"]["items"]]
        assert (200, [id_of("session", "mine")]) == (status, listed)
        assert [[(id_of("kernel", "mine"), "5")]] == [[(k["kernel_id"], current(k)) for k in of] for of in kernels]
        assert {"series": []} == answer["data"]["utilization"]
        assert not any(id_of(kind, "theirs") in str(answer) for kind in ("kernel", "session", "user", "project"))
        _, everything = await host.graphql(query, secrets["operator"])
        assert {id_of("session", owner) for owner in OWNERS} == {
            session["session_id"] for session in everything["data"]["compute_session_list"]["items"]
        }
        assert everything["data"]["utilization"]["series"]


def current(kernel: dict[str, Any]) -> str:
    """Return the current value of a kernel's memory."""
    value: str = kernel["live_stat"]["mem"]["current"]
    return value


async def test_rest_on_fastapi_is_confined_and_bad_requests_have_the_status_of_their_error(
    store: str, prometheus: Server, tmp_path: Path
) -> None:
    """The kernel of another project has no entry, as one that does not exist."""
    file, secrets = token_file(tmp_path)
    async with Host("fastapi_host", {"STATISTICS_URL": store, "METRICS_URL": prometheus.url, "TOKEN_FILE": file}) as host:
        ids = [id_of("kernel", owner) for owner in (*OWNERS, "nobody")]
        for name, expected in (("mine", ["5", None, None]), ("operator", ["5", "5", None])):
            async with host.client.get("/kernels", params={"id": ids}, headers=bearer(secrets[name])) as answer:
                entries = (await answer.json())["entries"]
                assert expected == [entry and entry["mem"]["current"] for entry in entries]
        async with host.client.get("/kernels", params={"id": "none"}, headers=bearer(secrets["mine"])) as answer:
            assert (400, "InputError") == (answer.status, (await answer.json())["error"])
        async with host.client.get("/kernels", params={"id": ids}) as answer:
            assert (401, 'Bearer realm="statcore"') == (answer.status, answer.headers["WWW-Authenticate"])
        async with host.client.get("/health") as answer:
            assert (200, True) == (answer.status, (await answer.json())["healthy"])
        for body in (b"[]", b"\xff", b"[" * 100_000):
            headers = {**bearer(secrets["mine"]), "Content-Type": "application/json"}
            async with host.client.post("/graphql", data=body, headers=headers) as answer:
                assert 400 == answer.status


async def test_health_on_fastapi_is_503_while_a_service_is_away(store: str, tmp_path: Path) -> None:
    """The store still answers."""
    file, secrets = token_file(tmp_path)
    async with Host("fastapi_host", {"STATISTICS_URL": store, "METRICS_URL": NOWHERE, "TOKEN_FILE": file}) as host:
        async with host.client.get("/health") as answer:
            ports = (await answer.json())["ports"]
            assert (503, True, False) == (answer.status, ports["statistics"]["healthy"], ports["metrics"]["healthy"])
        kernel = {"id": id_of("kernel", "mine")}
        async with host.client.get("/kernels", params=kernel, headers=bearer(secrets["operator"])) as answer:
            assert ["5"] == [entry["mem"]["current"] for entry in (await answer.json())["entries"]]


async def test_health_on_aiohttp_is_ready(store: str, prometheus: Server) -> None:
    """Without a file of tokens every caller sees everything."""
    async with Host("aiohttp_host", {"STATISTICS_URL": store, "METRICS_URL": prometheus.url}) as host:
        assert 200 == (await host.client.get("/statistics/readyz")).status
        status, answer = await host.graphql("{ compute_session_list { total_count } }", None)
        assert (200, {"data": {"compute_session_list": {"total_count": 2}}}) == (status, answer)
    assert 0 == host.process.returncode


@pytest.mark.parametrize(
    ("name", "functions"), [("fastapi_host", ["callers_ports", "create_app"]), ("aiohttp_host", ["create_app"])]
)
def test_a_host_mounts_statcore_in_fewer_than_15_lines(name: str, functions: list[str]) -> None:
    """Each line in the bodies of the functions counts, except docstrings and blank lines."""
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    lines = {
        line
        for function in functions
        for statement in found[function].body[1:]
        for line in range(statement.lineno, (statement.end_lineno or 0) + 1)
    }
    assert len(lines) < 15
