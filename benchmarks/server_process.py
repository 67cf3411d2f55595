"""A server that a benchmark runs in a process of its own: neither its CPU time nor its memory counts as the caller's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TypeVarTuple

from aiohttp import web

from statcore.testing.servers import LOOPBACK

_Arguments = TypeVarTuple("_Arguments")


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
