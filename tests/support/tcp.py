"""A TCP server of a test, which ends with all of its connections; resets; and where other processes listen."""

from __future__ import annotations

import asyncio
import socket
import struct
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Final, TypeAlias

import psutil

_TURNS_TO_BEGIN: Final = 10
"""In so many turns of the event loop, a connection that was accepted before has its task."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # linger, for no time: the peer sees RST instead of an end
Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handle: Handler, *, port: int = 0, ssl: SSLContext | None = None) -> AsyncGenerator[int]:
    """Handle connections until the block ends; yield the port, by default a free one.

    A connection is closed when its handler ends.
    """
    tasks: set[asyncio.Task[None]] = set()
    writers = weakref.WeakSet[asyncio.StreamWriter]()  # one that still has bytes to send is kept by the loop

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.add(writer)
        try:
            with suppress(asyncio.CancelledError):  # the callback of the stream would log it
                await handle(reader, writer)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # asyncio loses a connection that it accepts in the turn in which the server closes.
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_TURNS_TO_BEGIN):
            await asyncio.sleep(0)
        server.close()
        ending = [*tasks]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()  # bytes that the peer does not read would keep a closed connection open
        await asyncio.sleep(0)
        await server.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection, unless it is closing already."""
    if not writer.transport.is_closing():  # otherwise its socket may be closed
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()


def has_ipv6() -> bool:
    """Return whether this machine has IPv6; a container may lack it."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def listening_addresses(process: psutil.Process) -> list[str]:
    """Return the IP addresses on which a process accepts connections."""
    connections = process.net_connections("inet")
    return [connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN]
