"""Whatever a client sends, the answer is JSON with codes, never a server error, and never what its scope lacks."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.graphql_queries import ODD_TEXTS, json_values, random_queries
from tests.support.scoped_world import ENDPOINTS, KERNELS, PRESETS, START, id_of, world
from tests.support.web_host import Client, TokenFile, serving

from statcore_web import Tokens

PROJECT: Final = id_of("project", 0)
MINE: Final[set[str]] = {
    *(id_ for kernel in KERNELS if kernel.project_id == PROJECT for id_ in (kernel.kernel_id, str(kernel.session_id))),
    *(endpoint.endpoint_id for endpoint in ENDPOINTS if endpoint.project_id == PROJECT),
    *(replica.replica_id for endpoint in ENDPOINTS if endpoint.project_id == PROJECT for replica in endpoint.replicas),
}
ALL: Final[set[str]] = {
    *(id_ for kernel in KERNELS for id_ in (kernel.kernel_id, str(kernel.session_id))),
    *(endpoint.endpoint_id for endpoint in ENDPOINTS),
    *(replica.replica_id for endpoint in ENDPOINTS for replica in endpoint.replicas),
    id_of("project", 1),
}
FOREIGN: Final = ALL - MINE


INTERNALS: Final = ("Traceback", "site-packages", "statcore_", "127.0.0.1", "/tmp/", "object at 0x")  # noqa: S108 - searched for
"""Texts that show how the service is made, or where it runs."""


class Sent(NamedTuple):
    """A response."""

    status: int
    text: str

    def shown(self, sent: str) -> list[str]:
        """Return what is shown of other projects and of the inside of the service, and was not sent."""
        return [text for text in (*FOREIGN, *INTERNALS) if text in self.text and text not in sent]

    def codes(self) -> set[str]:
        """Return the codes of the errors, each of which must have one."""
        return {error["extensions"]["code"] for error in json.loads(self.text).get("errors", [])}


@attrs.frozen
class Service:
    """A running service with two projects, and a caller who may see one of them."""

    client: Client
    secret: str
    runner: asyncio.Runner

    def send(self, method: str = "POST", path: str = "/graphql", **options: Any) -> Sent:
        """Send a request of the caller; options as `aiohttp.ClientSession.request`."""

        async def send() -> Sent:
            headers = {"Authorization": f"Bearer {self.secret}", **options.pop("headers", {})}
            async with self.client.request(method, path, headers=headers, **options) as response:
                return Sent(response.status, await response.text())

        return self.runner.run(send())

    def query(self, query: str, **variables: Any) -> Sent:
        """Send a query by POST."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        return self.send(data=body, headers={"Content-Type": "application/json"})

    def send_bytes(self, sent: bytes) -> bytes:
        """Send bytes on a connection of their own, and return what is answered until it ends."""

        async def exchange() -> bytes:
            reader, writer = await asyncio.open_connection(self.client.host, self.client.port)
            try:
                writer.write(sent)
                writer.write_eof()
                return await reader.read()
            except ConnectionError:  # the service does not read the rest of what it refuses
                return b""
            finally:
                writer.close()

        return self.runner.run(exchange())


