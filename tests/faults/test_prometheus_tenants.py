"""Tenants of a scripted Mimir: a server that keeps the data of each tenant apart, by the header X-Scope-OrgID.

Mimir itself does not run in the tests. The server answers as Mimir does: 401 and "no org id" without a tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.faults.fake_prometheus import Begun, Reply, StartFake, values, vector
from tests.support.graphql_host import Host

from statcore.errors import AccessDeniedError, ClosedError, InputError
from statcore.model import VectorResult
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_prometheus import PrometheusClient, PrometheusOptions

TIME_S = 1_795_000_000
TENANTS = {f"team-{number}": float(number) for number in range(20)}


@attrs.define
class ScriptedMimir:
    """A server with one sample for each tenant, which records the tenant and the connection of each request."""

    url: str = ""
    tenants: list[list[str]] = attrs.field(factory=list[list[str]])
    connections: set[Any] = attrs.field(factory=set[Any])

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a query with the value of the tenant."""
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        tenants = request.headers.getall("X-Scope-OrgID", [])
        self.tenants.append(tenants)
        if not tenants:
            return web.Response(status=401, text="no org id\n")
        sample = [TIME_S, str(TENANTS[tenants[0]])]
        is_range = request.path.endswith("/query_range")
        element = {"metric": {"value_type": "current"}, **({"values": [sample]} if is_range else {"value": sample})}
        data = {"resultType": "matrix" if is_range else "vector", "result": [element]}
        return web.json_response({"status": "success", "data": data})


@pytest.fixture
async def mimir() -> AsyncIterator[ScriptedMimir]:
    """Run a scripted Mimir."""
    server = ScriptedMimir()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


@pytest.fixture
async def open_client() -> AsyncIterator[Callable[..., PrometheusClient]]:
    """Open a client with options by name, which is closed with the test."""
    async with AsyncExitStack() as stack:

        def open_(url: str, **options: Any) -> PrometheusClient:
            client = PrometheusClient(url, options=PrometheusOptions(**options))
            stack.push_async_callback(client.aclose)
            return client

        yield open_


async def test_each_tenant_gets_its_own_data_over_the_same_connections(
    mimir: ScriptedMimir, open_client: Callable[..., PrometheusClient]
) -> None:
    """Requests of 20 tenants run at once over two connections; the client itself has no tenant."""
    client = open_client(mimir.url, max_connections=2)
    found = await asyncio.gather(*(values(client.for_tenant(tenant)) for tenant in TENANTS))
    assert [[value] for value in TENANTS.values()] == found
    assert 2 >= len(mimir.connections)
    with pytest.raises(AccessDeniedError, match=r"name of a tenant is missing; query through client\.for_tenant"):
        await client.query("up")


async def test_queriers_of_two_tenants_share_no_request(
    mimir: ScriptedMimir, open_client: Callable[..., PrometheusClient]
) -> None:
    """The same queriers at the same time get the values of their own tenant; within a tenant they share a request."""
    client = open_client(mimir.url)
    queriers = [FixedQuerier("up"), FixedQuerier("up")]

    async def read(tenant: str) -> list[float]:
        answers = await UtilizationSource(client.for_tenant(tenant)).read_utilization_now_batch(queriers)
        return [sample.value for answer in answers if isinstance(answer, VectorResult) for sample in answer.samples]

    assert [[3.0, 3.0], [7.0, 7.0]] == await asyncio.gather(read("team-3"), read("team-7"))
    assert [["team-3"], ["team-7"]] == sorted(mimir.tenants)


async def test_a_schema_of_graphql_serves_many_tenants(
    mimir: ScriptedMimir, open_client: Callable[..., PrometheusClient]
) -> None:
    """The same query of ten tenants at once, on one schema and one client, gives each the values of its own."""
    client, host = open_client(mimir.url), Host()
    times = f'start: "{TIME_S}", end: "{TIME_S}", step: "1s"'
    query = f'{{ utilization(querier: "container", selector: {{metric_name: "mem"}}, {times}) {{ series {{ values }} }} }}'

    async def ask(tenant: str) -> str:
        context = attrs.evolve(host.context(), metrics=client.for_tenant(tenant))
        answer = await host.execute(query, context=context)
        (series,) = answer.data["utilization"]["series"]
        return str(series["values"][0][1])

    tenants = list(TENANTS)[:10]
    assert [f"{TENANTS[tenant]:g}" for tenant in tenants] == await asyncio.gather(*map(ask, tenants))


@pytest.mark.parametrize("name", ["X-Scope-OrgID", "x-scope-orgid", "X-SCOPE-ORGID"])
async def test_the_tenant_replaces_that_of_the_options(
    mimir: ScriptedMimir, open_client: Callable[..., PrometheusClient], name: str
) -> None:
    """One header is sent, whatever the case of its name in the options, and the same for a tenant of a tenant's client."""
    client = open_client(mimir.url, headers={name: "team-1"})
    assert [[1.0], [2.0], [3.0], [1.0]] == [
        await values(each)
        for each in (client, client.for_tenant("team-2"), client.for_tenant("team-2").for_tenant("team-3"), client)
    ]
    assert [["team-1"], ["team-2"], ["team-3"], ["team-1"]] == mimir.tenants


