"""`examples/manager` as an operator runs it: with a real Valkey and a real Prometheus, and requests over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgpack
import pytest
from redis import Redis
from tests.support.graphql_host import Host
from tests.support.polling import until

from statcore.model.inventory import KernelRecord
from statcore.testing.servers import Server
from statcore_memory import MemoryInventory
from statcore_valkey import ValkeyStatistics

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FAILING_QUERY = "query { compute_session_list { items { inference_metrics } } }"
PAGE = "query ($limit: Int!) { compute_session_list(limit: $limit) { items { inference_metrics } total_count } }"
MAIN_ENDPOINT = str(uuid4())
CONNECTED, LISTENING = "01", "0A"
NOWHERE = {"STATISTICS_URL": "valkey://127.0.0.1:1", "METRICS_URL": "http://127.0.0.1:1"}


def _cluster(sessions: Sequence[str]) -> str:
    """Return a cluster file: every session is its own kernel, and the first two are the replicas of an endpoint."""
    document = [f'[[sessions]]\nsession_id = "{session_id}"\nkernels = ["{session_id}"]\n' for session_id in sessions]
    replicas = ", ".join(f'{{replica_id = "{uuid4()}", session_id = "{session_id}"}}' for session_id in sessions[:2])
    document.append(f'[[endpoints]]\nendpoint_id = "{MAIN_ENDPOINT}"\nreplicas = [{replicas}]\n')
    document.append('[[endpoints.rules]]\nname = "busy"\nsource = "kernel"\nmetric_name = "cpu_util"\n')
    document.append('upper_threshold = "80"\nmax_replicas = 3\ncooldown_s = 3600\n')
    return "".join(document)


class Manager:
    """A running manager."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, session: aiohttp.ClientSession) -> None:
        """Talk to it."""
        self.process = process
        self.url = url
        self._session = session

    async def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the answer of `POST /graphql`."""
        body = {"query": query, "variables": variables}
        async with self._session.post(f"{self.url}/graphql", json=body) as response:
            assert 200 == response.status, await response.text()
            return dict(await response.json())

    async def replicas(self, *, saying: str) -> dict[str, Any]:
        """Return the endpoint's part of `GET /replicas`, once its rules have an outcome."""
        decided: dict[str, Any] = {}

        async def says() -> bool:
            async with self._session.get(f"{self.url}/replicas") as response:
                decided.update((await response.json()).get(MAIN_ENDPOINT, {}))
            return saying in str(decided.get("rules"))

        await until(says, f"a decision that says {saying!r}")
        return decided


Start = Callable[[Sequence[str], Mapping[str, str]], AbstractAsyncContextManager[Manager]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a manager of a cluster of sessions, with settings."""

    @asynccontextmanager
    async def start(sessions: Sequence[str], settings: Mapping[str, str]) -> AsyncGenerator[Manager]:
        cluster = tmp_path / f"{uuid4()}.toml"
        cluster.write_text(_cluster(sessions))
        fixed = {"CLUSTER": str(cluster), "PORT": "0", "TICK_S": "0.2"}
        environment = {f"MANAGER_{name}": value for name, value in {**fixed, **settings}.items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "manager"),
            cwd=EXAMPLES,
            env={**os.environ, **environment},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            line = (await process.stderr.readline()).decode()
            assert "serving " in line, line
            async with aiohttp.ClientSession() as session:
                yield Manager(process, line.split()[-1], session)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    return start


@pytest.fixture
def servers(valkey: Server, start_prometheus: Callable[..., Server]) -> dict[str, str]:
    """The settings that name a real Valkey and a real Prometheus."""
    return {"STATISTICS_URL": valkey.url, "METRICS_URL": start_prometheus().url}


@pytest.fixture
def client(valkey: Server) -> Iterator[Redis]:
    """A plain client of the statistics."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        yield client


def _plant(client: Redis, sessions: Sequence[str]) -> dict[str, dict[str, int]]:
    """Write what agents and proxies write for sessions, and return the inference metrics by session."""
    metrics = {
        session_id: {"requests": number, "last_response_ms": number * 2} for number, session_id in enumerate(sessions)
    }
    busy = msgpack.packb({"cpu_util": {"current": "900", "capacity": "1000", "pct": "90", "unit_hint": "percent"}})
    with client.pipeline() as pipeline:
        for session_id in metrics:
            pipeline.set(session_id, busy, ex=86400)
        pipeline.execute()
    live = Redis(host="127.0.0.1", port=client.connection_pool.connection_kwargs["port"], db=2)
    with live, live.pipeline() as pipeline:
        for session_id, found in metrics.items():
            pipeline.set(f"session.{session_id}.requests", found["requests"])
            pipeline.set(f"session.{session_id}.last_response_time", found["last_response_ms"])
        pipeline.execute()
    return metrics


def _commands(client: Redis) -> dict[str, int]:
    """Return how often the server ran each reading command, and reset the counts."""
    stats: Mapping[str, Any] = client.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): int(found["calls"]) for name, found in stats.items()}
    client.config_resetstat()
    return {name: count for name, count in counts.items() if name in {"get", "mget", "ttl", "pttl", "strlen"}}


