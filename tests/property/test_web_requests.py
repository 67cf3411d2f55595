"""Whatever a client sends, the answer is JSON with codes, never a server error, and never what its scope lacks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

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


class Sent(NamedTuple):
    """A response."""

    status: int
    text: str


@asynccontextmanager
async def scoped_client(folder: Path) -> AsyncGenerator[tuple[Client, str]]:
    """Serve two projects within the block, and yield a client with the secret of a token for one of them."""
    file = TokenFile(folder / "tokens.toml")
    secret = file.write(mine=f'scope = {{ project_id = ["{PROJECT}"] }}')["mine"]
    runtime = await world(KERNELS, ENDPOINTS, ("i-1", "i-2"))
    async with serving(runtime, tokens=Tokens(str(file.path)), presets=PRESETS) as client:
        yield client, secret


@pytest.fixture(scope="module")
def send(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that sends a body to a service with two projects, as a caller who may see one of them."""
    loop = asyncio.new_event_loop()
    service = scoped_client(tmp_path_factory.mktemp("tokens"))

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return loop.run_until_complete(coroutine)

    client, secret = run(service.__aenter__())

    async def post(body: bytes, headers: dict[str, str]) -> Sent:
        async with client.post("/graphql", data=body, headers={"Authorization": f"Bearer {secret}", **headers}) as response:
            return Sent(response.status, await response.text())

    yield lambda body, **headers: run(post(body, {"Content-Type": "application/json", **headers}))
    run(service.__aexit__(None, None, None))
    loop.close()


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


@given(query=random_queries(FITTING, texts()))
def test_no_query_fails_the_server_or_leaves_its_scope(send: Any, query: str) -> None:
    """The status is that of a query. Every error has a code, and none is internal. No id of the other project is there."""
    status, text = send(json.dumps({"query": query}).encode())
    assert status in (200, 400), text
    document = json.loads(text)
    codes = [error["extensions"]["code"] for error in document.get("errors", [])]
    assert not {"InternalError", "PluginError"} & set(codes), text
    assert [] == [id_ for id_ in FOREIGN if id_ in text and id_ not in query]


@given(
    body=st.binary(max_size=50) | json_values(texts()).map(lambda value: json.dumps(value).encode()),
    content_type=st.sampled_from(["application/json", "application/json; charset=x", "text/plain", ""]),
    accept=st.sampled_from(["*/*", "application/json", "text/html", ";;q=", "application/json;q=nan"]),
)
def test_no_body_and_no_header_fails_the_server(send: Any, body: bytes, content_type: str, accept: str) -> None:
    """What is not a request is refused with a code."""
    status, text = send(body, **{"Content-Type": content_type, "Accept": accept})
    assert status in (400, 406, 415), text
    assert all(error["extensions"]["code"] == "InputError" for error in json.loads(text)["errors"])