@asynccontextmanager
async def scoped_client(folder: Path) -> AsyncGenerator[tuple[Client, str]]:
    """Serve two projects within the block, and yield a client with the secret of a token for one of them."""
    file = TokenFile(folder / "tokens.toml")
    secret = file.write(mine=f'scope = {{ project_id = ["{PROJECT}"] }}')["mine"]
    runtime = await world(KERNELS, ENDPOINTS, ("i-1", "i-2"))
    async with serving(runtime, tokens=Tokens(str(file.path)), presets=PRESETS) as client:
        yield client, secret


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for all examples of the module."""
    with asyncio.Runner() as runner:
        opened = scoped_client(tmp_path_factory.mktemp("tokens"))
        client, secret = runner.run(opened.__aenter__())
        yield Service(client, secret, runner)
        runner.run(opened.__aexit__(None, None, None))


def texts() -> st.SearchStrategy[str]:
    """Return texts that arguments may hold: ids of both projects, names, times, and anything."""
    times = [(START + timedelta(minutes=minute)).isoformat() for minute in (0, 3)]
    known = [*sorted(ALL), "container", "most", "mem", "1m", "project_id", "i-1", "mem.current", ".*", *times]
    return st.sampled_from(known) | st.sampled_from(ODD_TEXTS) | st.text(max_size=5)


FITTING: Final[dict[str, st.SearchStrategy[Any]]] = {
    "session_id": st.sampled_from(sorted(ALL)),
    "querier": st.just("container"),
    "name": st.just("most"),
    "selector": st.fixed_dictionaries(
        {"metric_name": st.just("mem")},
        optional={f"{kind}_id": st.sampled_from(sorted(ALL)) for kind in ("kernel", "session", "user", "project")},
    ),
    "labels": st.dictionaries(st.sampled_from(["project_id", "kernel_id"]), st.sampled_from(sorted(ALL)), max_size=1),
    "group_labels": st.lists(st.sampled_from(["project_id", "kernel_id", "session_id"]), unique=True, max_size=3),
    "fields": st.just(["mem.current"]),
    "start": st.just(START.isoformat()),
    "end": st.just((START + timedelta(minutes=3)).isoformat()),
    "time": st.just(START.isoformat()),
    "step": st.just("1m"),
    "limit": st.integers(1, 20),
    "offset": st.integers(0, 2),
}
"""Values of arguments that are accepted, by the argument's name."""


ROOTS: Final = {
    "String!": "compute_session(session_id: $v) { live_stat }",
    "Int!": "agent_list(limit: $v) { total_count }",
    "[String!]": "compute_session_list(filter: $v) { total_count }",
    "String": "endpoint_list(after: $v) { total_count }",
    "JSON!": 'utilization(querier: "container", selector: $v, start: "0", end: "1", step: "1s") { partial }',
    "JSON": 'preset_result_at(name: "most", time: "0", labels: $v) { partial }',
}
"""A field for a variable of each type."""
QUERIES: Final = random_queries(FITTING, texts())
PIECES: Final = (
    *("{", "}", "(", ")", "[", "]", ":", "!", "$", "$v", "...", "#", '"', '"""', "\\", "\x00", "\ud800", "\ufeff"),
    *("@skip(if: true)", "@include(if: 1)", "@nothing", "... on Session { x }", "...F", "fragment F on Query { ...F }"),
    *("query A", "mutation", "subscription { x }", "__schema { types { name } }", "__typename", "__nothing", "x" * 5_000),
)


@st.composite
def nearly_queries(draw: st.DrawFn) -> str:
    """Draw a query in which some characters are replaced."""
    query = draw(QUERIES)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(query)))
        query = query[:place] + draw(st.sampled_from(PIECES)) + query[place + draw(st.integers(0, 4)) :]
    return query


@given(query=QUERIES | nearly_queries())
def test_no_query_fails_the_server_or_leaves_its_scope(service: Service, query: str) -> None:
    """The status is that of a query. Every error has a code, and none is internal. No id of the other project is there."""
    answer = service.query(query)
    assert answer.status in (200, 400), answer
    assert not {"InternalError", "PluginError"} & answer.codes(), answer
    assert [] == answer.shown(query)


