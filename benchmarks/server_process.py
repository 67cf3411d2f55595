"""A server, or another caller, in a process of its own: neither its CPU time nor its memory counts as the benchmark's."""

from __future__ import annotations

import multiprocessing
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, TypeVarTuple

from aiohttp import web

from statcore.concurrency import in_thread
from statcore.testing.servers import LOOPBACK

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

_Arguments = TypeVarTuple("_Arguments")
_READY_S: Final = 60.0


@contextmanager
def running_server(serve: Callable[[*_Arguments, Connection], None], *arguments: *_Arguments) -> Generator[tuple[str, int]]:
    """Run a server within the block; yield its host and port, such as "127.0.0.1:8000", and the id of its process.

    Args:
        serve: a function of a module, called with the arguments and a connection. It sends its port once it is ready, and
            serves until its process is killed.
        arguments: values that can be pickled.

    Raises:
        EOFError: the process ended before it sent its port.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(*arguments, sender), daemon=True)
    process.start()
    sender.close()  # then recv() ends when the child dies
    try:
        yield f"{LOOPBACK}:{receiver.recv()}", process.pid or 0
    finally:
        process.kill()
        process.join()


@asynccontextmanager
async def running_caller(call: Callable[[*_Arguments, Event], None], *arguments: *_Arguments) -> AsyncGenerator[int]:
    """Run another caller of a server within the block; yield the id of its process once it is ready.

    Args:
        call: a function of a module, called with the arguments and an event. It sets the event once it is ready, and calls
            the server until its process is ended.
        arguments: values that can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=call, args=(*arguments, ready), daemon=True)
    process.start()
    try:
        assert await in_thread(lambda: ready.wait(_READY_S)), f"the other caller is not ready after {_READY_S:g} s"
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()


async def serve_http(handlers: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]]) -> int:
    """Serve GET requests in this event loop, each path by its handler; return the port."""
    application = web.Application()
    for path, handler in handlers.items():
        application.router.add_get(path, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    port: int = runner.addresses[0][1]
    return port


def metrics_response(text: str) -> web.Response:
    """Return an answer in the text format that Prometheus scrapes."""
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4"})
