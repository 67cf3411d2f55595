"""A TCP proxy that delays, holds back, cuts into pieces and changes answers, loses requests, and ends connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import attrs
from tests.support.tcp import listening, reset

from statcore.testing.servers import LOOPBACK


@attrs.define(eq=False)
class TcpProxy:
    """Passes bytes both ways, except as told.

    Args:
        server_port: where the server listens.
        piece: answers are passed on in pieces of at most so many bytes.
        port: where to listen; a free port by default.
        ends_after: after how many bytes of answers a connection ends; None is never.
        delay_s: how long each piece of an answer is kept before it is passed on, in seconds.
        rewrite: returns what is passed on in place of bytes of an answer, as they arrive; None passes them on as they are.
    """

    server_port: int
    piece: int = 65_536
    port: int = 0
    ends_after: int | None = None
    delay_s: float = 0.0
    rewrite: Callable[[bytes], bytes] | None = None
    connections: int = attrs.field(default=0, init=False)
    """How many were made so far."""
    held: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when an answer has arrived that is held back."""
    lost: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when a request has arrived that no server gets."""
    _passes: int = attrs.field(default=0, init=False)
    """How many bytes of answers are passed on before the rest is held back."""
    _is_black_hole: bool = attrs.field(default=False, init=False)
    _is_open: bool = attrs.field(default=True, init=False)
    """Whether answers are passed on."""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when answers that are held back may be passed on."""
    _clients: set[asyncio.StreamWriter] = attrs.field(factory=set[asyncio.StreamWriter], init=False)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[TcpProxy]:
        """Listen on a free port until the block ends."""
        async with listening(self._pass_on, port=self.port) as self.port:
            yield self

    def hold(self, *, after: int = 0) -> None:
        """Hold back every answer from now on, once `after` more bytes of answers have been passed on."""
        self.held.clear()
        self._is_open = False
        self._passes = after

    def let_go(self, *, only: int | None = None) -> None:
        """Pass on the answers that were held back, and all later ones; or `only` so many bytes of them."""
        self.held.clear()
        self._is_open = only is None
        self._passes = only or 0
        self._changed.set()

    def lose_requests(self, *, lose: bool = True) -> None:
        """Take every request from now on and pass none of them to the server; with `lose=False`, pass them on again."""
        self.lost.clear()
        self._is_black_hole = lose

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._clients):
            reset(writer)

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
            if self._is_black_hole:
                self.lost.set()
                continue
            to_server.write(data)
            await to_server.drain()
        raise _EndedError

    async def _answers(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        remaining = self.ends_after
        while data := await from_server.read(65_536):
            if self.rewrite is not None:
                data = self.rewrite(data)
            if remaining is not None:
                data = data[:remaining]
                remaining -= len(data)
            while data:
                await asyncio.sleep(self.delay_s)
                await self._pass_piece(data[: self.piece], writer)
                data = data[self.piece :]
            if remaining == 0:
                break
        raise _EndedError

    async def _pass_piece(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        while piece and not self._is_open:
            at_once, piece = piece[: self._passes], piece[self._passes :]
            self._passes -= len(at_once)
            writer.write(at_once)
            if piece:
                self._changed.clear()
                self.held.set()
                await self._changed.wait()
        writer.write(piece)
        await writer.drain()


StartProxy: TypeAlias = Callable[..., Awaitable[TcpProxy]]
"""The fixture `tcp_proxy`, which starts a proxy in front of a port."""


class _EndedError(Exception):
    """The client or the server closed its end."""