def _sockets(port: int, state: str) -> list[int]:
    """Return how many bytes each socket of a local port has received and not read yet, from the system's list of sockets.

    Args:
        port: the local port.
        state: the sockets' state in that list, such as `CONNECTED`.
    """
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        int(queues.split(":")[1], 16)
        for _, local, _, found, queues, *_ in fields
        if local.endswith(f":{port:04X}") and found == state
    ]


async def test_the_failing_query_of_the_proposal_is_answered(client: Redis, servers: dict[str, str], start: Start) -> None:
    """Every session has its inference metrics, with one command to Valkey for ten sessions and two for 1,000."""
    sessions = sorted(str(uuid4()) for _ in range(1_000))
    counts: dict[int, dict[str, int]] = {}
    metrics = _plant(client, sessions)
    async with start(sessions, {**servers, "TICK_S": "3600"}) as manager:
        await manager.replicas(saying="+1")  # the tick at the start has read, too
        answer = await manager.query(FAILING_QUERY)
        items = [{"inference_metrics": metrics[session_id]} for session_id in sessions]
        assert {"data": {"compute_session_list": {"items": items[:100]}}} == answer
        for limit in (10, 500, 1_000):
            _commands(client)
            found = (await manager.query(PAGE, limit=limit))["data"]["compute_session_list"]
            counts[limit] = _commands(client)
            assert {"items": items[:limit], "total_count": 1_000} == found
    # Two keys per session, at most 1,000 keys per command.
    assert {10: {"mget": 1}, 500: {"mget": 1}, 1_000: {"mget": 2}} == counts


ALL_FIELDS = """query ($limit: Int!) {
    compute_session_list(limit: $limit) {
        items { session_id live_stat inference_metrics kernels { kernel_id live_stat few: live_stat(fields: ["mem.pct"]) } }
    }
    endpoint_list { items { endpoint_id live_stat replicas { session_id live_stat } } }
}"""


async def test_http_answers_are_those_of_the_schema(client: Redis, servers: dict[str, str], start: Start) -> None:
    """The manager writes encoded values: its data, errors and problems are those that are not encoded."""
    sessions = sorted(str(uuid4()) for _ in range(130))
    inventory = MemoryInventory()
    payloads: list[Any] = [
        {"mem": {"current": "5", "capacity": "10", "pct": "50.00", "unit_hint": "bytes"}, "net_rx": {"pct": "1"}},
        {"mem": {"current": float("nan"), "odd": 2**64 - 1}},
        {"mem": 5},
    ]
    for number, session_id in enumerate(sessions):
        inventory.register_kernel(KernelRecord(kernel_id=session_id, session_id=session_id, agent_id=None))
        payload = b"\xc1" if number % 4 == 3 else msgpack.packb(payloads[number % 4])
        if number % 5:
            client.set(session_id, payload, ex=86_400)
    async with (
        start(sessions, {**servers, "TICK_S": "3600"}) as manager,
        aclosing(ValkeyStatistics.from_url(servers["STATISTICS_URL"])) as store,
    ):
        answer = await manager.query(ALL_FIELDS, limit=1_000)
        expected = await Host(statistics=store, inventory=inventory).execute(ALL_FIELDS, limit=1_000)

    def in_order(parts: Sequence[Any]) -> list[Any]:
        return sorted(parts, key=lambda part: json.dumps([part["path"], part["message"]]))

    assert expected.data["compute_session_list"] == answer["data"]["compute_session_list"]
    assert in_order(expected.errors) == in_order(answer["errors"])
    assert in_order(expected.extensions["problems"]) == in_order(answer["extensions"]["problems"])


