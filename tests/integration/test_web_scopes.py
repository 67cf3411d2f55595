"""A scoped token on real servers sees nothing of another project, by whatever it sends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs
import pytest
from aiohttp import ClientResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.graphql_queries import all_fields, answered_fields, every_query, random_queries
from tests.support.planted_server import planted_server
from tests.support.polling import until
from tests.support.two_projects import (
    AGENT,
    EVERYTHING,
    KINDS,
    NOW,
    OWNERS,
    PRESET,
    PROJECT,
    Part,
    Service,
    Source,
    cursors,
    id_of,
    marks_of,
    planted,
    running,
    values_of,
    without_owner,
)
from tests.support.web_host import codes, get, post

from statcore.plugins import Preset
from statcore.queriers.container import CONTAINER_SERIES, OWNER_LABELS
from statcore.testing.servers import Server

PARTS: Final = {"project": PROJECT, "agent": AGENT}
UNGUARDED: Final = Preset(
    name="unguarded",
    description="Has a selector without labels.",
    template=f"sum({CONTAINER_SERIES}) + sum(x{{${{{{ labels }}}}}})",
    filter_labels=OWNER_LABELS,
)
UTILIZATION: Final = "{ series { labels values } warnings infos partial }"
NEVER_ANSWERED: Final = {"PortHealth.error", "Plugin.error", "Plugin.remedy"}
"""Fields that have a value only where something is broken."""

server = planted_server(lambda: planted(EVERYTHING))
project_server = planted_server(lambda: planted(PROJECT))
agent_server = planted_server(lambda: planted(AGENT))


@attrs.frozen(kw_only=True)
class Pair:
    """A service over both projects, and one over servers that hold only the objects of a scope."""

    both: Service
    alone: Service


@asynccontextmanager
async def pair(
    part: Part, source: Source, valkeys: tuple[Server, Server], prometheuses: tuple[Server, Server], folder: Path
) -> AsyncGenerator[Pair]:
    """Serve both projects, and a part alone, within the block."""
    async with AsyncExitStack() as stack:
        both, alone = [
            await stack.enter_async_context(running(*place, folder, scope=part.scope, source=source))
            for place in zip((EVERYTHING, part), valkeys, prometheuses, strict=True)
        ]
        yield Pair(both=both, alone=alone)


def leaked(query: str, response: ClientResponse, text: str) -> set[str]:
    """Return the marks of the other project that a response has and its query does not."""
    whole = text + repr(response.headers)
    return {mark for mark in marks_of("theirs") if mark in whole and mark not in query}


@pytest.fixture
def prometheuses(server: Server, project_server: Server, agent_server: Server) -> dict[str, Server]:
    """A server with the series of everything, and one for each part."""
    return {"everything": server, "project": project_server, "agent": agent_server}


def is_different(part: str, source: Source, query: str) -> bool:
    """Return whether the answer within a scope is not that of a smaller world, as the documents say.

    Series do not name projects of agents, so a scope of projects has no agents. Series do not name endpoints; a field of
    endpoints is an error in any world, but not always the same one.
    """
    return source == "series" and (selects(query, "endpoint") or (part == "project" and selects(query, "agent")))


def selects(query: str, kind: str) -> bool:
    """Return whether a query has the field of an object of a kind, or of their list."""
    return re.search(rf"\b{kind}(_list\b|\()", query) is not None


def without_promql(query: str, text: str) -> str:
    """Return the answer to a query without the texts of its PromQL, which have the matchers of a scope."""
    names = "|".join({"promql", *re.findall(r"(\w+): promql\b", query)})
    return re.sub(rf'"({names})":"(\\.|[^"\\])*"', r'"\1":""', text)


@pytest.mark.parametrize(("part", "source"), [("project", "manager"), ("project", "series"), ("agent", "series")])
async def test_every_argument_of_every_field_is_answered_as_if_nothing_else_existed(
    part: str, source: Source, valkey: Server, start_valkey: Any, prometheuses: dict[str, Server], tmp_path: Path
) -> None:
    """The answer is that of servers without the other project, and no byte of it is of the other project."""
    servers = prometheuses["everything"], prometheuses[part]
    async with pair(PARTS[part], source, (valkey, start_valkey()), servers, tmp_path) as services:
        both, alone = services.both, services.alone
        pages = await cursors(both.runtime)
        queries = dict.fromkeys(query for owner in ("mine", "theirs") for query in every_query(values_of(owner, pages)))
        for number, (place, query) in enumerate(queries):
            send = (get, post)[number % 2]
            response = await send(both.client, query, token=both.scoped)
            text = await response.text()
            assert set() == leaked(query, response, text), place
            assert "127.0.0.1" not in text, place
            if not is_different(part, source, query):
                expected = await send(alone.client, query, token=alone.operator)
                expected_text = without_promql(query, await expected.text())
                assert (expected.status, expected_text) == (response.status, without_promql(query, text)), place


async def test_a_scope_of_alternatives_shows_nothing_else(valkey: Server, server: Server, tmp_path: Path) -> None:
    """Sums and presets are refused; lists and queries of single kernels have the objects of both alternatives."""
    scope = f"[{PROJECT.scope}, {AGENT.scope}]"
    async with running(EVERYTHING, valkey, server, tmp_path, scope=scope, source="manager") as service:
        shown: set[str] = set()
        for place, query in every_query(values_of("theirs", await cursors(service.runtime))):
            response = await post(service.client, query, token=service.scoped)
            text = await response.text()
            assert set() == leaked(query, response, text), place
            assert "InternalError" not in text, place
            shown |= {mark for mark in marks_of("mine") if mark in text and mark not in query}
    assert marks_of("mine") <= {*shown, id_of("user", "mine"), id_of("project", "mine")}


async def test_an_operator_sees_everything_by_these_queries(valkey: Server, server: Server, tmp_path: Path) -> None:
    """Each field of the schema has a value, and each object of the other project is shown, or the tests show nothing."""
    answered: set[str] = set()
    shown: set[str] = set()
    async with running(EVERYTHING, valkey, server, tmp_path, scope=PROJECT.scope, source="manager") as service:
        for _, query in every_query(values_of("theirs", await cursors(service.runtime))):
            text = await (await post(service.client, query, token=service.operator)).text()
            answered |= answered_fields(json.loads(text).get("data"))
            shown |= {mark for mark in marks_of("theirs") if mark in text and mark not in query}
        open_routes = [await service.client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/explorer")]
        texts = "".join([await response.text() for response in open_routes])
    assert all_fields() - NEVER_ANSWERED == answered
    assert marks_of("theirs") == shown
    assert {} == {owner: found for owner in ("mine", "theirs") if (found := {m for m in marks_of(owner) if m in texts})}


@pytest.mark.parametrize("source", ["manager", "series"])
async def test_another_projects_object_is_answered_as_one_that_nobody_has(
    source: Source, valkey: Server, server: Server, tmp_path: Path
) -> None:
    """The status, the headers, the body, its tag, and the calls of the ports are the same."""
    async with running(EVERYTHING, valkey, server, tmp_path, scope=PROJECT.scope, source=source) as service:
        pages = await cursors(service.runtime)
        pairs = zip(every_query(values_of("theirs", pages)), every_query(values_of("nobody", pages)), strict=True)
        for (place, theirs), (_, nobodys) in pairs:
            if theirs != nobodys:
                not_yours, unknown = await seen(service, theirs, "theirs"), await seen(service, nobodys, "nobody")
                assert not_yours == unknown, place


async def seen(service: Service, query: str, owner: str) -> tuple[Any, ...]:
    """Return what a scoped caller, and the ports, see of a query with names of an owner, without the names."""
    service.calls.clear()
    response = await get(service.client, query, token=service.scoped)
    text = await response.text()
    headers = {name.lower(): value for name, value in response.headers.items()}
    for name in ("date", "x-request-id", "etag"):
        headers.pop(name, None)
    shown = without_owner(text, owner)
    tag = response.headers.get("ETag") if text == shown else None  # a tag is of the text with its names
    calls = without_owner(without_owner(repr(service.calls), "theirs"), owner)  # whole lists have the objects of all
    return response.status, headers, tag, shown, calls


ANY_ID: Final = st.sampled_from([*(id_of(kind, owner) for kind in KINDS for owner in OWNERS), "agent-of-theirs"])
ANY_LABELS: Final = st.dictionaries(st.sampled_from(OWNER_LABELS), ANY_ID | st.lists(ANY_ID, max_size=2), max_size=2)
FITTING: Final[dict[str, st.SearchStrategy[Any]]] = {
    "session_id": st.sampled_from([id_of("session", owner, number) for owner in OWNERS for number in range(3)]),
    "kernel_id": st.sampled_from([id_of("kernel", owner, number) for owner in OWNERS for number in range(3)]),
    "endpoint_id": st.sampled_from([id_of("endpoint", owner) for owner in OWNERS]),
    "agent_id": st.sampled_from([f"agent-of-{owner}" for owner in OWNERS]),
    "metric_name": st.sampled_from(["mem", "metric_of_mine", "metric_of_theirs"]),
    "querier": st.just("container"),
    "name": st.just("most"),
    "selector": st.builds(lambda labels: {"metric_name": "mem", **labels}, ANY_LABELS),
    "labels": ANY_LABELS,
    "group_labels": st.lists(st.sampled_from(PRESET.group_labels), unique=True, max_size=3),
    "fields": st.just(["mem.current", "metric_of_theirs.current"]),
    "filter": st.lists(st.builds("{}={}".format, st.sampled_from(OWNER_LABELS), ANY_ID), max_size=2),
    "sort": st.sampled_from(["-mem_bytes", "kernels", "user_id"]),
    "start": st.just(str(NOW - 600)),
    "end": st.just(str(NOW)),
    "time": st.just(str(NOW)),
    "step": st.just("1m"),
    "window": st.just("2m"),
    "limit": st.integers(1, 10),
}
"""Values of arguments that are accepted, with ids of every owner."""


class Answers(NamedTuple):
    """What two callers are answered."""

    leaked: set[str]
    within_scope: tuple[int, str]
    of_part: tuple[int, str]


@pytest.fixture
def ask(valkey: Server, start_valkey: Any, prometheuses: dict[str, Server], tmp_path: Path) -> Iterator[Any]:
    """A function that sends a query to both projects within the scope of one, and to that one alone."""

    async def answers(services: Pair, query: str) -> Answers:
        response = await post(services.both.client, query, token=services.both.scoped)
        text = await response.text()
        expected = await post(services.alone.client, query, token=services.alone.operator)
        answered, expected_text = (without_promql(query, body) for body in (text, await expected.text()))
        return Answers(leaked(query, response, text), (response.status, answered), (expected.status, expected_text))

    servers = prometheuses["everything"], prometheuses["project"]
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opened = pair(PROJECT, "manager", (valkey, start_valkey()), servers, tmp_path)
        services = runner.run(stack.enter_async_context(opened))
        yield lambda query: runner.run(answers(services, query))
        runner.run(stack.aclose())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(query=random_queries(FITTING, ANY_ID | st.text(max_size=5)))
def test_random_queries_are_answered_as_if_nothing_else_existed(ask: Any, query: str) -> None:
    """However fields, aliases and arguments are combined, nothing of the other project is in the answer."""
    answers: Answers = ask(query)
    assert set() == answers.leaked
    assert answers.of_part == answers.within_scope


async def test_a_preset_that_reads_more_is_refused(valkey: Server, server: Server, tmp_path: Path) -> None:
    """Its error shows the template alone; the operator may query it."""
    query = f'{{ preset_result(name: "unguarded", start: "{NOW}", end: "{NOW}", step: "1m") {UTILIZATION} }}'
    options: dict[str, Any] = {"scope": PROJECT.scope, "source": "manager", "unguarded": UNGUARDED}
    async with running(EVERYTHING, valkey, server, tmp_path, **options) as service:
        response = await post(service.client, query, token=service.scoped)
        assert ["UnsupportedError"] == await codes(response)
        assert set() == leaked(query, response, await response.text())
        assert [] == await codes(await post(service.client, query, token=service.operator))


async def test_an_outage_shows_no_address_and_nothing_of_others(start_valkey: Any, server: Server, tmp_path: Path) -> None:
    """Whichever field fails, its error has a general text; the lists of the inventory are answered."""
    valkey, unreachable = start_valkey(), attrs.evolve(server, url="http://127.0.0.1:1", port=1)
    places = ("compute_session_list.limit", "endpoint_list.limit", "utilization.querier", "preset_result.name", "health")
    queries: dict[str, str] = {}
    for place, query in every_query(values_of("mine")):
        if place in places or place.startswith("available_metrics"):
            queries.setdefault(place, query)
    async with running(EVERYTHING, valkey, unreachable, tmp_path, scope=PROJECT.scope, source="manager") as service:
        valkey.process.terminate()
        valkey.process.wait()
        responses = await asyncio.gather(*(post(service.client, query, token=service.scoped) for query in queries.values()))
        for query, response in zip(queries.values(), responses, strict=True):
            text = await response.text()
            assert HTTPStatus.OK == response.status, text
            assert set(await codes(response)) <= {"UnavailableError", "TimedOutError"}, text
            assert "127.0.0.1" not in text
            assert set() == leaked(query, response, text)
    assert len(places) + 1 == len(queries)


async def test_a_tag_of_one_scope_means_nothing_in_another(valkey: Server, server: Server, tmp_path: Path) -> None:
    """The same body has another tag, so that nobody can learn whether an answer is that of the operator."""
    query = "{ schema_version }"
    async with running(EVERYTHING, valkey, server, tmp_path, scope=PROJECT.scope, source="manager") as service:
        tokens = service.scoped, service.operator
        scoped, operator = [await get(service.client, query, token=token) for token in tokens]
        assert await scoped.read() == await operator.read()
        known = {"If-None-Match": operator.headers["ETag"]}
        assert [200, 304] == [(await get(service.client, query, token=token, **known)).status for token in tokens]


async def test_readiness_follows_a_server_that_ends(start_valkey: Any, server: Server, tmp_path: Path) -> None:
    """The port of a server that ended is named, without its address; the other port is ready."""
    valkey = start_valkey()
    async with running(EVERYTHING, valkey, server, tmp_path, scope=PROJECT.scope, source="manager") as service:
        assert 200 == (await service.client.get("/readyz")).status
        valkey.process.terminate()
        valkey.process.wait()

        async def is_not_ready() -> bool:
            return (await service.client.get("/readyz")).status == HTTPStatus.SERVICE_UNAVAILABLE

        await until(is_not_ready, "an answer that is not of the last second")
        text = await (await service.client.get("/readyz")).text()
        healthy = {name: port["healthy"] for name, port in json.loads(text)["ports"].items()}
        assert {"statistics": False, "metrics": True} == healthy
        assert str(valkey.port) not in text
