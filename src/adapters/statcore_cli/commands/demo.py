"""`statcore demo`: collects child processes as kernels, and shows their statistics and utilization, also as a page."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import click

from statcore.errors import InputError, StatcoreError, UnsupportedError
from statcore.imports import requires_extra
from statcore.plugins.registry import PluginRegistry
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.demo.pipeline import open_pipeline, run_rounds
from statcore_cli.event_loop import run, stop_on_signals
from statcore_cli.live_view import LiveState

_ROUNDS_ONCE: Final = 10


@click.command(
    params=[
        click.Option(["--once"], is_flag=True, help="Run for about ten seconds, print the last state, and end."),
        click.Option(["--serve"], is_flag=True, help="Print the address of the page, and no view in the terminal."),
        click.Option(["--port"], type=click.IntRange(0, 65_535), help="The port of the page.  [default: a free port]"),
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
    "utilization": {metric: [{"labels", "timestamps", "values"}]}, "failures": [message, ...],
    "infos": [message, ...]}. What the backend says about data that its answers lack is a failure.
    """
    if once and (serve or port is not None):
        raise InputError("--once serves no page; leave out --serve and --port")
    is_screen = output_format == "text" and sys.stdout.isatty() and not serve
    if port is not None and not (serve or is_screen):
        raise InputError("--port needs a page: use it on a terminal without --format json, or with --serve")
    registry = CommandContext.of(ctx).registry
    if serve or is_screen:
        try:
            serve_page = _load_service()
        except StatcoreError as error:
            if serve or port is not None:
                raise
            show_without_page = partial(_show_screen, page=f"none; {error}", servers=servers)
            asyncio.run(_show_states(registry, show_without_page, servers=servers))
        else:
            show = partial(_show_screen, servers=servers) if is_screen else _show_address
            asyncio.run(serve_page(registry, show, servers=servers, port=port or 0))
        return
    if not once:
        asyncio.run(_show_states(registry, partial(_print_states, output_format=output_format), servers=servers))
        return
    state = run(_run_once(registry, servers=servers), doing="collecting for ten seconds")
    if state is None:
        ctx.exit(130)
    state.print(output_format)
    if state.failures:
        ctx.exit(1)


def _load_service() -> Callable[..., Coroutine[Any, Any, None]]:
    """Return the function that serves the page.

    Raises:
        MissingExtraError: the extra `web` is not installed.
        UnsupportedError: the page is not built.
    """
    with requires_extra("web"):
        from statcore_cli.demo.service import serve  # noqa: PLC0415 - the demo runs without the extra, too
        from statcore_web.page import NOT_BUILT, is_built  # noqa: PLC0415
    if not is_built():
        raise UnsupportedError(NOT_BUILT)
    return serve


@asynccontextmanager
async def _running(
    registry: PluginRegistry, *, servers: bool, rounds: int | None = None
) -> AsyncGenerator[AsyncGenerator[LiveState]]:
    with stop_on_signals() as stop:
        async with (
            open_pipeline(registry, servers=servers) as pipeline,
            aclosing(run_rounds(pipeline, stop, rounds=rounds)) as states,
        ):
            yield states


async def _run_once(registry: PluginRegistry, *, servers: bool) -> LiveState | None:
    """Return the state after the last round, or None if the demo was stopped before."""
    async with _running(registry, servers=servers, rounds=_ROUNDS_ONCE) as states:
        seen = [state async for state in states]
    return seen[-1] if len(seen) == _ROUNDS_ONCE else None


async def _show_states(
    registry: PluginRegistry, show: Callable[[AsyncGenerator[LiveState]], Awaitable[None]], *, servers: bool
) -> None:
    async with _running(registry, servers=servers) as states:
        await show(states)


async def _print_states(states: AsyncGenerator[LiveState], *, output_format: str) -> None:
    async for state in states:
        state.print(output_format)
        sys.stdout.flush()


async def _show_screen(states: AsyncGenerator[LiveState], page: str, *, servers: bool) -> None:
    from rich.live import Live  # noqa: PLC0415 - only terminals need it

    where = "a real Valkey and a real Prometheus" if servers else "inside this process"
    heading = f"Page: {page}   Store and backend: {where}   Ctrl-C ends the demo"
    with Live(auto_refresh=False, screen=True) as live:
        async for state in states:
            live.update(state.screen(live.console, heading=heading), refresh=True)


async def _show_address(states: AsyncGenerator[LiveState], address: str) -> None:
    click.echo(address)
    sys.stdout.flush()
    async for _ in states:
        pass