async def test_busy_kernels_get_another_replica_once(client: Redis, servers: dict[str, str], start: Start) -> None:
    """The tick decides on real data: one step up, and then the rule is in its cooldown."""
    sessions = [str(uuid4()) for _ in range(3)]
    _plant(client, sessions)
    async with asyncio.timeout(30), start(sessions, servers) as manager:
        assert manager.process.stderr is not None
        logged = (await manager.process.stderr.readline()).decode().strip()
        assert f"manager: {MAIN_ENDPOINT}: 2 to 3: busy: cpu_util 90 > 80: +1" == logged
        decided = await manager.replicas(saying="cooling down")
    assert 3 == decided["replicas"]


async def test_a_silent_agent_changes_no_replicas(client: Redis, servers: dict[str, str], start: Start) -> None:
    """Its last numbers are in the store for a day; after the freshness limit they are stale, and the rule abstains."""
    sessions = [str(uuid4()) for _ in range(2)]
    _plant(client, sessions)
    for session_id in sessions:
        client.expire(session_id, 86_400 - 61)  # written 61 seconds ago
    async with asyncio.timeout(30), start(sessions, servers) as manager:
        answer = await manager.query("{ compute_session_list { items { live_stat } } }")
        decided = await manager.replicas(saying="abstained")
    assert ["stale", "stale"] == [problem["kind"] for problem in answer["extensions"]["problems"]]
    assert 2 == decided["replicas"]
    assert "stale" in decided["rules"]["busy"]


@pytest.mark.parametrize("body", [b"null", b'"x"', b"[" * 100_000, b"{", b"\xff"])
async def test_a_body_that_is_not_a_query_is_a_bad_request(body: bytes, start: Start) -> None:
    """Status 400, without a traceback in the log; the next request is answered."""
    async with asyncio.timeout(60), start([str(uuid4())], {**NOWHERE, "TICK_S": "3600"}) as manager:
        headers = {"content-type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{manager.url}/graphql", data=body, headers=headers) as no,
        ):
            assert 400 == no.status
        assert {"data": {"queriers": [{"name": "container"}]}} == await manager.query("{ queriers { name } }")
        manager.process.terminate()
        await manager.process.wait()
        assert manager.process.stderr is not None
        assert b"Traceback" not in await manager.process.stderr.read()


async def test_a_dead_store_changes_no_replicas(start: Start) -> None:
    """Without servers the manager runs: queries have errors on their paths, and rules abstain."""
    sessions = [str(uuid4()) for _ in range(2)]
    async with asyncio.timeout(60), start(sessions, NOWHERE) as manager:
        answer = await manager.query(FAILING_QUERY)
        decided = await manager.replicas(saying="abstained")
    assert [{"inference_metrics": None}] * 2 == answer["data"]["compute_session_list"]["items"]
    assert ["UnavailableError"] * 2 == [error["extensions"]["code"] for error in answer["errors"]]
    paths = [["compute_session_list", "items", n, "inference_metrics"] for n in range(2)]
    assert paths == [error["path"] for error in answer["errors"]]
    assert 2 == decided["replicas"]


async def test_a_running_request_is_finished_when_the_manager_stops(
    start_valkey: Callable[..., Server], start_prometheus: Callable[..., Server], start: Start
) -> None:
    """SIGTERM while Valkey is slow: the answer is sent, then the process ends with 0 and no traceback."""
    valkey, prometheus = start_valkey(), start_prometheus()
    sessions = [str(uuid4()) for _ in range(2)]
    settings = {"STATISTICS_URL": valkey.url, "METRICS_URL": prometheus.url, "TICK_S": "3600"}
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        metrics = _plant(client, sessions)
    async with asyncio.timeout(60), start(sessions, settings) as manager:
        await manager.query(FAILING_QUERY)  # opens the connections
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            request = asyncio.create_task(manager.query(FAILING_QUERY))
            await until(lambda: any(_sockets(valkey.port, CONNECTED)), "a read of Valkey")
            manager.process.send_signal(signal.SIGTERM)
            port = int(manager.url.rpartition(":")[2])
            await until(lambda: not _sockets(port, LISTENING), "a manager that accepts no new requests")
            assert manager.process.returncode is None
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        answer = await request
        assert 0 == await manager.process.wait()
        assert manager.process.stderr is not None
        assert b"Traceback" not in await manager.process.stderr.read()
    items = answer["data"]["compute_session_list"]["items"]
    assert [{"inference_metrics": metrics[session_id]} for session_id in sorted(sessions)] == items
