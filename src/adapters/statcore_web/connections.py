"""The connections of a process: accepts them, and closes those of slow clients, so that they cost others nothing.

aiohttp has no deadline for a client that does not read its response, no bound on how many connections are open, and keeps a
connection without a request for an hour. asyncio does not tell which connections are in a TLS handshake.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import socket
import ssl
import sys
import termios
from asyncio import BaseTransport, Transport
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import attrs
from aiohttp import web

from statcore.concurrency import end_tasks

_logger: Final = logging.getLogger(__name__)

BACKLOG: Final = 1024
"""Connections that may wait for a worker; a peak of new ones, for example when clients reconnect, must fit."""
UNUSED_S: Final = 75.0
"""How long a connection may be open without a whole request, or after a response; proxies close theirs after 60 s."""
_MOST: Final = 4096
_SLOWEST_BYTES_PER_S: Final = 64 * 1024
_MOST_WAITING_BYTES: Final = 512 * 1024 * 1024
"""How much of all responses may wait for clients: a client could request many, each within the limit of a response."""
_CHECK_S: Final = 0.5
_HANDSHAKE_S: Final = 10.0
_END_S: Final = 5.0
"""How long the end of a connection may take while nothing waits for its client: a client of TLS should answer it."""
_TLS_SHUTDOWN_S: Final = 24 * 3600.0
"""How long asyncio lets an end take, of which the client may read the rest of a response; this module decides before."""
_PAUSE_S: Final = 1.0
"""How long no connection is accepted after the system had no room for one."""


@attrs.define(eq=False)
class _Connection:
    """A connection, from when it is accepted.

    Args:
        socket: its socket; the transport closes it.
        handler: aiohttp's protocol.
        used_s: when it was accepted, a request of it ended, or a response waited for its client, by the clock of the event
            loop.
    """

    socket: socket.socket
    handler: web.RequestHandler
    used_s: float
    transport: Transport | None = attrs.field(default=None, init=False)
    """None until the TLS handshake has ended."""
    running: bool = attrs.field(default=False, init=False)
    """Whether a request is running."""
    aborted: bool = attrs.field(default=False, init=False)
    measured: tuple[float, int] | None = attrs.field(default=None, init=False)
    """Since when it is measured how fast its client reads, and how many bytes the client had not read then."""

    @property
    def is_closed(self) -> bool:
        return self.socket.fileno() == -1

    def waiting_bytes(self) -> int:
        """Return how much of a response waits in this process until the kernel takes it."""
        if self.transport is None or self.aborted or self.is_closed:
            return 0
        return _buffered_bytes(self.transport)

    def unread_bytes(self) -> int:
        """Return how much of a response the client's machine has not acknowledged; the kernel takes megabytes at a time."""
        in_kernel = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
        return self.waiting_bytes() + int.from_bytes(in_kernel, sys.byteorder)


