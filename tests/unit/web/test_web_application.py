"""The routes in a host's application: who needs a token, health, readiness, the page, and what a failure shows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import strawberry
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.support.graphql_host import ADDRESS, Unreachable, inventory_of
from tests.support.polling import until
from tests.support.web_host import SESSIONS, TokenFile, codes, get, post, runtime_of, serving

from statcore.errors import InputError
from statcore.plugins import PluginRegistry
from statcore.ports import InventoryPort
from statcore_graphql.schema import Query
from statcore_memory import MemoryStatistics
from statcore_web import Limits, Tokens, application, attach

QUERY = "{ schema_version }"


async def test_without_tokens_every_caller_sees_everything() -> None:
    """A header that is sent nevertheless is not read."""
    async with serving() as client:
        assert 200 == (await post(client, QUERY)).status
        assert 200 == (await post(client, QUERY, token="any")).status  # noqa: S106 - not a secret


async def test_with_tokens_only_graphql_needs_one(tmp_path: Path) -> None:
    """A wrong token is 401 in both methods; probes, scrapers and the page need none."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    async with serving(tokens=Tokens(str(file.path))) as client:
        for send in (get, post):
            assert 200 == (await send(client, QUERY, token=secret)).status
            for wrong in (None, "statcore_wrong", secret[:-1]):
                response = await send(client, QUERY, token=wrong)
                assert (401, ["UnauthenticatedError"]) == (response.status, await codes(response))
                assert "Bearer" in response.headers["WWW-Authenticate"]
        for path in ("/explorer", "/healthz", "/readyz", "/metrics"):
            assert 200 == (await client.get(path)).status


