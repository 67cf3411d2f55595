"""Servers with deviations from the API of Prometheus, and proxies that let only a part of it through."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from tests.faults.fake_prometheus import RANGE, Reply, StartClient, StartFake, vector
from yarl import URL

from statcore.errors import AccessDeniedError, QueryRejectedError
from statcore.promql import Selector
from statcore.queriers import LabelMatcher
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(250)]


@asynccontextmanager
async def proxy_before(server: Server, *, status: int) -> AsyncIterator[str]:
    """Run a proxy that passes each GET on, and answers any other method with a status; yield its URL."""
    async with ClientSession() as client:

        async def handle(request: web.Request) -> web.Response:
            if request.method != "GET":
                return web.Response(status=status, text="only GET is allowed here")
            async with client.get(URL(f"{server.url}{request.raw_path}", encoded=True)) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as running:
            yield str(running.make_url("")).rstrip("/")


@pytest.mark.parametrize("status", [403, 405, 501])
async def test_a_proxy_that_allows_only_get_gets_gets(start_prometheus: Callable[..., Server], status: int) -> None:
    """Every method gives the answer that a real server gives without the proxy."""
    server = start_prometheus()
    async with proxy_before(server, status=status) as url, aclosing(PrometheusClient(url)) as client:
        assert [1.0] == [sample.value for sample in (await client.query("vector(1)")).samples]
        assert 1 == len((await client.query_range("vector(1)", RANGE)).series)
        assert [] == list(await client.series(Selector("absent")))
        assert [] == list(await client.label_values("absent"))
        with pytest.raises(QueryRejectedError, match="parse error"):
            await client.query("up{")


async def test_a_server_that_refuses_posts_gets_gets_afterwards(fake_client: StartClient, http_reply: Reply) -> None:
    """After one refused POST, GETs follow, with the parameters of the form."""
    server, client = await fake_client(http_reply("no", status=405), http_reply(vector("7")))
    await client.query("up")
    await client.query("up")
    assert ["POST", "GET", "GET"] == [request.method for request in server.seen]
    for request in server.seen:
        assert "up" == (request.form or request.parameters)["query"]
    assert "content-type" not in server.seen[1].headers


@pytest.mark.parametrize(("status", "methods"), [(403, ["POST", "GET", "POST"]), (405, ["GET", "GET", "GET"])])
async def test_a_post_that_is_forbidden_to_a_tenant_is_sent_for_another(
    fake_client: StartClient, http_reply: Reply, status: int, methods: list[str]
) -> None:
    """A proxy that forbids the POST, with 403, may allow that of another tenant; one that knows no POST does not."""
    server, client = await fake_client(http_reply("no", status=status), http_reply(vector("7")))
    first = client.for_tenant("a")
    await first.query("up")
    assert ["POST", "GET"] == [request.method for request in server.seen]
    server.seen.clear()
    for other in (client, first, client.for_tenant("b")):
        await other.query("up")
    assert methods == [request.method for request in server.seen]


async def test_where_get_is_denied_too_the_credential_is_named(fake_client: StartClient, http_reply: Reply) -> None:
    """The error names the credential, and the next query begins with a POST again."""
    server, client = await fake_client(http_reply("denied", status=403))
    for _ in range(2):
        with pytest.raises(AccessDeniedError, match="credential is missing"):
            await client.query("up")
    assert ["POST", "GET"] * 2 == [request.method for request in server.seen]


@pytest.mark.parametrize("path", ["", "/", "/api/v1", "/api/v1/", "/a/prometheus/", "/a/prometheus//api/v1//"])
async def test_a_base_url_may_end_in_the_path_of_the_api(fake_prometheus: StartFake, http_reply: Reply, path: str) -> None:
    """People copy such a URL from a browser, with a prefix or without one; a server may be at a path of a proxy.

    Queries are forms, other requests have their parameters in the URL.
    """
    server = await fake_prometheus(http_reply(vector("7")), http_reply('{"status":"success","data":["a"]}'))
    async with aclosing(PrometheusClient(f"{server.url}{path}")) as client:
        await client.query("up == 1 + 1")
        assert ["a"] == list(await client.label_values("job", match=Selector("up")))
    prefix = "/a/prometheus" if "prometheus" in path else ""
    queried, listed = server.seen
    assert ("POST", f"{prefix}/api/v1/query", "up == 1 + 1") == (queried.method, queried.path, queried.form["query"])
    assert ("GET", f"{prefix}/api/v1/label/job/values", {}) == (listed.method, listed.path, listed.form)
    assert {"match[]": "up"} == listed.parameters


async def test_series_of_250_ids_are_requested_by_a_form(
    fake_prometheus: StartFake, http_reply: Reply, start_prometheus: Callable[..., Server]
) -> None:
    """A URL of that length is too long for many proxies; a real server accepts the form."""
    selector = Selector("up", {"kernel_id": LabelMatcher.one_of(IDS)})
    found = await fake_prometheus(http_reply('{"status":"success","data":[{"__name__":"up"}]}'))
    async with aclosing(PrometheusClient(found.url)) as client:
        assert [{"__name__": "up"}] == list(await client.series(selector))
    (request,) = found.seen
    assert ("POST", "/api/v1/series", {}) == (request.method, request.path, request.parameters)
    assert all(id_ in request.form["match[]"] for id_ in IDS)
    async with aclosing(PrometheusClient(start_prometheus().url)) as client:
        assert [] == list(await client.series(selector))


async def test_dotted_label_names_are_requested_in_both_spellings(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The first request has the name as newer Prometheus reads it, the second as VictoriaMetrics does."""
    nothing, values = http_reply('{"status":"success","data":[]}'), http_reply('{"status":"success","data":["a"]}')
    for answers, expected in (((values,), 1), ((nothing, values), 2), ((nothing, nothing), 2)):
        server = await fake_prometheus(*answers)
        async with aclosing(PrometheusClient(server.url)) as client:
            found = list(await client.label_values("service.name", match=Selector("up")))
        assert (["a"] if answers[-1] is values else []) == found
        paths = ["/api/v1/label/U__service_2e_name/values", "/api/v1/label/service%2Ename/values"]
        assert paths[:expected] == [request.path for request in server.seen]
        assert {"up"} == {request.parameters["match[]"] for request in server.seen}


