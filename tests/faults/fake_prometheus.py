"""A fake Prometheus that gives any answer, and the JSON that a real one would write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs
from tests.support.tcp import listening

from statcore.model import QueryTimeRange
from statcore_prometheus import PrometheusClient

Answer: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""An answer of a fake server: the bytes to send, or a coroutine function that writes them; each has the head, too."""
Reply: TypeAlias = Callable[..., bytes]
"""The fixture `http_reply`, which makes an answer."""

ANSWER: Final = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"é😀"},"value":[1,"7"]}]}}'
"""The answer to an instant query with one value, 7."""
RANGE: Final = QueryTimeRange(start=1_795_341_600, end=1_795_341_660, step="60s")


@attrs.frozen(kw_only=True)
class SeenRequest:
    """A request that a fake server got."""

    method: str
    path: str
    parameters: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]


@attrs.define
class FakePrometheus:
    """A server that gives its answers in turn, then repeats the last one, and records the requests."""

    answers: list[Answer]
    url: str = ""
    seen: list[SeenRequest] = attrs.field(factory=list[SeenRequest])

    @asynccontextmanager
    async def running(self, *, ssl: SSLContext | None = None) -> AsyncGenerator[Self]:
        """Listen on a free port until the block ends."""
        async with listening(self._serve, ssl=ssl) as port:
            self.url = f"http{'' if ssl is None else 's'}://127.0.0.1:{port}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client or an answer closes it."""
        try:
            while not writer.is_closing():
                request = await _read_request(reader)
                self.seen.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> SeenRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return SeenRequest(
        method=method,
        path=parts.path,
        parameters=dict(parse_qsl(parts.query)),
        form=dict(parse_qsl(body.decode())),
        headers=headers,
    )


StartClient: TypeAlias = Callable[..., Awaitable[tuple["FakePrometheus", PrometheusClient]]]
"""The fixture `fake_client`, which starts a server with its answers, and a client with options by name."""
StartFake: TypeAlias = Callable[..., Awaitable[FakePrometheus]]
"""The fixture `fake_prometheus`, which starts a server with its answers."""


def vector(*values: str, **members: object) -> str:
    """Return the answer to an instant query, in the wording of Prometheus."""
    result = [{"metric": {"n": str(n)}, "value": [1_795_341_600, value]} for n, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **members})


def refusal(kind: str, text: str) -> str:
    """Return an error in the wording of Prometheus."""
    return json.dumps({"status": "error", "errorType": kind, "error": text})


async def never(_: asyncio.StreamWriter) -> None:
    """Take the request and do not answer."""
    await asyncio.Event().wait()


async def never_whole(writer: asyncio.StreamWriter) -> None:
    """Start to answer and do not go on."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{ANSWER}".encode())
    await asyncio.Event().wait()


@attrs.define
class Begun:
    """An answer that tells when a request has arrived, and then goes on as another answer; by default it never does."""

    then: Answer = never
    event: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer a request."""
        if isinstance(self.then, bytes):
            writer.write(self.then)
        self.event.set()
        if not isinstance(self.then, bytes):
            await self.then(writer)

    async def wait(self) -> None:
        """Return once a request has arrived."""
        await self.event.wait()


def breaking_off(start: bytes) -> Answer:
    """Return an answer that ends with the connection after these bytes."""

    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        writer.close()

    return break_off


async def values(client: PrometheusClient) -> list[float]:
    """Return the values that a query gives."""
    return [sample.value for sample in (await client.query("up")).samples]
