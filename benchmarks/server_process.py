"""A server that a benchmark runs in a process of its own: neither its CPU time nor its memory counts as the caller's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TypeVarTuple

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
