"""Limits: each is exceeded once, with its own error and its own count; other requests are answered."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
import pytest
import strawberry
from prometheus_client.parser import text_string_to_metric_families
from tests.support.graphql_host import inventory_of, session_id
from tests.support.web_host import SESSIONS, Client, TokenFile, codes, get, post, runtime_of, serving

from statcore.errors import InputError
from statcore.promql import MAX_POINTS
from statcore.scopes import Scope
from statcore_graphql.schema import Query
from statcore_web import Limits, Token, Tokens, secret_hash
from statcore_web.admission import Admission
from statcore_web.refusal import RefusedError

UTILIZATION = (
    '{ utilization(querier: "container", selector: {metric_name: "mem"}, start: "0", end: "10", step: "1") { partial } }'
)
SESSION = f'compute_session(session_id: "{session_id(0)}")'
OF_SESSION = 'utilization(metric_name: "mem", start: "0", end: "10", step: "1") { partial }'
FEW: dict[str, Any] = {
    "body_bytes": 400,
    "response_bytes": 2_000,
    "depth": 4,
    "aliases": 2,
    "tokens": 60,
    "ids": 3,
    "points": 5,
}


async def exceeded(client: Client) -> Mapping[str, float]:
    """Return how often each limit was exceeded, from the metrics."""
    text = await (await client.get("/metrics")).text()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.labels["limit"]: sample.value for sample in samples if sample.name == "statcore_limits_exceeded_total"}


EXCEEDING = {
    "body_bytes": ["{ schema_version } #" + "x" * 400],
    "response_bytes": ["{ __schema { types { name description } } }"],
    "depth": ["{ a { b { c { d { e } } } } }"],
    "aliases": ["{ a: schema_version b: schema_version c: schema_version }"],
    "tokens": ["{ " + "schema_version " * 60 + "}"],
    "ids": [
        SESSIONS,
        '{ compute_session_list(sort: "id") { total_count } }',
        "{ compute_session_list(limit: 2) { items { live_stat inference_metrics } } }",
        f"{{ {SESSION} {{ live_stat inference_metrics }} agent_list {{ total_count }} }}",
    ],
    "points": [
        UTILIZATION,
        '{ preset_result(name: "x", start: "0", end: "10", step: "1") { partial } }',
        f"{{ {SESSION} {{ {OF_SESSION} }} }}",
    ],
}
"""By the name of a limit, queries that exceed it."""
STATUSES = {"body_bytes": 413, "response_bytes": 413, "depth": 400, "aliases": 400, "tokens": 400}
"""The status of a request that exceeds a limit, if it is not that of a query with the error of a field."""


def test_every_limit_has_a_test() -> None:
    """The limits of time and of running requests have tests of their own below."""
    names = {field.name for field in attrs.fields(Limits)}
    assert names == {*EXCEEDING, "concurrent_requests", "request_s"}


@pytest.mark.parametrize(("limit", "query"), [(limit, query) for limit, queries in EXCEEDING.items() for query in queries])
async def test_a_limit_has_its_own_error_and_its_own_count(limit: str, query: str) -> None:
    """The error names the limit; the next request is answered."""
    limits = Limits(**FEW if limit != "tokens" else {**FEW, "body_bytes": 2_000})
    async with serving(runtime_of(inventory=inventory_of(4)), limits=limits) as client:
        response = await post(client, query)
        document = await response.json(content_type=None)
        assert STATUSES.get(limit, 200) == response.status, document
        extensions = [error["extensions"] for error in document["errors"] if "limit" in error["extensions"]]
        assert {("LimitError", limit)} == {(extension["code"], extension["limit"]) for extension in extensions}
        assert {limit: 1} == await exceeded(client)
        assert 200 == (await post(client, "{ schema_version }")).status


async def test_the_query_string_of_a_get_is_limited_like_a_body() -> None:
    """It holds the same parameters."""
    async with serving(limits=Limits(body_bytes=100)) as client:
        response = await get(client, "{ schema_version } #" + "x" * 100)
        assert (413, ["LimitError"]) == (response.status, await codes(response))


async def test_a_body_of_unknown_length_is_limited() -> None:
    """It is read only up to the limit, and a larger limit than aiohttp's own holds as well."""

    async def parts(count: int) -> Any:
        yield b'{"query": "{ schema_version }", "extensions": {"x": "'
        for _ in range(count):
            yield b"x" * 65_536
        yield b'"}}'

    json = {"Content-Type": "application/json"}
    async with serving(limits=Limits(body_bytes=3_000_000)) as client:
        assert 200 == (await client.post("/graphql", data=parts(40), headers=json)).status
        response = await client.post("/graphql", data=parts(60), headers=json)
        assert (413, {"body_bytes": 1}) == (response.status, await exceeded(client))


