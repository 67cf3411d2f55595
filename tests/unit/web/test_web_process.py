"""One process that serves: where it listens, and which connections it finishes at the stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
import pytest
from aiohttp import web
from tests.support.certificates import Authority
from tests.support.instant_loop import run_instantly, seconds
from tests.support.polling import until
from tests.support.tcp import has_ipv6

from statcore_web import connections
from statcore_web.process import listen, serve_until_stopped, server_tls

LARGE: Final = b"x" * 32 * 1024 * 1024
"""More than the kernel takes for a client that does not read."""
DRAIN_S: Final = 60.0


@attrs.frozen
class Tls:
    """The contexts of a server and of its clients; None for plain HTTP."""

    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None

    @property
    def name(self) -> str | None:
        """The name in the server's certificate."""
        return "127.0.0.1" if self.client else None


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, tmp_path: Path, require_program: Callable[..., str]) -> Tls:
    """The contexts of a server without and with a certificate."""
    if request.param == "plain":
        return Tls()
    authority = Authority.new(require_program("openssl"), tmp_path, "authority")
    pair = authority.issue("server")
    client = ssl.create_default_context(cafile=str(authority.certificate))
    return Tls(server_tls(str(pair.certificate), str(pair.key)), client)


@attrs.frozen
class Running:
    """A service that runs in a task: its listening socket, its address, and the event that stops it."""

    listener: socket.socket
    address: tuple[str, int]
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def stopping(self) -> None:
        """Stop it, and wait until it has closed its socket."""
        self.stop.set()
        await until(lambda: self.listener.fileno() == -1, "the end of listening")


@asynccontextmanager
async def running(tls: Tls) -> AsyncGenerator[Running]:
    """Serve a large response at `/large`, a short one at `/short`, and none at `/never`; yield it once it accepts."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def short(_: web.Request) -> web.Response:
        return web.Response(text="short")

    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app, ready, stop = web.Application(), asyncio.Event(), asyncio.Event()
    app.router.add_get("/large", large)
    app.router.add_get("/short", short)
    app.router.add_get("/never", never)
    listener = listen("127.0.0.1", 0)
    serving = serve_until_stopped(app, listener, stop, tls=tls.server, drain_s=DRAIN_S, announce=lambda _: ready.set())
    service = Running(listener, listener.getsockname(), stop, asyncio.create_task(serving))
    await ready.wait()
    try:
        yield service
    finally:
        service.task.cancel()
        await asyncio.wait([service.task])


def request_of(path: str) -> bytes:
    """Return the text of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_connections_in_the_kernels_queue_are_served_at_the_stop(tls: Tls) -> None:
    """Those of clients that have closed them, or send nothing, do not keep the others from an answer."""
    async with running(tls) as service:
        # Nothing here gives the event loop a turn, so that the service has accepted none of them before the stop.
        closed, silent, used = (socket.create_connection(service.address) for _ in range(3))
        closed.close()
        service.stop.set()
        reader, writer = await asyncio.open_connection(sock=used, ssl=tls.client, server_hostname=tls.name)
        writer.write(request_of("/short"))
        assert (await reader.read()).endswith(b"\r\n\r\nshort")
        writer.close()
        await service.task
        silent.close()


