"""`statcore demo`: the whole way on this machine, with child processes as kernels."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

import click

from statcore.plugins.registry import PluginRegistry
from statcore_cli.demo.children import Child, running_children
from statcore_cli.demo.play import readings
from statcore_cli.demo.reading import Reading
from statcore_cli.demo.stage import AGENT_ID, embedded_stage, server_stage
from statcore_cli.demo.view import COLUMNS, rows, screen
from statcore_cli.options import setting_options
from statcore_cli.output import write_json, write_table
from statcore_cli.session import Session, run
from statcore_cli.stopping import stop_on_signals

_ROUNDS_ONCE: Final = 10


@click.command(
    params=[
        click.Option(["--once"], is_flag=True, help="Run for about ten seconds, print the last state, and end."),
        click.Option(["--servers"], is_flag=True, help="Go through a real Valkey and a real Prometheus found on PATH."),
        click.Option(
            ["--format", "output_format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="How to print; without --once, JSON is one document a second, each on its line.",
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

    Starts a few child processes with different loads, collects them every second, and reads them back: by default from
    a store and a metric backend inside this process, with --servers from servers that are started in a temporary folder
    and stopped at the end. Needs no privileges, and leaves nothing behind. Ctrl-C ends it.

    JSON is {"loads": {ID: what it does}, "kernels": {ID: statistics}, "problems": {ID: …}, "utilization": {metric:
    [{"labels", "timestamps", "values"}]}, "failures": […]}.
    """
    registry = Session.of(ctx).registry
    if not once:
        asyncio.run(_go_on(registry, servers=servers, output_format=output_format))
        return
    children, reading = run(_play_once(registry, servers=servers), doing="collecting for ten seconds")
    if reading is None:
        ctx.exit(130)
    _print(reading, children, output_format)
    if reading.failures:
        ctx.exit(1)


@asynccontextmanager
async def _playing(
    registry: PluginRegistry, *, servers: bool, rounds: int | None = None
) -> AsyncGenerator[tuple[Sequence[Child], AsyncGenerator[Reading]]]:
    with stop_on_signals() as stop:
        async with (server_stage if servers else embedded_stage)(registry) as stage:
            with running_children(AGENT_ID) as children:
                async with aclosing(readings(stage, children, stop, rounds=rounds)) as states:
                    yield children, states


async def _play_once(registry: PluginRegistry, *, servers: bool) -> tuple[Sequence[Child], Reading | None]:
    """Return the reading of the last round, or none if it was stopped before."""
    async with _playing(registry, servers=servers, rounds=_ROUNDS_ONCE) as (children, states):
        seen = [reading async for reading in states]
    return children, seen[-1] if len(seen) == _ROUNDS_ONCE else None


async def _go_on(registry: PluginRegistry, *, servers: bool, output_format: str) -> None:
    async with _playing(registry, servers=servers) as (children, states):
        if output_format == "json" or not sys.stdout.isatty():
            async for reading in states:
                _print(reading, children, output_format)
                sys.stdout.flush()
            return
        from rich.live import Live  # noqa: PLC0415 - only terminals need it

        where = "through a real Valkey and a real Prometheus" if servers else "inside this process"
        with Live(auto_refresh=False, screen=True) as live:
            async for reading in states:
                live.update(screen(reading, children, where=where), refresh=True)


def _print(reading: Reading, children: Sequence[Child], output_format: str) -> None:
    if output_format == "json":
        write_json(reading.document(children))
        return
    write_table(COLUMNS, rows(reading, children))
    for failure in reading.failures:
        click.echo(f"statcore: {failure}", err=True)
