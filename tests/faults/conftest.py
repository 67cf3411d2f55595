"""Fake servers and a proxy, for faults that no real server shows on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from ssl import SSLContext
from typing import Any

import pytest
from tests.faults.fake_prometheus import Answer, FakePrometheus, StartClient, StartFake
from tests.faults.fake_valkey import Answers, running_fake_valkey
from tests.faults.proxy import TcpProxy

from statcore_prometheus import PrometheusClient, PrometheusOptions, transport


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Prometheus client retry as often as usual, but without pauses, except a pause that the server wants."""
    monkeypatch.setattr(transport, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(transport, "_LONGEST_PAUSE_S", 0.0)


@pytest.fixture
def http_reply() -> Callable[..., bytes]:
    """Return a function that makes a whole HTTP answer; in the names of its keyword arguments, `_` stands for a hyphen."""

    def reply(body: bytes | str = b"", *, status: int = 200, **headers: str) -> bytes:
        body = body.encode() if isinstance(body, str) else body
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-").title(): text for name, text in headers.items()}
        head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
        return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body

    return reply


@pytest.fixture
async def fake_prometheus() -> AsyncIterator[Callable[..., Awaitable[FakePrometheus]]]:
    """Return a function that starts a fake server with the answers it gives; see `FakePrometheus`."""
    async with AsyncExitStack() as stack:

        async def start(*answers: Answer, ssl: SSLContext | None = None) -> FakePrometheus:
            return await stack.enter_async_context(FakePrometheus(list(answers)).running(ssl=ssl))

        yield start


@pytest.fixture
async def fake_client(fake_prometheus: StartFake) -> AsyncIterator[StartClient]:
    """Return a function that starts a fake server with its answers, and a client of it with options by name."""
    async with AsyncExitStack() as stack:

        async def start(*answers: Answer, **options: Any) -> tuple[FakePrometheus, PrometheusClient]:
            server = await fake_prometheus(*answers)
            client = PrometheusClient(server.url, options=PrometheusOptions(**options))
            return server, await stack.enter_async_context(aclosing(client))

        yield start


@pytest.fixture
async def fake_valkey() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Return a function that starts a fake server with scripted answers; see `running_fake_valkey`."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Answers) -> str:
            return await stack.enter_async_context(running_fake_valkey(*scripts))

        yield start


@pytest.fixture
async def tcp_proxy() -> AsyncIterator[Callable[..., Awaitable[TcpProxy]]]:
    """Return a function that starts a proxy in front of a port; further arguments are those of `TcpProxy`."""
    async with AsyncExitStack() as stack:

        async def start(server_port: int, **options: Any) -> TcpProxy:
            return await stack.enter_async_context(TcpProxy(server_port, **options).running())

        yield start
