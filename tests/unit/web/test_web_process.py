"""One process that serves: where it listens, and which connections it finishes at the stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, cast

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from tests.support.certificates import Authority
from tests.support.instant_loop import run_instantly, seconds
from tests.support.polling import until
from tests.support.tcp import has_ipv6

from statcore_web import connections
from statcore_web.background import in_background
from statcore_web.process import listen, serve_until_stopped, server_tls

LARGE: Final = b"x" * 32 * 1024 * 1024
"""More than the kernel takes for a client that does not read."""
DRAIN_S: Final = 60.0
ESTABLISHED: Final = b"\x01"
"""The state of a connection whose two ends are open, as the kernel tells it."""


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
    return Tls() if request.param == "plain" else new_tls(tmp_path, require_program)


def new_tls(tmp_path: Path, require_program: Callable[..., str]) -> Tls:
    """Return the contexts of a server with a certificate, and of clients that trust it."""
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


async def connect(
    service: Running, tls: Tls, *, client: socket.socket | None = None, limit: int = 64 * 1024
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a service.

    Args:
        service: the service.
        tls: its contexts.
        client: a socket that is connected; by default a new one.
        limit: how many bytes the client takes before it is read.
    """
    connected = client or socket.create_connection(service.address)
    return await asyncio.open_connection(sock=connected, ssl=tls.client, server_hostname=tls.name, limit=limit)


def request_of(path: str, headers: str = "") -> bytes:
    """Return the text of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def is_open(client: socket.socket) -> bool:
    """Return whether the service has not closed the connection of a client, which may have data to read."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED


async def test_connections_in_the_kernels_queue_are_served_at_the_stop(tls: Tls) -> None:
    """Those of clients that have closed them, or send nothing, do not keep the others from an answer."""
    async with running(tls) as service:
        # Nothing here gives the event loop a turn, so that the service has accepted none of them before the stop.
        closed, silent, used = (socket.create_connection(service.address) for _ in range(3))
        closed.close()
        service.stop.set()
        reader, writer = await connect(service, tls, client=used)
        writer.write(request_of("/short"))
        assert (await reader.read()).endswith(b"\r\n\r\nshort")
        writer.close()
        await service.task
        silent.close()


