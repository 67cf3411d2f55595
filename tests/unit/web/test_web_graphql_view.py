"""GraphQL over HTTP: methods, media types, statuses, ETags, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import strawberry
from tests.support.graphql_host import inventory_of, session_id
from tests.support.web_host import GRAPHQL_JSON, SESSIONS, codes, get, post, runtime_of, serving

from statcore.model import Problem, ProblemKind
from statcore_graphql.schema import Query
from statcore_memory import MemoryStatistics

JSON = "application/json"


@strawberry.type
class Failing(Query):
    """A query with fields that fail."""

    @strawberry.field
    def crash(self) -> int | None:
        """Fail as no code of ours may."""
        raise KeyError("the secret of the host")

    @strawberry.field
    def never(self) -> int:
        """Fail where null is not allowed."""
        raise KeyError("the secret of the host")


@pytest.mark.parametrize("send", [get, post])
async def test_a_query_is_answered_by_get_and_by_post(send: Any) -> None:
    """Both have the same body, and the same headers for caches."""
    async with serving(runtime_of(inventory=inventory_of(2))) as client:
        response = await send(client, SESSIONS)
        document = await response.json(content_type=None)
    items = [{"session_id": session_id(number)} for number in range(2)]
    assert {"data": {"compute_session_list": {"items": items}}} == document
    assert (200, GRAPHQL_JSON, "utf-8") == (response.status, response.content_type, response.charset)
    assert ("private, no-cache", "Accept, Authorization") == (response.headers["Cache-Control"], response.headers["Vary"])


async def test_variables_and_the_operation_may_be_named_in_both_methods() -> None:
    """A GET has variables and extensions as JSON."""
    query = "query A($x: Int!) { agent_list(limit: $x) { total_count } } query B { schema_version }"
    async with serving() as client:
        extensions: dict[str, Any] = {"any": 1}
        sent: dict[str, Any] = {"operationName": "A", "variables": {"x": 1}, "extensions": extensions}
        by_post = await (await post(client, query, **sent)).json(content_type=None)
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in sent.items()}
        response = await client.get("/graphql", params={"query": query, **texts})
        by_get = await response.json(content_type=None)
    assert {"data": {"agent_list": {"total_count": 0}}} == by_post == by_get


async def test_one_of_several_operations_must_be_named() -> None:
    """Whichever comes first is not executed instead. A document of one operation needs no name."""
    query = "query A { schema_version } query B { schema_version }"
    async with serving() as client:
        for send in (get, post):
            for spaces in ("", " " * 20_000 if send is post else ""):
                response = await send(client, query + spaces)
                assert (400, ["InputError"]) == (response.status, await codes(response))
        assert [200, 200] == [(await post(client, query, operationName=name)).status for name in "AB"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, GRAPHQL_JSON),
        ("*/*", GRAPHQL_JSON),
        ("application/*", GRAPHQL_JSON),
        (JSON, JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.9", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.5, {JSON}", JSON),
        (f"{JSON}, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"text/html, {JSON}; charset=utf-8", JSON),
    ],
)
async def test_the_client_chooses_the_media_type(accept: str | None, expected: str) -> None:
    """Without a preference it is GraphQL's own."""
    async with serving() as client:
        response = await client.get(
            "/graphql",
            params={"query": "{ schema_version }"},
            headers={} if accept is None else {"Accept": accept},
            skip_auto_headers=["Accept"],
        )
        assert (200, expected) == (response.status, response.content_type)


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", f"{JSON};q=x"])
async def test_another_media_type_is_not_acceptable(accept: str) -> None:
    """The error is JSON nevertheless."""
    async with serving() as client:
        response = await get(client, "{ schema_version }", Accept=accept)
        assert (406, ["InputError"], JSON) == (response.status, await codes(response), response.content_type)


@pytest.mark.parametrize(
    "query",
    [
        *("{ queriers {", "{ no_such_field }", "query ($x: Int!) { agent_list(limit: $x) { total_count } }", "{ ...F }"),
        f"{{ agent_list(limit: -{'9' * 5_000}) {{ total_count }} }}",
        f'{{ utilization(querier: "x", selector: {{x: {"9" * 5_000}}}, start: "", end: "", step: "") {{ partial }} }}',
    ],
    ids=["syntax", "field", "variable", "fragment", "long number", "long number in JSON"],
)
async def test_a_query_that_is_not_executed_has_a_status_in_graphqls_own_media_type(query: str) -> None:
    """With plain JSON the status says that the request was understood. In both the response has no data."""
    async with serving() as client:
        for media_type, status in ((GRAPHQL_JSON, 400), (JSON, 200)):
            response = await post(client, query, headers={"Accept": media_type})
            assert (status, media_type) == (response.status, response.content_type)
            assert {"errors"} == (await response.json(content_type=None)).keys()
            assert {"InputError"} == set(await codes(response))


