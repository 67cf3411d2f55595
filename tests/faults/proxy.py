"""A TCP proxy that holds answers back, cuts them into pieces, or resets connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import attrs
from tests.support.tcp import listening

LOOPBACK: Final = "127.0.0.1"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # linger, for no time: the peer sees RST instead of an end


@attrs.define(eq=False)
class TcpProxy:
    """Passes bytes both ways, except as told.

    Args:
        server_port: where the server listens.
        piece: answers are passed on in pieces of at most so many bytes.
        port: where to listen; a free port by default.
        ends_after: after how many bytes of answers a connection ends; None is never.
    """

    server_port: int
    piece: int = 65_536
    port: int = 0
    ends_after: int | None = None
    connections: int = attrs.field(default=0, init=False)
    """How many were made so far."""
    held: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when an answer has arrived that is held back."""
    _open: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _clients: set[asyncio.StreamWriter] = attrs.field(factory=set[asyncio.StreamWriter], init=False)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[TcpProxy]:
        """Listen on a free port until the block ends."""
        self._open.set()
        async with listening(self._pass_on, port=self.port) as self.port:
            yield self

    def hold(self) -> None:
        """Hold back every answer from now on."""
        self.held.clear()
        self._open.clear()

    def let_go(self) -> None:
        """Pass on the answers that were held back, and all later ones."""
        self._open.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._clients):
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._clients.add(writer)
        try:
            from_server, to_server = await asyncio.open_connection(LOOPBACK, self.server_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._requests(reader, to_server))
                    group.create_task(self._answers(from_server, writer))
            finally:
                to_server.close()
        except* (OSError, _EndedError):
            pass  # one side has gone, and so goes the other
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            to_server.write(data)
            await to_server.drain()
        raise _EndedError

    async def _answers(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await from_server.read(self.piece):
            passed += len(data)
            if self.ends_after is not None and passed > self.ends_after:
                break
            if not self._open.is_set():
                self.held.set()
                await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise _EndedError


class _EndedError(Exception):
    """The client or the server closed its end."""