def test_a_connection_in_its_handshake_is_served_at_the_stop(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """The service has accepted it before the stop, and waits for it as for one without a request."""
    tls = new_tls(tmp_path, require_program)

    async def response() -> bytes:
        async with running(tls) as service:
            slow = socket.create_connection(service.address)
            _, other = await connect(service, tls)  # they are accepted in their order
            other.transport.abort()
            await service.stopping()
            await asyncio.sleep(0.5)
            assert not service.task.done()
            reader, writer = await connect(service, tls, client=slow)
            writer.write(request_of("/short"))
            try:
                return await reader.read()
            finally:
                writer.close()
                await service.task

    assert run_instantly(response()).endswith(b"\r\n\r\nshort")


async def test_a_response_is_finished_when_the_client_has_it(tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    """A client that reads slowly gets all of it after the stop; a second stop cuts it off, and the log says so."""
    for is_cut_off in (False, True):
        async with running(tls) as service:
            reader, writer = await connect(service, tls)
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
            reader, writer = await connect(service, Tls())
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
            reader, writer = await connect(service, tls)
            writer.write(sent)
            end = asyncio.ensure_future(reader.read())
            while not end.done():
                await asyncio.wait([end], timeout=10)
                writer.write(trickle)
            writer.transport.abort()
            return seconds()

    assert connections.UNUSED_S <= run_instantly(ends()) <= connections.UNUSED_S + 10


def test_a_client_that_does_not_answer_the_end_is_cut_off(tls: Tls) -> None:
    """A client of TLS should; the next connection is closed in time, too."""

    async def end_of_next() -> float:
        async with running(tls) as service:
            silent = socket.create_connection(service.address)
            _, silent_writer = await connect(service, tls, client=silent)
            cast("asyncio.Transport", silent_writer.transport).pause_reading()
            await asyncio.sleep(connections.UNUSED_S + 10)
            assert not is_open(silent)
            start_s = seconds()
            reader, writer = await connect(service, tls)
            await reader.read()
            for client in (silent_writer, writer):
                client.transport.abort()
            return seconds() - start_s

    assert connections.UNUSED_S <= run_instantly(end_of_next()) <= connections.UNUSED_S + 10


def test_a_connection_that_cannot_be_checked_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cut off and logged, and others are closed in time."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    async def end_of_other() -> float:
        async with running(tls) as service:
            slow_reader, slow_writer = await connect(service, tls, limit=16 * 1024)
            slow_writer.write(request_of("/large"))
            reader, writer = await connect(service, tls)
            await reader.read()
            assert len(LARGE) > len(await slow_reader.read())
            for client in (slow_writer, writer):
                client.transport.abort()
            return seconds()

    monkeypatch.setattr("fcntl.ioctl", fail)
    assert connections.UNUSED_S <= run_instantly(end_of_other()) <= connections.UNUSED_S + 10
    assert os.strerror(errno.EINVAL) in caplog.text


def test_a_client_that_reads_one_response_after_another_stays(tls: Tls) -> None:
    """As much waits for it at the end as at the beginning, but it has read all that was sent in between."""

    async def read() -> int:
        async with running(tls) as service:
            reader, writer = await connect(service, tls, limit=16 * 1024)
            responses = 0
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while responses < 6:
                    writer.write(request_of("/large"))
                    await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(len(LARGE) // 2)
                    await asyncio.sleep(10)
                    await reader.readexactly(len(LARGE) // 2)
                    responses += 1
            writer.transport.abort()
            return responses

    assert 6 == run_instantly(read())


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"], ids=["stays", "ends"])
@pytest.mark.parametrize("bytes_per_s", [0, 32 * 1024, 80 * 1024])
def test_a_client_that_does_not_read_is_cut_off(
    bytes_per_s: int, headers: str, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    """So is one that reads too slowly; one that reads steadily gets all of a response, however long it takes.

    The connection may end with the response.
    """

    async def read() -> int:
        async with running(tls) as service:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
                client.connect(service.address)
                reader, writer = await connect(service, tls, client=client, limit=16 * 1024)
                writer.write(request_of("/large", headers))
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


async def test_clients_that_do_not_begin_with_tls_make_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, require_program: Callable[..., str]
) -> None:
    """They are counted as the others: for each new connection, the oldest of them is closed."""
    monkeypatch.setattr(connections, "_MOST", 3)
    tls = new_tls(tmp_path, require_program)
    async with running(tls) as service:
        with ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection(service.address)) for _ in range(6)]
            reader, writer = await connect(service, tls)
            writer.write(request_of("/short"))
            await reader.readuntil(b"\r\n\r\nshort")
            assert [False] * 4 + [True] * 2 == [is_open(client) for client in silent]
            writer.transport.abort()


async def test_the_connection_that_was_used_least_recently_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one counts as used now, and one with a request that runs stays.

    If a new one, which has had no request yet, went before the others, clients that hold all places and send nothing more
    would keep everyone else out.
    """
    monkeypatch.setattr(connections, "_MOST", 3)
    async with running(Tls()) as service:
        clients = [await connect(service, Tls()) for _ in range(3)]
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
                clients.append(await connect(service, Tls()))
            waiting.append(asyncio.create_task(end_of(number)))
            await until(lambda expected=number - 2: len(ends) >= expected, "room for a connection")  # type: ignore[misc]
        assert [1, 2, 3] == ends
        for _, writer in clients:
            writer.transport.abort()
        await asyncio.wait(waiting)


async def test_connections_that_have_ended_take_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is kept open stays, however many others come and go."""
    monkeypatch.setattr(connections, "_MOST", 3)
    async with running(Tls()) as service:
        reader, writer = await connect(service, Tls())
        for _ in range(9):
            other_reader, other_writer = await connect(service, Tls())
            other_writer.write(request_of("/short", "Connection: close\r\n"))
            await other_reader.read()
            other_writer.close()
        writer.write(request_of("/short"))
        assert (await reader.readuntil(b"\r\n\r\nshort")).startswith(b"HTTP/1.1 200 ")
        writer.transport.abort()


def test_enough_files_may_be_open_and_not_all() -> None:
    """Twice as many as connections, or as many as the system allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        for _ in range(2):
            connections.allow_many_files()
            assert min(2 * 4096, before[1]) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_connections_wait_while_no_file_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and they are served later."""
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)
    async with running(Tls()) as service:
        with ExitStack() as stack, socket.socket() as client:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, limits[1]))
            try:
                with suppress(OSError):
                    while True:
                        stack.callback(os.close, os.dup(client.fileno()))
                client.connect(service.address)
                await until(lambda: os.strerror(errno.EMFILE) in caplog.text, "the line")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            reader, writer = await connect(service, Tls(), client=client)
            writer.write(request_of("/short"))
            assert (await reader.readuntil(b"\r\n\r\nshort")).startswith(b"HTTP/1.1 200 ")
            writer.transport.abort()


async def test_a_request_of_a_connection_that_was_just_closed_is_no_error() -> None:
    """Its handler runs; nobody gets the answer."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    with listen("127.0.0.1", 0) as listener:
        none_open = connections.Connections(web.AppRunner(web.Application()), listener, None, read_s=1.0)
        assert 200 == (await none_open.count(make_mocked_request("GET", "/"), answer)).status
        assert 0 == none_open.unfinished


async def test_the_end_of_work_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It has none of its own."""

    async def fail() -> None:
        raise KeyError("planted")

    async with in_background(fail(), name="watching"):
        await until(lambda: "planted" in caplog.text, "the line")
    assert ["watching has ended, and should not have"] == caplog.messages


async def test_the_memory_for_clients_that_do_not_read_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients request more than may wait for them: one loses its connection, and the other one gets its response."""
    monkeypatch.setattr(connections, "_MOST_WAITING_BYTES", len(LARGE) * 3 // 2)
    monkeypatch.setattr(connections, "_CHECK_S", 0.01)
    with caplog.at_level(logging.INFO):
        async with running(Tls()) as service:
            clients = [await connect(service, Tls(), limit=1024) for _ in range(2)]
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