async def test_a_compressed_body_is_limited_by_what_it_unpacks_to() -> None:
    """A small body cannot become a large one; a body that cannot be unpacked is a bad request."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    document = b'{"query": "{ schema_version }"}'
    bodies = {200: gzip.compress(document), 413: gzip.compress(b" " * 50_000_000 + document), 400: b"not gzip"}
    async with serving() as client:
        for status, body in bodies.items():
            assert status == (await client.post("/graphql", data=body, headers=headers)).status


@attrs.frozen
class Gate:
    """A field that waits until it is opened."""

    entered: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))
    opened: asyncio.Event = attrs.field(factory=asyncio.Event)

    def query(self) -> type:
        """Return a `Query` with the field `wait`."""
        gate = self

        @strawberry.type
        class Waiting(Query):
            @strawberry.field
            async def wait(self) -> int:
                gate.entered.release()
                await gate.opened.wait()
                return 1

        return Waiting


async def test_concurrent_requests_of_a_token_are_limited(tmp_path: Path) -> None:
    """One request too many is refused; another token, and the same one later, are answered."""
    file, gate = TokenFile(tmp_path / "tokens.toml"), Gate()
    secrets = file.write(busy='scope = "everything"', idle='scope = "everything"')
    options: dict[str, Any] = {"tokens": Tokens(str(file.path)), "query": gate.query()}
    async with serving(limits=Limits(concurrent_requests=2), **options) as client:
        running = [asyncio.create_task(post(client, "{ wait }", token=secrets["busy"])) for _ in range(2)]
        for _ in running:
            await gate.entered.acquire()
        refused = await post(client, "{ schema_version }", token=secrets["busy"])
        (error,) = (await refused.json(content_type=None))["errors"]
        assert {"code": "LimitError", "limit": "concurrent_requests"} == error["extensions"]
        assert (429, "1") == (refused.status, refused.headers["Retry-After"])
        assert 200 == (await post(client, "{ schema_version }", token=secrets["idle"])).status
        assert {"concurrent_requests": 1} == await exceeded(client)
        gate.opened.set()
        assert [200, 200] == [response.status for response in await asyncio.gather(*running)]
        assert 200 == (await post(client, "{ schema_version }", token=secrets["busy"])).status


async def test_the_rate_of_a_token_is_its_own(tmp_path: Path) -> None:
    """A request too many is refused with a time to wait; a token without a rate is answered."""
    file = TokenFile(tmp_path / "tokens.toml")
    secrets = file.write(slow='scope = "everything"\nrequests_per_s = 0.001', free='scope = "everything"')
    async with serving(tokens=Tokens(str(file.path))) as client:
        assert 200 == (await post(client, "{ schema_version }", token=secrets["slow"])).status
        for send in (get, post):
            refused = await send(client, "{ schema_version }", token=secrets["slow"])
            (error,) = (await refused.json(content_type=None))["errors"]
            assert (429, {"code": "LimitError", "limit": "requests_per_s"}) == (refused.status, error["extensions"])
            assert 0 < int(refused.headers["Retry-After"]) <= 1_000
        assert [200] * 5 == [(await post(client, "{ schema_version }", token=secrets["free"])).status for _ in range(5)]
        assert {"requests_per_s": 2} == await exceeded(client)


async def test_a_request_that_takes_too_long_is_ended() -> None:
    """The status is that of a gateway, and the place of the request is free again."""
    gate = Gate()
    limits = Limits(request_s=0.05, concurrent_requests=1)
    async with serving(limits=limits, query=gate.query()) as client:
        for _ in range(2):
            response = await post(client, "{ wait }")
            assert (504, ["TimedOutError"]) == (response.status, await codes(response))
        assert {"request_s": 2} == await exceeded(client)


def test_the_rate_of_a_token_is_limited() -> None:
    """Its bucket holds the requests of a second, at least one, and is filled at its rate; others have their own."""
    now = 100.0
    admission = Admission(10, clock=lambda: now)
    fast, slow = (
        Token(name=f"rate{rate}", hash=secret_hash(str(rate)), scope=Scope.everything(), requests_per_s=rate)
        for rate in (2, 0.5)
    )
    free = Token(name="free", hash=secret_hash("free"), scope=Scope.everything())

    refusals: list[RefusedError] = []

    def admitted(token: Token | None) -> bool:
        try:
            with admission.admit(token):
                return True
        except RefusedError as error:
            refusals.append(error)
            return False

    assert [True, True, False] == [admitted(fast) for _ in range(3)]
    assert [True, False] == [admitted(slow) for _ in range(2)]
    now += 0.5
    assert ([True, False], False) == ([admitted(fast) for _ in range(2)], admitted(slow))
    now += 1.5
    assert ([True, True, False], [True, False]) == (
        [admitted(fast) for _ in range(3)],
        [admitted(slow) for _ in range(2)],
    )
    now += 1_000
    assert [True, True, False] == [admitted(fast) for _ in range(3)]
    assert {(429, "requests_per_s")} == {(error.status, error.limit) for error in refusals}
    assert {"1", "2"} == {error.headers["Retry-After"] for error in refusals}
    assert all(admitted(token) for token in (free, None) for _ in range(100))


@pytest.mark.parametrize(
    "setting",
    [{"depth": 0}, {"points": MAX_POINTS + 1}, {"request_s": 0}, {"body_bytes": "1"}, {"ids": True}, {"no_such_limit": 1}],
)
def test_a_limit_that_cannot_be_used_is_named(setting: dict[str, Any]) -> None:
    """They are settings by name, as in a file."""
    with pytest.raises(InputError, match=next(iter(setting))):
        Limits.from_settings(setting)
    assert Limits(depth=3) == Limits.from_settings({"depth": 3})


async def test_the_limits_of_the_service_can_be_read(tmp_path: Path) -> None:
    """A page knows beforehand what it may query, whoever uses it."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(scoped=f'scope = {{ project_id = ["{session_id(0)}"] }}')["scoped"]
    limits = Limits(ids=123, request_s=4.5)
    async with serving(runtime_of(inventory=inventory_of(1)), limits=limits, tokens=Tokens(str(file.path))) as client:
        response = await post(client, "{ limits { name value } version }", token=secret)
    data = (await response.json(content_type=None))["data"]
    assert attrs.asdict(limits) == {limit["name"]: limit["value"] for limit in data["limits"]}
    assert metadata.version("statcore") == data["version"]