async def test_the_header_of_thanos_is_an_option(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The name of the tenant is sent under the header of the options, beside the other headers."""
    server = await fake_prometheus(http_reply(vector("7")))
    options = PrometheusOptions(tenant_header="THANOS-TENANT", headers={"X-Other": "1"}, bearer_token="secret")  # noqa: S106
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        await values(client.for_tenant("team-a"))
    (request,) = server.seen
    assert {"thanos-tenant": "team-a", "x-other": "1", "authorization": "Bearer secret"}.items() <= request.headers.items()
    assert "x-scope-orgid" not in request.headers


async def test_closing_a_tenant_closes_no_connection(
    mimir: ScriptedMimir, open_client: Callable[..., PrometheusClient]
) -> None:
    """The closed one is closed; the client and other tenants go on over the same connection."""
    client = open_client(mimir.url)
    one, other = client.for_tenant("team-1"), client.for_tenant("team-2")
    assert [1.0] == await values(one)
    await one.aclose()
    await one.aclose()
    with pytest.raises(ClosedError):
        await values(one)
    assert [[2.0], [1.0]] == [await values(other), await values(client.for_tenant("team-1"))]
    assert 1 == len(mimir.connections)


async def test_closing_the_client_closes_its_tenants(mimir: ScriptedMimir) -> None:
    """A tenant of it fails at once, and a tenant of that tenant, also if they were never used."""
    client = PrometheusClient(mimir.url)
    used, unused = client.for_tenant("team-1"), client.for_tenant("team-2").for_tenant("team-3")
    await values(used)
    await client.aclose()
    for tenant in (used, unused):
        with pytest.raises(ClosedError):
            await values(tenant)
    assert 1 == len(mimir.tenants)


@pytest.mark.parametrize("owned", [True, False])
async def test_closing_during_a_tenants_request_is_an_error_of_closing(fake_prometheus: StartFake, *, owned: bool) -> None:
    """As it is for the client itself, whether the client closes its own session or the host closes the session it gave."""
    begun = Begun()
    server = await fake_prometheus(begun)
    session = aiohttp.ClientSession()
    client = PrometheusClient(server.url, options=PrometheusOptions(attempts=1), session=None if owned else session)
    request = asyncio.create_task(values(client.for_tenant("team-1").for_tenant("team-2")))
    await begun.wait()
    if owned:
        await client.aclose()
    await session.close()
    with pytest.raises(ClosedError):
        await request


async def test_a_tenant_uses_the_hosts_session_and_does_not_close_it(mimir: ScriptedMimir) -> None:
    """As the client does."""
    async with aiohttp.ClientSession() as session:
        client = PrometheusClient(mimir.url, session=session)
        tenant = client.for_tenant("team-5")
        assert [5.0] == await values(tenant)
        await tenant.aclose()
        await client.aclose()
        assert not session.closed


async def test_tenants_share_what_is_known_of_a_pair(
    mimir: ScriptedMimir, fake_prometheus: StartFake, http_reply: Reply, open_client: Callable[..., PrometheusClient]
) -> None:
    """After one tenant found the first member down, the next tenants begin with the second."""
    down = await fake_prometheus(http_reply(status=503))
    client = open_client(down.url, fallback_urls=(mimir.url,))
    assert [[4.0], [5.0]] == [await values(client.for_tenant(f"team-{number}")) for number in (4, 5)]
    assert 1 == len(down.seen)


@pytest.mark.parametrize(
    "tenant",
    [
        *("", " ", "a b", "a\r\nX-Other: b", "a\nb", "a\x00", "é", "a\ud800", "a" * 151),
        *("a|b", "a,b", "..", ".", "a/b", "a\\b", 7, None, b"a"),
    ],
)
def test_what_is_not_the_name_of_one_tenant_is_refused(tenant: Any) -> None:
    """Injected headers, names of several tenants, and paths."""
    with pytest.raises(InputError, match=r"^tenant must be the name of one tenant"):
        PrometheusClient("http://host").for_tenant(tenant)


@pytest.mark.parametrize("name", ["", "X Y", "X\r\nY", "Authorization", "Content-Length", 7])
def test_a_header_that_cannot_name_a_tenant_is_refused(name: Any) -> None:
    """A header that the adapter sets itself, or with which a tenant's name would be a credential."""
    with pytest.raises(InputError, match="tenant_header"):
        PrometheusOptions(tenant_header=name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", ""), ("/", ""), ("/a/", "/a"), ("/a%2Fb/api/v1/", "/a%2Fb"), ("/select/1:2/p", "/select/1:2/p")],
)
async def test_a_base_path_is_that_of_a_url(
    fake_prometheus: StartFake, http_reply: Reply, path: str, expected: str
) -> None:
    """With or without a slash or `/api/v1` at its end; the path of the client itself stays."""
    server = await fake_prometheus(http_reply(vector("7")))
    async with aclosing(PrometheusClient(f"{server.url}/b")) as client:
        await values(client.at_base_path(lambda old: path if old == "/b" else "/not-the-present-path"))
        await values(client)
    assert [f"{expected}/api/v1/query", "/b/api/v1/query"] == [request.path for request in server.seen]


@pytest.mark.parametrize("path", ["x", "/a b", "/a?b", "/a#b", "/a@b", "/é", "/a\n", None])
def test_a_base_path_that_cannot_be_sent_is_refused(path: Any) -> None:
    """Nothing is opened before."""
    with pytest.raises(InputError, match="base path"):
        PrometheusClient("http://host").at_base_path(lambda _: path)
