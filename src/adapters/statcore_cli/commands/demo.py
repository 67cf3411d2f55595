"""`statcore demo`: collects child processes as kernels, and shows their statistics and utilization."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import click

from statcore.plugins.registry import PluginRegistry
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.demo.pipeline import (
    AGENT_ID,
    embedded_pipeline,
    run_rounds,
    running_children,
    server_pipeline,
)
from statcore_cli.event_loop import run, stop_on_signals
from statcore_cli.live_view import LiveState

_ROUNDS_ONCE: Final = 10


@click.command(
    params=[
        click.Option(["--once"], is_flag=True, help="Run for about ten seconds, print the last state, and end."),
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
    statcore demo --once --format json | jq .utilization.cpu_util
""",
)
@click.pass_context
def command(ctx: click.Context, /, *, once: bool, servers: bool, output_format: str, **_: object) -> None:
    """Show live statistics and utilization of real processes, from collector to screen.

    Starts a few child processes with different loads, collects them every second, and reads their statistics back. By
    default the store and the metric backend are inside this process; with --servers they are servers, started in a
    temporary folder and stopped at the end. Needs no privileges, and leaves no files or processes behind. Ctrl-C ends it.

    JSON is {"loads": {ID: title}, "kernels": {ID: statistics}, "ages_s": {ID: seconds}, "problems": {ID: problem},
    "utilization": {metric: [{"labels", "timestamps", "values"}]}, "failures": [message, ...]}.
    """
    registry = CommandContext.of(ctx).registry
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