async def test_a_token_is_read_from_its_header_alone(tmp_path: Path) -> None:
    """A browser sends cookies for pages of others, and addresses are in logs and histories."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    names = ("token", "access_token", "authorization", "Authorization")
    async with serving(tokens=Tokens(str(file.path))) as client:
        client.session.cookie_jar.update_cookies(dict.fromkeys(names, secret), client.make_url("/"))
        response = await client.get("/graphql", params={"query": QUERY, **dict.fromkeys(names, secret)})
        assert 401 == response.status
        assert 200 == (await get(client, QUERY, token=secret)).status


async def test_tokens_expire_and_are_revoked_and_rotated_while_serving(tmp_path: Path) -> None:
    """The next request of the same connection is decided by the file as it is then."""
    file = TokenFile(tmp_path / "tokens.toml")
    first = file.write(ci='scope = "everything"', old='scope = "everything"\nexpires = 2020-01-01T00:00:00Z')
    async with serving(tokens=Tokens(str(file.path))) as client:
        assert [200, 401] == [(await post(client, QUERY, token=first[name])).status for name in ("ci", "old")]
        second = file.write(ci='scope = "everything"')
        assert [401, 200] == [(await post(client, QUERY, token=tokens["ci"])).status for tokens in (first, second)]
        file.write()
        assert 401 == (await post(client, QUERY, token=second["ci"])).status


async def test_the_service_is_ready_when_both_ports_answer() -> None:
    """Readiness names the ports, but no address; the process is alive nevertheless."""
    async with serving() as client:
        response = await client.get("/readyz")
        healthy = {"healthy": True, "error": None}
        assert 200 == response.status
        assert {"healthy": True, "ports": {"statistics": healthy, "metrics": healthy}} == await response.json()
    async with serving(runtime_of(metrics=Unreachable())) as client:
        response = await client.get("/readyz")
        text = await response.text()
        failed = {"healthy": False, "error": "UnavailableError"}
        assert 503 == response.status
        assert {"healthy": False, "ports": {"statistics": healthy, "metrics": failed}} == json.loads(text)
        assert ADDRESS not in text
        alive = await client.get("/healthz")
        assert (200, {"alive": True}) == (alive.status, await alive.json())


@pytest.mark.parametrize("path", ["/graphql", "/explorer", "/healthz", "/readyz", "/metrics"])
async def test_a_method_that_a_route_does_not_have_is_an_error_with_a_code(path: str) -> None:
    """The answer names the methods, also to a caller without a token; a HEAD is answered like a GET, without a body."""
    async with serving() as client:
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            response = await client.request(method, path)
            assert (405, ["InputError"]) == (response.status, await codes(response))
            assert {"GET", "HEAD"} == set(response.headers["Allow"].split(", ")) - {"POST"}
        head, answer = [await client.request(method, path, params={"query": QUERY}) for method in ("HEAD", "GET")]
        assert (head.status, head.headers["Content-Type"]) == (answer.status, answer.headers["Content-Type"])
        assert b"" == await head.read()


@attrs.define
class Pinged:
    """A port that counts its pings, and answers them when it may."""

    pings: int = 0
    entered: asyncio.Event = attrs.field(factory=asyncio.Event)
    may_answer: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def ping(self) -> None:
        """Count a ping and wait."""
        self.pings += 1
        self.entered.set()
        await self.may_answer.wait()


async def test_probes_share_a_check_of_readiness() -> None:
    """Requests that come while a check runs, or within a second after it, send no ping of their own."""
    now, port = 100.0, Pinged()
    readiness = application.Readiness({"store": port}, clock=lambda: now)
    waiting = [asyncio.create_task(readiness.report()) for _ in range(100)]
    await port.entered.wait()
    waiting.pop().cancel()
    port.may_answer.set()
    reports = await asyncio.gather(*waiting)
    assert ([True], 1) == (list({report.healthy for report in reports}), port.pings)
    now += 0.9
    assert reports[0] is await readiness.report()
    now += 0.2
    await readiness.report()
    assert 2 == port.pings


async def test_a_probe_that_goes_away_leaves_the_check_to_the_others() -> None:
    """If the one that pings is cancelled, the next one pings."""
    port = Pinged()
    readiness = application.Readiness({"store": port})
    first = asyncio.create_task(readiness.report())
    await port.entered.wait()
    second = asyncio.create_task(readiness.report())
    first.cancel()
    port.may_answer.set()
    assert (await second).healthy
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_host_may_put_all_routes_below_a_prefix() -> None:
    """Without the prefix, the paths are the host's."""
    async with serving(prefix="/live/statistics") as client:
        assert 404 == (await client.get("/graphql")).status
        assert 200 == (await client.post("/live/statistics/graphql", json={"query": QUERY})).status


@pytest.mark.parametrize("prefix", ["live", "/live/", "/"])
def test_a_prefix_that_cannot_begin_a_path_is_refused(prefix: str) -> None:
    """The routes would be somewhere else."""
    with pytest.raises(InputError, match="prefix must begin with a slash"):
        attach(web.Application(), runtime_of(), PluginRegistry.discover(), prefix=prefix)


async def test_routes_of_the_host_stay_its_own() -> None:
    """Its application has its routes and its middlewares beside ours."""
    app = web.Application()
    attach(app, runtime_of(), PluginRegistry.discover(), prefix="/statistics")

    async def own(_: web.Request) -> web.Response:
        return web.Response(text="own")

    app.router.add_get("/metrics", own)
    async with TestClient(TestServer(app)) as client:
        assert "own" == await (await client.get("/metrics")).text()
        assert "X-Request-Id" not in (await client.get("/metrics")).headers