@pytest.mark.parametrize("text", ["U__a", "a_b"])
async def test_a_classic_label_name_is_requested_once(fake_client: StartClient, http_reply: Reply, text: str) -> None:
    """A classic name needs no second request; a name that looks escaped is escaped."""
    server, client = await fake_client(http_reply('{"status":"success","data":[]}'))
    assert [] == list(await client.label_values(text))
    assert 1 == len(server.seen)


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        ({}, "write victoriametrics://"),
        ({"version": "2.24.0"}, "write victoriametrics://"),
        ({"version": "2.42.0", "revision": "x", "goVersion": "go1.19"}, None),
        ({"application": "Grafana Mimir", "version": "r249"}, None),
    ],
)
async def test_a_victoriametrics_is_recognized(
    fake_client: StartClient, http_reply: Reply, data: dict[str, str], finding: str | None
) -> None:
    """Its build information has fewer members than that of other servers."""
    _, client = await fake_client(http_reply(json.dumps({"status": "success", "data": data})))
    found = await client.diagnose()
    assert (finding is None) is (found is None)
    assert finding is None or finding in (found or "")


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_server_without_build_information_is_fine(fake_client: StartClient, http_reply: Reply, status: int) -> None:
    """A proxy may refuse the request for build information."""
    _, client = await fake_client(http_reply("no", status=status), http_reply(vector("1")), attempts=1)
    assert await client.diagnose() is None


async def test_parameters_go_with_every_request(fake_client: StartClient, http_reply: Reply) -> None:
    """They are sent with queries and lists, but replace no parameter of the request itself."""
    server, client = await fake_client(
        http_reply(vector("7")),
        http_reply('{"status":"success","data":["a"]}'),
        parameters={"dedup": "a&b", "match[]": "down", "timeout": "1h"},
    )
    await client.query("up")
    await client.label_values("job", match=Selector("up"))
    queried, listed = server.seen
    assert ("a&b", "down") == (queried.form["dedup"], queried.form["match[]"])
    assert "1h" != queried.form["timeout"]
    assert {"match[]": "up", "dedup": "a&b", "timeout": "1h"} == listed.parameters