@pytest.mark.parametrize("query", ["{ crash schema_version }", "{ never }"])
@pytest.mark.parametrize("media_type", [GRAPHQL_JSON, JSON])
async def test_the_error_of_a_field_is_beside_the_data(media_type: str, query: str) -> None:
    """The query was executed. A client sees no text of an unexpected error."""
    async with serving(query=Failing) as client:
        response = await post(client, query, headers={"Accept": media_type})
        document = await response.json(content_type=None)
        assert (200, ["InternalError"]) == (response.status, await codes(response))
    assert {"data", "errors"} == document.keys()
    assert "secret" not in json.dumps(document)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", JSON, 400),
        (b"\xff", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"[]", JSON, 400),
        (b'[{"query": "{ schema_version }"}]', JSON, 400),
        (b'"text"', JSON, 400),
        (b"{}", JSON, 400),
        (b'{"query": 1}', JSON, 400),
        (b'{"query": ""}', JSON, 400),
        (b'{"query": "{ schema_version }", "variables": []}', JSON, 400),
        (b'{"query": "{ schema_version }", "extensions": 1}', JSON, 400),
        (b'{"query": "{ schema_version }", "operationName": 1}', JSON, 400),
        (b'{"query": "{ schema_version }", "operationName": "X"}', JSON, 400),
        (b'{"query": "mutation { x }"}', JSON, 400),
        (b'{"query": "{ schema_version }"}', "text/plain", 415),
        (b'{"query": "{ schema_version }"}', f"{JSON}; charset=utf-16", 415),
        (b"query=x", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_bad_request_is_an_error_with_a_code(body: bytes, content_type: str, status: int) -> None:
    """Nothing is executed; a batch of requests is bad as well."""
    async with serving() as client:
        response = await client.post("/graphql", data=body, headers={"Content-Type": content_type})
        assert (status, ["InputError"], JSON) == (response.status, await codes(response), response.content_type)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"query": ""},
        {"query": SESSIONS, "variables": "{"},
        {"query": SESSIONS, "variables": "1"},
        {"query": SESSIONS, "extensions": "x"},
    ],
)
async def test_a_bad_get_is_an_error_with_a_code(parameters: dict[str, str]) -> None:
    """Its parameters are checked as the members of a body are."""
    async with serving() as client:
        response = await client.get("/graphql", params=parameters)
        assert (400, ["InputError"]) == (response.status, await codes(response))


async def test_problems_of_values_are_beside_the_data() -> None:
    """A doubtful value is in the answer, and its problem in the extensions."""
    store = MemoryStatistics()
    store.plant(session_id(0), {"mem": {"current": "1"}}, problem=Problem(ProblemKind.STALE, message="old"))
    async with serving(runtime_of(statistics=store, inventory=inventory_of(1))) as client:
        response = await get(client, "{ compute_session_list { items { live_stat } } }")
        document = await response.json(content_type=None)
    assert [{"live_stat": {"mem": {"current": "1"}}}] == document["data"]["compute_session_list"]["items"]
    assert ["stale"] == [problem["kind"] for problem in document["extensions"]["problems"]]


async def test_the_schema_changes_nothing() -> None:
    """It has queries, and no other operations."""
    async with serving() as client:
        response = await post(client, "{ __schema { mutationType { name } subscriptionType { name } } }")
        assert {"mutationType": None, "subscriptionType": None} == (await response.json(content_type=None))["data"][
            "__schema"
        ]


async def test_a_get_changes_nothing() -> None:
    """A mutation by GET has the status that the draft names."""
    async with serving() as client:
        response = await get(client, "mutation { x }")
        assert (405, "POST") == (response.status, response.headers["Allow"])


async def test_an_unchanged_answer_is_not_sent_again() -> None:
    """A client that polls sends the tag; another answer has another tag. A POST is always answered."""
    inventory = inventory_of(1)
    async with serving(runtime_of(inventory=inventory)) as client:
        first = await get(client, SESSIONS)
        tag = first.headers["ETag"]
        assert not tag.startswith("W/")
        for known in (tag, f'W/{tag}, "x"', f'"x", {tag}', "*"):
            again = await get(client, SESSIONS, **{"If-None-Match": known})
            assert (304, tag, b"") == (again.status, again.headers["ETag"], await again.read())
            assert first.headers["Vary"] == again.headers["Vary"]
        assert 200 == (await get(client, SESSIONS, **{"If-None-Match": '"x"'})).status
        assert 200 == (await post(client, SESSIONS, headers={"If-None-Match": tag})).status
        inventory.forget_kernel(next(iter((await inventory.list_sessions()).items)).kernels[0].kernel_id)
        changed = await get(client, SESSIONS, **{"If-None-Match": tag})
        assert (200, True) == (changed.status, changed.headers["ETag"] != tag)
        plain = await get(client, SESSIONS, Accept=JSON)
        assert plain.headers["ETag"] != changed.headers["ETag"]


async def test_an_error_has_no_tag() -> None:
    """A client must not keep it."""
    async with serving() as client:
        for response in (await get(client, "{ no_such_field }"), await get(client, "")):
            assert 400 == response.status
            assert "ETag" not in response.headers