@attrs.define(eq=False)
class Connections:
    """The connections of a process, and the requests that run on them.

    Args:
        runner: runs the application; it must be set up before connections are accepted.
        listener: the listening socket.
        tls: the TLS context; None for plain HTTP.
        read_s: while a response waits for its client, the client must read 64 KiB a second, measured over so many seconds.
    """

    runner: web.AppRunner
    listener: socket.socket
    tls: ssl.SSLContext | None
    read_s: float
    _open: dict[web.RequestHandler, _Connection] = attrs.field(factory=dict[web.RequestHandler, _Connection], init=False)
    """The least recently used one is the first. Those that have ended are forgotten at each check."""
    _opening: dict[web.RequestHandler, asyncio.Task[None]] = attrs.field(
        factory=dict[web.RequestHandler, asyncio.Task[None]], init=False
    )
    """What makes the TLS handshakes."""

    @property
    def _server(self) -> web.Server:
        return cast("web.Server", self.runner.server)

    @property
    def number(self) -> int:
        """How many connections are open, TLS handshakes included, or have a request that is running."""
        return len({*self._server.connections, *self._opening})

    @property
    def unfinished(self) -> int:
        """How many connections have a request that is running, or a response that waits for its client."""
        return sum(connection.running or connection.waiting_bytes() > 0 for connection in self._open.values())

    @web.middleware
    async def count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Count a request as running."""
        connection = self._open.get(request.protocol)
        if connection is None:  # it has been closed since the request came
            return await handler(request)
        connection.running, connection.measured = True, None  # the client has read the responses before
        try:
            return await handler(request)
        finally:
            connection.running, connection.measured = False, None
            self._use(connection)

    @asynccontextmanager
    async def accepting(self) -> AsyncGenerator[None]:
        """Accept connections within the block, or until `stop_accepting`; the end of the block ends TLS handshakes."""
        self.listener.settimeout(0)
        self._resume()
        try:
            yield
        finally:
            self._pause()
            await end_tasks(self._opening.values())

    async def stop_accepting(self) -> None:
        """Close the listening socket without losing a connection that the kernel has accepted already."""
        self._pause()
        for _ in range(BACKLOG):
            if not self._accept():
                break
            await asyncio.sleep(0)  # the connection opens
        self.listener.close()

    async def close_unused(self) -> None:
        """Close connections that wait too long for a request, or whose clients do not read; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            self._forget_closed()
            for connection in [*self._open.values()]:
                try:
                    self._check(connection)
                except Exception:
                    _logger.exception("a connection cannot be checked, and is closed")
                    self._abort(connection)
            self._cut_off_longest()

    def _resume(self) -> None:
        if self.listener.fileno() != -1:
            asyncio.get_running_loop().add_reader(self.listener.fileno(), self._accept)

    def _pause(self) -> None:
        if self.listener.fileno() != -1:
            asyncio.get_running_loop().remove_reader(self.listener.fileno())

    def _accept(self) -> bool:
        """Accept a connection, and return whether one was waiting. With one at a time, workers share a peak of them."""
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was first, or the client has gone
            return False
        except OSError as error:
            _logger.warning("no connection can be accepted for %g s: %s", _PAUSE_S, error.strerror)
            self._pause()
            loop.call_later(_PAUSE_S, self._resume)
            return False
        self._make_room()
        connection = _Connection(accepted, self._server(), loop.time())
        self._open[connection.handler] = connection
        self._opening[connection.handler] = opening = loop.create_task(self._connect(connection))
        opening.add_done_callback(lambda _: self._opening.pop(connection.handler))
        return True

    async def _connect(self, connection: _Connection) -> None:
        seconds = {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _TLS_SHUTDOWN_S} if self.tls else {}
        try:
            connection.transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection.handler, connection.socket, ssl=self.tls, **seconds
            )
        except OSError as error:  # the client does not speak TLS, or has gone
            _logger.debug("a connection fails: %s", error)

    def _make_room(self) -> None:
        """If too many connections are open, close the least recently used one that has no request.

        A new connection counts as used. If one without a request went before the others, clients that hold all places and
        send nothing would keep everyone else out.
        """
        most = _most_connections()
        if len(self._open) < most or self.number < most:
            return
        for connection in self._open.values():
            if not (connection.running or connection.aborted or connection.is_closed):
                self._abort(connection)
                return

    def _forget_closed(self) -> None:
        closed = [handler for handler, found in self._open.items() if found.is_closed and not found.running]
        for handler in closed:
            del self._open[handler]

    def _use(self, connection: _Connection) -> None:
        connection.used_s = asyncio.get_running_loop().time()
        self._open.pop(connection.handler, None)
        self._open[connection.handler] = connection

    def _check(self, connection: _Connection) -> None:
        now_s, transport = asyncio.get_running_loop().time(), connection.transport
        if connection.aborted or transport is None:
            return
        if connection.waiting_bytes():
            self._use(connection)
            unread = connection.unread_bytes()
            start_s, before = connection.measured or (now_s, unread)
            if now_s - start_s >= self.read_s:
                if before - unread < _SLOWEST_BYTES_PER_S * self.read_s:
                    self._cut_off(connection, "its client reads too slowly")
                start_s, before = now_s, unread
            connection.measured = start_s, before
            return
        connection.measured = None
        if connection.running:
            return
        if transport.is_closing():
            if now_s - connection.used_s >= _END_S:
                self._abort(connection)
        elif now_s - connection.used_s >= UNUSED_S:
            self._use(connection)
            connection.handler.force_close()  # it closes the transport, and takes no further request

    def _cut_off_longest(self) -> None:
        """Close the connections for which the most is waiting, until what waits for the others is not too much."""
        waiting = {connection: size for connection in self._open.values() if (size := connection.waiting_bytes())}
        excess = sum(waiting.values()) - _MOST_WAITING_BYTES
        for connection in sorted(waiting, key=waiting.__getitem__, reverse=True):
            if excess <= 0:
                return
            excess -= waiting[connection]
            self._cut_off(connection, "more waits for clients than this process keeps")

    def _cut_off(self, connection: _Connection, reason: str) -> None:
        _logger.info("a connection is closed: %s", reason)
        self._abort(connection)

    def _abort(self, connection: _Connection) -> None:
        connection.aborted = True
        transport = connection.transport or connection.handler.transport  # a handshake may have ended in this turn
        if transport is not None:
            transport.abort()
        elif (opening := self._opening.get(connection.handler)) is not None:
            opening.cancel()


def _buffered_bytes(transport: BaseTransport) -> int:
    size, layer = 0, cast("Any", transport)
    while layer is not None:
        size += layer.get_write_buffer_size()
        # A transport of TLS does not count data that it has encrypted; the one below it does.
        layer = getattr(getattr(layer, "_ssl_protocol", None), "_transport", None)
    return size


def allow_many_files() -> None:
    """Let this process have enough open files for all connections; the default is 1,024 on many systems.

    Not all that the system allows: programs that are started from here may close each possible file.
    """
    files, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < 2 * _MOST:
        most = 2 * _MOST if allowed == resource.RLIM_INFINITY else min(2 * _MOST, allowed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, allowed))


def _most_connections() -> int:
    """Return how many connections may be open: half of the files that this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 2)
