"""Loopback proxies in front of servers, in a thread: a server can be isolated from clients and from other servers."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict
from collections.abc import Coroutine, Generator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, TypeVar

import attrs
from tests.support.tcp import listening, reset

from statcore.testing.servers import LOOPBACK

_T = TypeVar("_T")
_ANSWER_S: Final = 10.0
_PIECE: Final = 65_536
_TRICKLED_PIECE: Final = 64
_TRICKLE_S: Final = 0.001
"""The pause after each piece of a trickled answer."""


@attrs.define(eq=False)
class Network:
    """Forwards connections to servers, except those that begin or end at an isolated server.

    A server is known by its source address, such as 127.0.1.1, from which it connects to the others. Bytes from and to an
    isolated server are kept until it rejoins: its peers see what they see when packets are lost, an open connection without
    an answer. Clients connect from 127.0.0.1; `cut` and `trickle` are about their connections only.
    """

    _loop: asyncio.AbstractEventLoop
    _proxies: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)
    _rejoined: dict[str, asyncio.Event] = attrs.field(factory=dict[str, asyncio.Event], init=False)
    """The isolated servers, by source address."""
    _trickling: set[str] = attrs.field(factory=set[str], init=False)
    _ports: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    """The port of the server behind each proxy, by the proxy's port."""
    _clients: dict[str, set[asyncio.StreamWriter]] = attrs.field(
        factory=lambda: defaultdict[str, set[asyncio.StreamWriter]](set), init=False
    )
    """The connections of clients, by the source address of the server."""
    _to_servers: weakref.WeakSet[asyncio.StreamWriter] = attrs.field(
        factory=weakref.WeakSet[asyncio.StreamWriter], init=False
    )

    def forward(self, port: int, *, owner: str) -> int:
        """Forward connections to a port of the server with this source address; return the port of the proxy."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source: str = writer.get_extra_info("peername")[0]
            own_port: int = writer.get_extra_info("sockname")[1]
            if source != LOOPBACK:
                await self._pass_on(reader, writer, self._ports[own_port], ends=(owner, source))
                return
            self._clients[owner].add(writer)
            try:
                await self._pass_on(reader, writer, self._ports[own_port], ends=(owner, source))
            finally:
                self._clients[owner].discard(writer)

        proxy = self._run(self._proxies.enter_async_context(listening(handle)))
        self._ports[proxy] = port
        return proxy

    def redirect(self, proxy: int, port: int) -> None:
        """Forward new connections to the port of a proxy to another port of its server, which has started again."""
        self._ports[proxy] = port

    def isolate(self, owner: str) -> None:
        """Keep all bytes from and to a server from now on."""

        async def isolate() -> None:
            self._rejoined.setdefault(owner, asyncio.Event())

        self._run(isolate())

    def rejoin(self, owner: str) -> None:
        """Forward what was kept, and all later bytes."""

        async def rejoin() -> None:
            if rejoined := self._rejoined.pop(owner, None):
                rejoined.set()

        self._run(rejoin())

    def cut(self, owner: str) -> None:
        """Reset the connections of clients to a server."""

        async def cut() -> None:
            for writer in [*self._clients[owner]]:
                reset(writer)

        self._run(cut())

    def trickle(self, owner: str) -> None:
        """Forward a server's answers to clients in small pieces from now on."""
        self._trickling.add(owner)

    def flow(self, owner: str) -> None:
        """Forward a server's answers as they come again."""
        self._trickling.discard(owner)

    def close(self) -> None:
        """End every connection and every proxy."""

        async def end() -> None:
            await self._proxies.aclose()
            for to_server in self._to_servers:
                to_server.transport.abort()  # bytes that a server does not read would keep a closed connection open
            await asyncio.sleep(0)

        self._run(end())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, *, ends: tuple[str, str]
    ) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(LOOPBACK, port)
            self._to_servers.add(to_server)
            try:
                copies = [
                    asyncio.create_task(self._copy(reader, to_server, ends)),
                    asyncio.create_task(self._copy(from_server, writer, ends, is_answer=True)),
                ]
                try:
                    await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for copy in copies:
                        copy.cancel()
                    await asyncio.gather(*copies, return_exceptions=True)
            finally:
                to_server.close()
        except OSError:
            pass  # the server is dead; the client sees the end of its connection
        finally:
            writer.close()

    async def _copy(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: tuple[str, str],
        *,
        is_answer: bool = False,
    ) -> None:
        while data := await source.read(_PIECE):
            for end in ends:
                if rejoined := self._rejoined.get(end):
                    await rejoined.wait()
            if is_answer and ends[0] in self._trickling and ends[1] == LOOPBACK:
                for start in range(0, len(data), _TRICKLED_PIECE):
                    target.write(data[start : start + _TRICKLED_PIECE])
                    await target.drain()
                    await asyncio.sleep(_TRICKLE_S)
                continue
            target.write(data)
            await target.drain()


@contextmanager
def running_network() -> Generator[Network]:
    """Run a network in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    network = Network(loop)
    try:
        yield network
    finally:
        try:
            network.close()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