async def test_an_unexpected_error_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a code; the log has the traceback, and the next request is answered."""

    def fail(*_: object) -> None:
        raise KeyError("the secret of the service")

    async with serving() as client:
        with monkeypatch.context() as patch:
            patch.setattr(application, "confine", fail)
            response = await post(client, QUERY)
        text = await response.text()
        assert (500, ["InternalError"]) == (response.status, await codes(response))
        assert "secret" not in text
        assert "the secret of the service" in caplog.text
        assert 200 == (await post(client, QUERY)).status


async def test_a_client_that_goes_away_ends_nothing_else() -> None:
    """Its request ends, its place is free again, and other requests are answered."""
    entered, release = asyncio.Event(), asyncio.Event()

    @strawberry.type
    class Waiting(Query):
        @strawberry.field
        async def wait(self) -> int:
            entered.set()
            await release.wait()
            return 1

    async with serving(query=Waiting) as client:
        lost = asyncio.create_task(post(client, "{ wait }"))
        await entered.wait()
        lost.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lost
        assert 200 == (await post(client, QUERY)).status
        release.set()


class OfHost:
    """An inventory that does not know owners, over another one."""

    def __init__(self, inventory: InventoryPort) -> None:
        """Take the methods that every inventory has."""
        self.list_sessions, self.find_sessions = inventory.list_sessions, inventory.find_sessions
        self.list_endpoints, self.find_endpoints = inventory.list_endpoints, inventory.find_endpoints
        self.list_agents = inventory.list_agents


async def test_a_scope_that_cannot_be_checked_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without owners nothing is read for a scoped token; the operator is answered. The log says so already at the start."""
    file = TokenFile(tmp_path / "tokens.toml")
    secrets = file.write(
        scoped='scope = { project_id = ["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"] }', operator='scope = "everything"'
    )
    runtime = runtime_of(inventory=OfHost(inventory_of(1)))
    async with serving(runtime, tokens=Tokens(str(file.path))) as client:
        refused = await post(client, SESSIONS, token=secrets["scoped"])
        assert (501, ["UnsupportedError"]) == (refused.status, await codes(refused))
        assert 200 == (await post(client, SESSIONS, token=secrets["operator"])).status
        records = [record for record in caplog.records if "OfHost does not find" in record.message]
        assert [None, "scoped"] == [getattr(record, "token", None) for record in records]


@pytest.mark.parametrize(
    ("headers", "body"),
    [(b"Content-Length: 100", b'{"query"'), (b"Transfer-Encoding: chunked", b'8\r\n{"query"\r\n')],
    ids=["length", "chunks"],
)
async def test_a_client_that_goes_away_while_it_sends_is_no_failure(
    headers: bytes, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has no traceback, nothing stays running, and the next request is answered."""
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    async with serving(limits=Limits(concurrent_requests=1)) as client:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(head + headers + b"\r\n\r\n" + body)

        async def running(expected: str) -> bool:
            text = await (await client.get("/metrics")).text()
            return f"statcore_http_requests_running {expected}" in text

        await until(lambda: running("2.0"), "a request that runs beside that of the metrics")
        writer.close()
        await writer.wait_closed()
        await until(lambda: running("1.0"), "the end of the request")
        assert 200 == (await post(client, QUERY)).status
    assert "a request failed" not in caplog.text


async def test_presets_are_those_that_the_host_chose() -> None:
    """Without presets no preset is listed; by default the presets of the plugins are."""
    query = "{ presets { name } }"
    async with serving(presets={}) as client:
        document: dict[str, Any] = await (await post(client, query)).json(content_type=None)
    assert {"presets": []} == document["data"]
    async with serving() as client:
        document = await (await post(client, query)).json(content_type=None)
    assert sorted(PluginRegistry.discover().presets) == [preset["name"] for preset in document["data"]["presets"]]


async def test_a_hosts_inventory_and_store_are_read() -> None:
    """Ports of any class take the place of the runtime's."""
    runtime = runtime_of(statistics=MemoryStatistics(), inventory=inventory_of(3))
    async with serving(runtime) as client:
        response = await post(client, "{ compute_session_list { total_count items { live_stat } } }")
        document = await response.json(content_type=None)
    assert {"total_count": 3, "items": [{"live_stat": None}] * 3} == document["data"]["compute_session_list"]
