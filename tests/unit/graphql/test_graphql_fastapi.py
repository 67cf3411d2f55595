"""GraphQL in a FastAPI application: the dependency that gives the ports, and what a host adds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import strawberry
from fastapi import FastAPI, HTTPException
from fastapi.requests import HTTPConnection
from tests.support.scoped_world import PRESETS, id_of, worlds

from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore_graphql.fastapi import StatisticsRouter
from statcore_graphql.schema import Query

SESSIONS = "{ compute_session_list { items { session_id } } }"


@strawberry.type
class HostQuery(Query):
    """A host's schema with a field of its own."""

    @strawberry.field
    def motto(self) -> str:
        """Return a text."""
        return "per aspera"


async def new_app(**options: Any) -> FastAPI:
    """Return an application over a small cluster; the header `project` has the project of the caller."""
    runtime, _ = await worlds(Scope.everything())

    async def ports(connection: HTTPConnection) -> Runtime:
        if "project" not in connection.headers:
            raise HTTPException(401)
        return confine(runtime, Scope.of(project_id=connection.headers["project"]))

    app = FastAPI()
    app.include_router(StatisticsRouter(ports, PluginRegistry.discover(), **options), prefix="/graphql")
    return app


async def post(app: FastAPI, query: str, **headers: str) -> tuple[int, Any]:
    """Send a query to an application without a server, and return the status and the document of the answer."""
    body = json.dumps({"query": query}).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.encode(), value.encode()) for name, value in {"content-type": "application/json", **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": given}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


async def test_each_request_has_the_ports_of_its_caller() -> None:
    """Two callers of one application see different sessions, none of them in both lists; a refused caller sees none."""
    app, seen = await new_app(), []
    for number in range(2):
        status, answer = await post(app, SESSIONS, project=id_of("project", number))
        assert 200 == status
        seen.append({item["session_id"] for item in answer["data"]["compute_session_list"]["items"]})
    assert all(seen)
    assert set() == seen[0] & seen[1]
    assert (401, {"detail": "Unauthorized"}) == await post(app, SESSIONS)


async def test_the_limits_of_the_router_can_be_read() -> None:
    """They are the defaults of the schema and of the context."""
    _, answer = await post(await new_app(), "{ limits { name value } }", project=id_of("project", 0))
    limits = {limit["name"]: limit["value"] for limit in answer["data"]["limits"]}
    assert {"depth": 8, "aliases": 50, "tokens": 1_000, "ids": 50_000, "points": 11_000} == limits


@pytest.mark.parametrize(
    ("options", "expected"), [({}, {"presets": []}), ({"presets": PRESETS}, {"presets": [{"name": "most"}]})]
)
async def test_a_host_has_its_presets(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """By default they are the presets of the plugins, of which there are none here."""
    app = await new_app(**options)
    assert (200, {"data": expected}) == await post(app, "{ presets { name } }", project=id_of("project", 0))


async def test_a_host_has_fields_of_its_own() -> None:
    """They are beside ours."""
    app = await new_app(query=HostQuery)
    assert (200, {"data": {"motto": "per aspera"}}) == await post(app, "{ motto }", project=id_of("project", 0))