async def test_a_response_is_finished_when_the_client_has_it(tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    """A client that reads slowly gets all of it after the stop; a second stop cuts it off, and the log says so."""
    for is_cut_off in (False, True):
        async with running(tls) as service:
            reader, writer = await asyncio.open_connection(*service.address, ssl=tls.client, server_hostname=tls.name)
            writer.write(request_of("/short") + request_of("/large"))
            await reader.readuntil(b"\r\n\r\nshort")
            await reader.readuntil(b"\r\n\r\n")
            await service.stopping()
            if is_cut_off:
                service.stop.set()
                await service.task
            assert is_cut_off is ("not finished and are cut off" in caplog.text)
            assert LARGE == await reader.read()  # what is cut off is lost with the process, which goes on here
            writer.close()
            await service.task


@pytest.mark.parametrize("sent", [b"no header\r\n\r\n", b"Host: a\r\nHost: b\r\n\r\n"])
async def test_a_request_that_is_not_http_is_no_error_of_the_service(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets status 400; the log has a line at the level of requests, without a traceback."""
    with caplog.at_level(logging.INFO):
        async with running(Tls()) as service:
            reader, writer = await asyncio.open_connection(*service.address)
            writer.write(b"GET / HTTP/1.1\r\n" + sent)
            assert b"400" in await reader.readline()
            writer.close()
    assert [(logging.INFO, None)] == [(record.levelno, record.exc_info) for record in caplog.records]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_address_for_all_takes_both_kinds(address: str) -> None:
    """`::` accepts connections to IPv4 addresses, too."""
    with listen("::", 0) as listener, socket.create_connection((address, listener.getsockname()[1])) as client:
        accepted, peer = listener.accept()
        accepted.close()
        assert client.getsockname()[1] == peer[1]


HEAD: Final = b"GET /short HTTP/1.1\r\nHost:"


@pytest.mark.parametrize(
    ("sent", "trickle"),
    [(b"", b""), (HEAD, b"x"), (request_of("/short"), b""), (request_of("/short") + HEAD, b"x")],
    ids=["nothing", "head", "response", "second head"],
)
def test_a_connection_without_a_whole_request_is_closed(sent: bytes, trickle: bytes, tls: Tls) -> None:
    """Nothing is sent, or a part of a request and then a byte from time to time, at first or after a response."""

    async def ends() -> float:
        async with running(tls) as service:
            reader, writer = await asyncio.open_connection(*service.address, ssl=tls.client, server_hostname=tls.name)
            writer.write(sent)
            end = asyncio.ensure_future(reader.read())
            while not end.done():
                await asyncio.wait([end], timeout=10)
                writer.write(trickle)
            writer.transport.abort()
            return seconds()

    assert connections.UNUSED_S <= run_instantly(ends()) <= connections.UNUSED_S + 10


@pytest.mark.parametrize("bytes_per_s", [0, 32 * 1024, 80 * 1024])
def test_a_client_that_does_not_read_is_cut_off(bytes_per_s: int, tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    """So is one that reads too slowly; one that reads steadily gets all of a response, however long it takes."""

    async def read() -> int:
        async with running(tls) as service:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
                client.connect(service.address)
                reader, writer = await asyncio.open_connection(
                    sock=client, ssl=tls.client, server_hostname=tls.name, limit=16 * 1024
                )
                writer.write(request_of("/large"))
                size = 0
                with suppress(ConnectionError):
                    if not bytes_per_s:
                        await until(lambda: connections.__name__ in caplog.text, "the end of the connection")
                    while part := await reader.read(bytes_per_s or -1):
                        size += len(part)
                        if size > len(LARGE):
                            break
                        await asyncio.sleep(len(part) / bytes_per_s if bytes_per_s else 0)
                writer.transport.abort()
                return size

    with caplog.at_level(logging.INFO):
        assert (run_instantly(read()) > len(LARGE)) is (bytes_per_s == 80 * 1024)


async def test_the_connection_that_was_used_least_recently_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never had a request goes before the others, and one with a request that runs stays."""
    monkeypatch.setattr(connections, "_MOST", 3)
    async with running(Tls()) as service:
        clients = [await asyncio.open_connection(*service.address) for _ in range(3)]
        for number, path in ((2, "/short"), (0, "/never"), (1, "/short"), (2, "/short")):
            reader, writer = clients[number]
            writer.write(request_of(path))
            if path == "/short":
                await reader.readuntil(b"\r\n\r\nshort")
        ends: list[int] = []

        async def end_of(number: int) -> None:
            with suppress(ConnectionError):
                await clients[number][0].read()
            ends.append(number)

        waiting: list[asyncio.Task[None]] = []
        for number in range(6):
            if number >= 3:
                clients.append(await asyncio.open_connection(*service.address))
            waiting.append(asyncio.create_task(end_of(number)))
            await until(lambda expected=number - 2: len(ends) >= expected, "room for a connection")  # type: ignore[misc]
        assert [1, 3, 4] == ends
        for _, writer in clients:
            writer.transport.abort()
        await asyncio.wait(waiting)


async def test_the_memory_for_clients_that_do_not_read_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients request more than may wait for them: one loses its connection, and the other one gets its response."""
    monkeypatch.setattr(connections, "_MOST_WAITING_BYTES", len(LARGE) * 3 // 2)
    monkeypatch.setattr(connections, "_CHECK_S", 0.01)
    with caplog.at_level(logging.INFO):
        async with running(Tls()) as service:
            clients = [await asyncio.open_connection(*service.address, limit=1024) for _ in range(2)]
            for reader, writer in clients:
                writer.write(request_of("/large"))
                await reader.readuntil(b"\r\n\r\n")
            await until(lambda: connections.__name__ in caplog.text, "the end of a connection")

            async def size(reader: asyncio.StreamReader) -> int:
                try:
                    return len(await reader.readexactly(len(LARGE)))
                except (ConnectionError, asyncio.IncompleteReadError):
                    return 0

            assert [0, len(LARGE)] == sorted([await size(reader) for reader, _ in clients])
            for _, writer in clients:
                writer.transport.abort()
