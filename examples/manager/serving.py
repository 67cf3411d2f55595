"""Serves an application over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from statcore.errors import UnavailableError

_SHUTDOWN_S: Final = 10.0
"""The deadline for running requests when the manager stops."""


@asynccontextmanager
async def serving(app: web.Application, *, host: str, port: int) -> AsyncGenerator[str]:
    """Serve within the block, and yield the URL; at the end, finish running requests and accept no new ones.

    Raises:
        UnavailableError: the port is taken, or this machine does not have the address.
    """
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise UnavailableError(f"cannot serve on {host}:{port}: {error.strerror}", service=f"{host}:{port}") from error
