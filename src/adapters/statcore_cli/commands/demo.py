"""`statcore demo`: collects child processes as kernels, and shows their statistics and utilization."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import click

from statcore.concurrency import run_both
from statcore.errors import InputError
from statcore.plugins.registry import PluginRegistry
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.demo.pipeline import (
    AGENT_ID,
    RATE_INTERVAL,
    embedded_pipeline,
    run_rounds,
    running_children,
    server_pipeline,
)
from statcore_cli.event_loop import run, stop_on_signals
from statcore_cli.live_view import LiveState

_ROUNDS_ONCE: Final = 10
_DRAIN_S: Final = 5.0


@click.command(
    params=[
        click.Option(["--once"], is_flag=True, help="Run for about ten seconds, print the last state, and end."),
        click.Option(
            ["--serve"], is_flag=True, help="Serve GraphQL, an explorer and metrics over HTTP, and print the URL."
        ),
        click.Option(["--port"], type=click.IntRange(0, 65_535), help="The port of --serve.  [default: a free one]"),
        click.Option(["--servers"], is_flag=True, help="Use a real Valkey and a real Prometheus, found on PATH."),
        click.Option(
            ["--format", "output_format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="How to print the state. Without --once, JSON is one document per second, each on its own line.",
        ),
        *setting_options("disable_plugins"),
    ],
    epilog="""\b
Examples:
    statcore demo
    statcore demo --servers
    statcore demo --serve
    statcore demo --once --format json | jq .utilization.cpu_util
""",
)
@click.pass_context
def command(
    ctx: click.Context, /, *, once: bool, serve: bool, port: int | None, servers: bool, output_format: str, **_: object
) -> None:
    """Show live statistics and utilization of real processes, from collector to screen.

    Starts a few child processes with different loads, collects them every second, and reads their statistics back. By
    default the store and the metric backend are inside this process; with --servers they are servers, started in a
    temporary folder and stopped at the end. Needs no privileges, and leaves no files or processes behind. Ctrl-C ends it.

    JSON is {"loads": {ID: title}, "kernels": {ID: statistics}, "ages_s": {ID: seconds}, "problems": {ID: problem},
    "utilization": {metric: [{"labels", "timestamps", "values"}]}, "failures": [message, ...]}.
    """
    if (once and serve) or (port is not None and not serve):
        raise InputError("--serve runs until it is stopped, so not with --once; --port needs --serve")
    registry = CommandContext.of(ctx).registry
    if serve:
        asyncio.run(_serve(registry, servers=servers, port=port or 0))
        return
    if not once:
        asyncio.run(_run_until_stopped(registry, servers=servers, output_format=output_format))
        return
    state = run(_run_once(registry, servers=servers), doing="collecting for ten seconds")
    if state is None:
        ctx.exit(130)
    state.print(output_format)
    if state.failures:
        ctx.exit(1)


@asynccontextmanager
async def _running(
    registry: PluginRegistry, *, servers: bool, rounds: int | None = None
) -> AsyncGenerator[AsyncGenerator[LiveState]]:
    with stop_on_signals() as stop:
        async with (server_pipeline if servers else embedded_pipeline)(registry) as pipeline:
            with running_children(AGENT_ID) as children:
                async with aclosing(run_rounds(pipeline, children, stop, rounds=rounds)) as states:
                    yield states


async def _run_once(registry: PluginRegistry, *, servers: bool) -> LiveState | None:
    """Return the state after the last round, or None if the demo was stopped before."""
    async with _running(registry, servers=servers, rounds=_ROUNDS_ONCE) as states:
        seen = [state async for state in states]
    return seen[-1] if len(seen) == _ROUNDS_ONCE else None


async def _run_until_stopped(registry: PluginRegistry, *, servers: bool, output_format: str) -> None:
    async with _running(registry, servers=servers) as states:
        if output_format == "json" or not sys.stdout.isatty():
            async for state in states:
                state.print(output_format)
                sys.stdout.flush()
            return
        from rich.live import Live  # noqa: PLC0415 - only terminals need it

        where = "through a real Valkey and a real Prometheus" if servers else "inside this process"
        heading = f"live statistics and utilization {where}; Ctrl-C ends it"
        with Live(auto_refresh=False, screen=True) as live:
            async for state in states:
                live.update(state.screen(live.console, heading=heading), refresh=True)


async def _serve(registry: PluginRegistry, *, servers: bool, port: int) -> None:
    """Collect, and serve what is collected to this machine, until a signal."""
    from aiohttp import web  # noqa: PLC0415 - only --serve needs it

    from statcore_web import attach  # noqa: PLC0415
    from statcore_web.browsers import LOOPBACK_HOSTS, BrowserRules  # noqa: PLC0415
    from statcore_web.process import listen, serve_until_stopped, url_of  # noqa: PLC0415

    ended = asyncio.Event()

    def announce(state: str) -> None:
        if state == "ready":
            click.echo(url_of(listener, tls=False))
            sys.stdout.flush()
        else:
            ended.set()

    with listen("127.0.0.1", port) as listener, stop_on_signals() as stop:
        async with (server_pipeline if servers else embedded_pipeline)(registry) as pipeline:
            with running_children(AGENT_ID) as children:

                async def collect() -> None:
                    async with aclosing(run_rounds(pipeline, children, ended)) as states:
                        async for _ in states:
                            pass

                app = web.Application()
                browsers = BrowserRules(hosts=LOOPBACK_HOSTS)
                attach(app, pipeline.runtime, registry, rate_interval=RATE_INTERVAL, browsers=browsers)
                serving = serve_until_stopped(app, listener, stop, drain_s=_DRAIN_S, announce=announce)
                await run_both(serving, collect())
