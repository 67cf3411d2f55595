"""The connections of a process: which have a request, and which are closed so that slow clients cost others nothing.

aiohttp has no deadline for a client that does not read its response, no bound on how many connections are open, and keeps a
connection without a request for an hour.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import sys
import termios
from asyncio import BaseTransport, Transport
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any, Final, cast

import attrs
from aiohttp import web

_logger: Final = logging.getLogger(__name__)

UNUSED_S: Final = 75.0
"""How long a connection may be open without a whole request, or after a response; proxies close theirs after 60 s."""
_MOST: Final = 4096
_SLOWEST_BYTES_PER_S: Final = 64 * 1024
_MOST_WAITING_BYTES: Final = 512 * 1024 * 1024
"""How much of all responses may wait for clients: a client could request many, each within the limit of a response."""
_CHECK_S: Final = 0.5


@attrs.define(eq=False)
class Connections:
    """The connections of a process, and the requests that run on them.

    Args:
        read_s: while a response waits for its client, the client must read 64 KiB a second, measured over so many seconds.
    """

    read_s: float
    _busy: set[web.RequestHandler] = attrs.field(factory=set[web.RequestHandler], init=False)
    _idle_since: dict[web.RequestHandler, tuple[bool, float]] = attrs.field(
        factory=dict[web.RequestHandler, tuple[bool, float]], init=False
    )
    """Whether a connection has had a request, and since when it has none, by the clock of the event loop."""

    @property
    def running(self) -> int:
        """How many requests are running."""
        return len(self._busy)

    @web.middleware
    async def count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Count a request as running."""
        connection = request.protocol
        self._busy.add(connection)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._idle_since[connection] = True, asyncio.get_running_loop().time()

    def accept(self, server: web.Server) -> web.RequestHandler:
        """Return the protocol of a new connection.

        If there are too many, close one without a request: one that never had any, or else the least recently used.
        """
        if len(server.connections) >= _most_connections():
            idle = [
                connection
                for connection in server.connections
                if connection not in self._busy and connection.transport and not connection.transport.is_closing()
            ]
            unused = min(idle, key=lambda connection: self._idle_since.get(connection, (False, 0.0)), default=None)
            if unused is not None and unused.transport is not None:
                unused.transport.abort()
        return server()

    async def close_unused(self, server: web.Server) -> None:
        """Close connections that wait too long for a request, or whose clients do not read; runs until it is cancelled."""
        begun: dict[Transport, tuple[float, int]] = {}
        while True:
            await asyncio.sleep(_CHECK_S)
            now_s, open_ = asyncio.get_running_loop().time(), server.connections
            transports = [connection.transport for connection in open_ if connection.transport is not None]
            reading = [transport for transport in transports if waiting_bytes(transport)]
            self._close_idle(open_, now_s, reading)
            _cut_off_longest(reading)
            begun = {transport: begun.get(transport, (now_s, _unread_bytes(transport))) for transport in reading}
            for transport, (start_s, before) in begun.items():
                if now_s - start_s >= self.read_s:
                    unread = _unread_bytes(transport)
                    if before - unread < _SLOWEST_BYTES_PER_S * self.read_s:
                        _cut_off(transport, "its client reads too slowly")
                    begun[transport] = now_s, unread

    def _close_idle(self, open_: list[web.RequestHandler], now_s: float, reading: Container[Transport]) -> None:
        self._idle_since = {connection: self._idle_since.get(connection, (False, now_s)) for connection in open_}
        for connection, (_, since_s) in self._idle_since.items():
            if connection in self._busy or connection.transport is None:
                continue
            if connection.transport in reading:
                self._idle_since[connection] = True, now_s
            elif now_s - since_s >= UNUSED_S:
                connection.transport.close()


def _cut_off_longest(reading: Sequence[Transport]) -> None:
    """Close the connections for which the most is waiting, until what waits for the others is not too much."""
    waiting = {transport: waiting_bytes(transport) for transport in reading}
    excess = sum(waiting.values()) - _MOST_WAITING_BYTES
    for transport in sorted(reading, key=waiting.__getitem__, reverse=True):
        if excess > 0:
            excess -= waiting[transport]
            _cut_off(transport, "more waits for clients than this process keeps")


def _cut_off(transport: Transport, reason: str) -> None:
    _logger.info("a connection is closed: %s", reason)
    transport.abort()


def waiting_bytes(transport: BaseTransport | None) -> int:
    """Return how much of a response waits in this process until the kernel takes it, because its client reads slowly."""
    size, layer = 0, cast("Any", transport)
    while layer is not None:
        size += layer.get_write_buffer_size()
        # A transport of TLS does not count data that it has encrypted; the one below it does.
        layer = getattr(getattr(layer, "_ssl_protocol", None), "_transport", None)
    return size


def _unread_bytes(transport: BaseTransport) -> int:
    """Return how much of a response the client's machine has not acknowledged; the kernel takes megabytes at a time."""
    descriptor = transport.get_extra_info("socket").fileno()
    in_kernel = b"" if descriptor == -1 else fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    return waiting_bytes(transport) + int.from_bytes(in_kernel, sys.byteorder)


def allow_many_files() -> None:
    """Let this process have as many open files as the system allows it; the default is 1,024 on many systems."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))


def _most_connections() -> int:
    """Return how many connections may be open: half of the files that this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 2)