@given(
    type_=st.sampled_from(sorted(ROOTS)),
    value=json_values(texts() | st.sampled_from(sorted(ALL)))
    | st.sampled_from([10**400, -(2**63), 1e308, math.nan, math.inf, [[]] * 9, {"": {}}, {"__class__": "x"}]),
)
def test_no_variable_fails_the_server_or_leaves_its_scope(service: Service, type_: str, value: object) -> None:
    """A value that does not fit its type is an error of the query, whatever it is."""
    answer = service.query(f"query ($v: {type_}) {{ {ROOTS[type_]} }}", v=value)
    assert answer.status in (200, 400), answer
    assert answer.codes() <= {"InputError", "LimitError"}, answer
    assert [] == answer.shown(json.dumps(value, ensure_ascii=False))


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    path=st.sampled_from(["/graphql", "/explorer", "/healthz", "/readyz", "/metrics"]),
    parameters=st.dictionaries(
        st.sampled_from(["query", "variables", "operationName", "extensions", "other"]),
        st.sampled_from(["{ schema_version }", "{}", "[", "null", "A", *ODD_TEXTS[:2]]) | st.text(max_size=9),
    ),
    body=st.none() | st.binary(max_size=50) | json_values(texts()).map(lambda value: json.dumps(value).encode()),
    headers=st.fixed_dictionaries(
        {
            "Content-Type": st.sampled_from(
                ["application/json", "application/json; charset=x", "text/plain", "x", "", "a/b;;="]
            )
        },
        optional={
            "Content-Encoding": st.sampled_from(["identity", "x"]),
            "Accept": st.sampled_from(["*/*", "application/json", "text/html", ";;q=", "application/json;q=nan", ",", "é"]),
            "If-None-Match": st.sampled_from(["*", '"x"', "x", 'W/"', ",", "é"]),
            "Authorization": st.sampled_from(["", "Bearer", "Bearer x", "Basic eDp5", "Bearer é", "x" * 5_000]),
            "X-Request-Id": st.sampled_from(["a", "é", "x" * 5_000]),
            "traceparent": st.sampled_from(["00-0-0-0", "x", "é"]),
        },
    ),
)
def test_no_request_fails_the_server(
    service: Service, method: str, path: str, parameters: dict[str, str], body: bytes | None, headers: dict[str, str]
) -> None:
    """What is not a request of the service is refused, with a code unless the method is HEAD.

    A body that is not compressed as its header says is refused by the server below, as in the next test.
    """
    answer = service.send(method, path, params=parameters, data=body, headers=headers, skip_auto_headers=["Content-Type"])
    assert answer.status in (200, 304, 400, 401, 405, 406, 415), answer
    if answer.status >= HTTPStatus.BAD_REQUEST and method != "HEAD":
        assert answer.codes() <= {"InputError", "UnauthenticatedError"}, answer
        assert [] == answer.shown(repr((parameters, headers, body)))


HEADS: Final = (
    *(b"GET /graphql?query=%7B__typename%7D HTTP/1.1", b"POST /graphql HTTP/1.1", b"GET /readyz HTTP/1.1", b"x" * 9_000),
    *(
        b"GET /graphql?query=" + b"x" * 9_000 + b" HTTP/1.1",
        b"GET \xff HTTP/1.1",
        b"GET / HTTP/9.9",
        b"CONNECT x:1 HTTP/1.1",
    ),
)
LINES: Final = (
    *(b"Host: x", b"Host: x\x00", b"Content-Length: 2", b"Content-Length: -1", b"Content-Length: " + b"9" * 30),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Content-Encoding: gzip", b"Expect: 100-continue"),
    *(b"Expect: x", b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Type: application/json"),
    *(b"x" * 9_000, b": x", b" folded", b"X: " + b"x" * 9_000, b"X: \xff\x00", b"Authorization: Bearer \xff"),
)
RESTS: Final = (b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n", b"\x16\x03\x01\x02\x00", b"\r\n" * 50)


@given(
    head=st.sampled_from(HEADS),
    lines=st.lists(st.sampled_from(LINES), max_size=4),
    rest=st.sampled_from(RESTS) | st.binary(max_size=9),
    missing=st.integers(0, 9),
)
def test_no_bytes_fail_the_server(service: Service, head: bytes, lines: list[bytes], rest: bytes, missing: int) -> None:
    """What is not HTTP is refused by the server below, and the service answers the next request."""
    sent = b"\r\n".join([head, *lines, b"", b""])
    answer = service.send_bytes(sent[: len(sent) - missing] + rest).decode(errors="replace")
    statuses = [line.split(" ")[1] for line in answer.splitlines() if line.startswith("HTTP/1.")]
    assert not [status for status in statuses if status >= "500"], answer
    assert [] == Sent(0, answer).shown("")
    assert HTTPStatus.OK == service.send("GET", "/healthz").status
