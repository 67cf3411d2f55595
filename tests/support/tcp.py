"""A TCP server of a test, which ends with all of its connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final, TypeAlias

_TURNS_TO_BEGIN: Final = 10
"""In so many turns of the event loop, a connection that was accepted just before the end has its task."""
Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handle: Handler, *, port: int = 0, ssl: SSLContext | None = None) -> AsyncGenerator[int]:
    """Handle connections until the block ends; yield the port, by default a free one."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await handle(reader, writer)
        except asyncio.CancelledError:  # it ends here, because the callback of the stream would log it
            writer.transport.abort()  # bytes that the peer does not read would keep a closed connection open

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(_TURNS_TO_BEGIN):
            await asyncio.sleep(0)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


def has_ipv6() -> bool:
    """Return whether this machine has IPv6; a container may lack it."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
