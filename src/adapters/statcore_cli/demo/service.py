"""The service of the demo: the page and GraphQL over its pipeline, for this machine alone; needs the extra `web`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from aiohttp import web

from statcore.concurrency import run_both
from statcore.plugins.registry import PluginRegistry
from statcore_cli.demo.pipeline import RATE_INTERVAL, open_pipeline, run_rounds
from statcore_cli.event_loop import stop_on_signals
from statcore_cli.live_view import LiveState
from statcore_web import attach
from statcore_web.browsers import LOOPBACK_HOSTS, BrowserRules
from statcore_web.observation import count_in_memory
from statcore_web.process import listen, serve_until_stopped, url_of

_DRAIN_S: Final = 5.0


async def serve(
    registry: PluginRegistry,
    show: Callable[[AsyncGenerator[LiveState], str], Awaitable[None]],
    *,
    servers: bool,
    port: int,
) -> None:
    """Collect, show what is collected, and serve it, until a signal.

    Args:
        registry: the adapters, and the kinds of querier.
        show: shows states as they come; it also gets the address of the page.
        servers: whether the store and the backend are servers, as in `open_pipeline`.
        port: the port; 0 takes a free port.

    Raises:
        StatcoreError: the port is taken, a server does not start, or a round cannot be collected or read back.
    """
    count_in_memory()
    ready, ended = asyncio.Event(), asyncio.Event()

    def announce(state: str) -> None:
        (ready if state == "ready" else ended).set()

    with listen("127.0.0.1", port) as listener, stop_on_signals() as stop:
        async with open_pipeline(registry, servers=servers) as pipeline:

            async def collect() -> None:
                await ready.wait()
                async with aclosing(run_rounds(pipeline, ended)) as states:
                    await show(states, url_of(listener, tls=False))

            app = web.Application()
            browsers = BrowserRules(hosts=LOOPBACK_HOSTS)
            attach(app, pipeline.runtime, registry, rate_interval=RATE_INTERVAL, browsers=browsers)
            serving = serve_until_stopped(app, listener, stop, drain_s=_DRAIN_S, announce=announce)
            await run_both(serving, collect())
