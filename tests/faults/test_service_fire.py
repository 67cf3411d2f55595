"""Faults 29 to 31 and 47: hostile queries, floods, clients that go away, tokens that change, and secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import pytest
from aiohttp import ClientSession
from tests.support.polling import until
from tests.support.service import Service, serving
from tests.support.tcp import listening
from tests.support.web_host import TokenFile

from statcore_web import new_secret, secret_hash

NOBODY: Final = "http://127.0.0.1:9"
STORE: Final = "valkey://127.0.0.1:9"
VERSION: Final = {"query": "{ schema_version }"}
SESSIONS: Final = {"query": "{ compute_session_list { total_count } }"}
KERNELS: Final = {"query": "{ compute_session_list { items { kernels { live_stat } } } agent_list { total_count } }"}
EVERYTHING: Final = 'scope = "everything"'
DEEP: Final = 100_000
UTILIZATION: Final = 'utilization(querier: "container", selector: $a, start: "0", end: "1", step: "1") { partial }'
SERIES: Final = {"query": "{ " + UTILIZATION.replace("$a", '{metric_name: "mem"}') + " }"}


def query(text: str) -> bytes:
    """Return the body of a request with a query."""
    return json.dumps({"query": text}).encode()


def with_variable(text: str) -> bytes:
    """Return the body of a request whose variable is a JSON text."""
    return f'{{"query": {json.dumps(f"query($a: JSON!) {{ {UTILIZATION} }}")}, "variables": {{"a": {text}}}}}'.encode()


HOSTILE: Final = {
    "fields in each other": (400, query("{a" * DEEP + "}" * DEEP)),
    "lists in each other": (400, query(f"{{ version(x: {'[' * DEEP}{']' * DEEP}) }}")),
    "objects in each other": (400, query(f"{{ version(x: {'{a:' * DEEP}1{'}' * DEEP}) }}")),
    "aliases": (400, query(f"{{ {' '.join(f'a{number}: version' for number in range(DEEP // 2))} }}")),
    "tokens": (400, query("{ " + "version " * DEEP + "}")),
    "directives": (400, query("{ version " + "@skip(if: false) " * (DEEP // 2) + "}")),
    "fragments that double": (
        200,
        query(
            "{ schema_version ...f0 } fragment f80 on Query { schema_version } "
            + " ".join(f"fragment f{number} on Query {{ ...f{number + 1} ...f{number + 1} }}" for number in range(80))
        ),
    ),
    "fragments in a circle": (400, query("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }")),
    "an integer": (400, query(f"{{ compute_session_list(limit: {'9' * 9 * DEEP}) {{ total_count }} }}")),
    "an exponent": (400, query(f"{{ compute_session_list(limit: 1e{'9' * 9 * DEEP}) {{ total_count }} }}")),
    "a variable in lists": (400, with_variable("[" * DEEP + "]" * DEEP)),
    "a variable in objects": (400, with_variable('{"a":' * DEEP + "1" + "}" * DEEP)),
    "an integer as a variable": (400, with_variable("9" * 9 * DEEP)),
    "a batch": (400, json.dumps([VERSION] * (DEEP // 5)).encode()),
    "a body": (413, query("#" * 1024 * 1024 + "\n{ schema_version }")),
}
"""By what there is too much of: the status of the response, and the body of the request."""


async def status(client: ClientSession, body: object = VERSION) -> int:
    """Send a query, and return the status of the response, which is read."""
    async with client.post("/graphql", json=body) as response:
        await response.read()
        return response.status


def client_of(service: Service, secret: str | None = None) -> ClientSession:
    """Return a client with the secret of a token."""
    return ClientSession(service.url, headers={"Authorization": f"Bearer {secret}"} if secret else {})


async def test_a_hostile_query_is_refused_and_others_are_answered(tmp_path: Path) -> None:
    """All of them are sent at once, beside a query of somebody else; the log has no traceback."""
    json_ = {"Content-Type": "application/json"}
    with serving(tmp_path, statistics_url=STORE, metrics_url=NOBODY) as service:
        async with client_of(service) as attacker, client_of(service) as other:

            async def attack(body: bytes) -> int:
                async with attacker.post("/graphql", data=BytesIO(body), headers=json_) as response:
                    document = await response.json(content_type=None)
                    assert all(error["extensions"]["code"] for error in document.get("errors", []))
                    return response.status

            attacks = {name: asyncio.create_task(attack(body)) for name, (_, body) in HOSTILE.items()}
            while not all(task.done() for task in attacks.values()):
                assert 200 == await status(other)
            assert {name: expected for name, (expected, _) in HOSTILE.items()} == {
                name: task.result() for name, task in attacks.items()
            }
        assert 0 == service.stop()
        assert "Traceback" not in service.log


@attrs.define
class HangingBackend:
    """A metric backend that answers a query once it is told to.

    Attributes:
        url: its URL.
        waiting: how many queries wait for their answer.
        go_on: lets it answer.
    """

    url: str = ""
    waiting: int = 0
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[HangingBackend]:
        """Listen until the block ends."""
        async with listening(self._answer) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b'{"status": "success", "data": []}'
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        self.waiting += 1
        end, go_on = asyncio.ensure_future(reader.read()), asyncio.ensure_future(self.go_on.wait())
        try:
            await asyncio.wait([end, go_on], return_when=asyncio.FIRST_COMPLETED)
            writer.write(head.encode() + body)
        finally:
            self.waiting -= 1
            end.cancel()
            go_on.cancel()
            writer.close()


async def test_a_flood_by_one_token_leaves_the_others(tmp_path: Path) -> None:
    """Its requests beyond the limit are refused; another token is served meanwhile, and so is the same one afterwards."""
    file = TokenFile(tmp_path / "tokens.toml")
    secrets = file.write(flood=EVERYTHING, other=EVERYTHING)
    arguments = ["--workers", "2", "--token-file", str(file.path), "--limit", "concurrent_requests=20"]
    async with HangingBackend().running() as backend, AsyncExitStack() as stack:
        with serving(tmp_path, *arguments, statistics_url=STORE, metrics_url=backend.url) as service:
            flood = [await stack.enter_async_context(client_of(service, secrets["flood"])) for _ in range(100)]
            requests = [asyncio.create_task(status(client, SESSIONS)) for client in flood]
            await until(lambda: sum(request.done() for request in requests) == 80, "the refusals")
            for _ in range(20):
                async with client_of(service, secrets["other"]) as other:  # a connection to any worker
                    assert 200 == await status(other)

            backend.go_on.set()
            assert Counter({429: 80, 200: 20}) == Counter(await asyncio.gather(*requests))
            assert 200 == await status(flood[0], SESSIONS)


@pytest.mark.parametrize("body", [SESSIONS, SERIES], ids=["inventory", "loader"])
async def test_reads_end_with_the_clients_that_requested_them(body: object, tmp_path: Path) -> None:
    """Nothing is read for a client that has gone, and other clients get their answers."""
    async with HangingBackend().running() as backend:
        with serving(tmp_path, statistics_url=STORE, metrics_url=backend.url) as service:
            async with client_of(service) as other:
                staying = asyncio.create_task(status(other, body))
                await until(lambda: backend.waiting == 1, "the read for a client")
                async with client_of(service) as leaving:
                    requests = [asyncio.create_task(status(leaving, body)) for _ in range(5)]
                    await until(lambda: backend.waiting == 1 + len(requests), "the reads for more clients")
                    for request in requests:
                        request.cancel()
                    await asyncio.wait(requests)
                await until(lambda: backend.waiting == 1, "the end of their reads")
                backend.go_on.set()
                assert 200 == await staying
            assert 0 == service.stop()
            assert "Traceback" not in service.log


async def test_tokens_change_while_requests_run(tmp_path: Path) -> None:
    """At once, in all workers: the old token is refused and the new one accepted; the others are never refused."""
    path, steady, old = tmp_path / "tokens.toml", new_secret(), new_secret()

    def replace(text: str) -> None:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)

    def table(name: str, secret: str) -> str:
        return f'[tokens.{name}]\nhash = "{secret_hash(secret)}"\n{EVERYTHING}\n'

    async def use_steadily() -> set[int]:
        found: set[int] = set()
        while not rotated.is_set():
            async with client_of(service, steady) as client:
                found |= {await status(client) for _ in range(5)}
        return found

    replace(table("steady", steady) + table("changing", old))
    rotated = asyncio.Event()
    arguments = ["--workers", "2", "--token-file", str(path)]
    with serving(tmp_path, *arguments, statistics_url=STORE, metrics_url=NOBODY) as service:
        await until(lambda: len(service.workers()) == 2, "two workers")
        using = [asyncio.create_task(use_steadily()) for _ in range(3)]
        for _ in range(10):
            new = new_secret()
            replace(table("steady", steady) + table("changing", new))
            for _ in range(4):  # connections to both workers, most likely
                async with client_of(service, old) as before, client_of(service, new) as after:
                    assert (401, 200) == (await status(before), await status(after))
            replace("[unfinished")  # the tokens that a worker has read stay valid
            old = new
        rotated.set()
        assert [{200}] * 3 == await asyncio.gather(*using)
        assert not {steady, old, new} & set(service.log.split())


async def repeat_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse each request, as a metric backend or a store that repeats all of it in its error."""
    while request := await reader.read(65_536):
        text = repr(request)[1:]
        credentials = re.search(rb"Basic (\S+)", request)
        if credentials:
            text += base64.b64decode(credentials[1]).decode()
        if request.startswith(b"*"):
            writer.write(f"-ERR unknown command, with args beginning with: {text}\r\n".encode())
        else:
            writer.write(f"HTTP/1.1 401 {text}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


async def test_no_secret_is_in_an_answer_or_in_the_log(tmp_path: Path) -> None:
    """A store and a backend repeat what they are sent, and clients send secrets where they do not belong."""
    file = TokenFile(tmp_path / "tokens.toml")
    secrets = {**file.write(caller=EVERYTHING), **{name: new_secret() for name in ("stranger", "store", "backend")}}
    arguments = ["--token-file", str(file.path), "--log-level", "debug", "--log-format", "json"]
    shown: list[str] = []
    async with listening(repeat_request) as port:
        store = f"valkey://ann:{secrets['store']}@127.0.0.1:{port}"
        backend = f"http://ann:{secrets['backend']}@127.0.0.1:{port}"
        with serving(tmp_path, *arguments, statistics_url=store, metrics_url=backend) as service:
            for name in ("caller", "stranger"):
                secret = secrets[name]
                async with client_of(service, secret) as client:
                    for body in (VERSION, SESSIONS, SERIES, KERNELS, [secret]):
                        async with client.post(f"/graphql?token={secret}", json=body) as response:
                            shown += [await response.text(), str(response.headers)]
                    for path in ("/readyz", "/metrics", "/healthz", f"/static/{secret}", f"/{secret}"):
                        async with client.get(path) as response:
                            shown += [await response.text(), str(response.headers)]
                for malformed in (
                    f"GET / HTTP/1.1\r\nAuthorization: {secret}\0",
                    f"GET / {secret}",
                    f"{secret} / HTTP/1.1",
                ):
                    reader, writer = await asyncio.open_connection(*service.address)
                    writer.write(f"{malformed}\r\n\r\n".encode())
                    assert b"400" in await reader.read()  # the answer quotes the request, the log does not
                    writer.close()
            assert 0 == service.stop()
            shown.append(service.log)
    assert "AccessDeniedError" in "".join(shown)
    assert [] == [name for name, secret in secrets.items() for form in forms(secret) if form in "".join(shown)]


def forms(secret: str) -> list[str]:
    """Return the forms in which a secret might be shown."""
    basic = base64.b64encode(f"ann:{secret}".encode()).decode()
    return [secret, quote(secret, safe=""), basic, secret_hash(secret).removeprefix("sha256:")]
