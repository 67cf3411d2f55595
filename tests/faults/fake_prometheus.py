"""A server that gives any answer at all, in place of a Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import attrs

Answer: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What a fake server does with a request: it sends bytes, or what a coroutine function writes; both say it all."""


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
    """A server that gives its answers in turn, the last one again and again, and notes the requests."""

    answers: list[Answer]
    url: str = ""
    seen: list[SeenRequest] = attrs.field(factory=list[SeenRequest])

    @asynccontextmanager
    async def running(self, *, ssl: SSLContext | None = None) -> AsyncGenerator[Self]:
        """Listen on a free port until the end."""
        connections: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            await self._serve(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
        self.url = f"http{'' if ssl is None else 's'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it, or an answer does."""
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
        except asyncio.CancelledError:
            pass  # the test is over; the stream's own callback would log a task that was cancelled
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
