"""`statcore top`: the live view of the demo, over the kernels of any store and backend that use the most CPU."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import click

from statcore.model.time import QueryTimeRange
from statcore.runtime import Runtime
from statcore.services.listing import KERNELS, ObjectListing
from statcore.statistics.utilization import UtilizationSource
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.commands.lists import missing_values
from statcore_cli.event_loop import run, run_until_stopped
from statcore_cli.live_view import LiveState
from statcore_cli.watching import watch

_WINDOW: Final = timedelta(minutes=15)
_STEP: Final = timedelta(seconds=30)
_OTHER_LINES: Final = 8
"""Lines of the terminal that the heading, the headers and failures take."""
_SORT: Final = "-cpu_pct"
_HEADING: Final = "the kernels that use the most CPU; Ctrl-C ends it"


@click.command(
    params=[
        click.Option(["--once"], is_flag=True, help="Print one state, and end."),
        click.Option(
            ["--format", "output_format"],
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="How to print the state. Without --once, JSON is one document per state, each on its own line.",
        ),
        *setting_options("statistics_url", "metrics_url", "kernel_statistics", "rate_interval"),
    ],
    epilog="""\b
Examples:
    statcore top
    statcore top --once --format json | jq .kernels
""",
)
@click.pass_context
def command(ctx: click.Context, /, *, once: bool, output_format: str, **_: object) -> None:
    """Watch the kernels that use the most CPU: all, but on a terminal as many as it has room for.

    What exists and the CPU use of the last 15 minutes come from the metric backend, and the current figures from the store.
    While one of them does not answer, the last state stays. Ctrl-C ends it.

    Where the terminal has no room for all, a line says how many are shown, and another how many have no CPU use because of
    a problem.

    Rows whose figures have a problem are red, and each kind of problem has a line above the table. With --once, and in a
    pipe, these lines are on standard error, with exit code 0.

    JSON is {"sessions": {ID: session}, "kernels": {ID: statistics}, "ages_s": {ID: seconds}, "problems": {ID: problem},
    "utilization": {metric: [{"labels", "timestamps", "values"}]}, "failures": [message, ...],
    "infos": [message, ...]}. What the backend says about data that its answers lack is a failure.
    """
    context = CommandContext.of(ctx)
    if once:
        run(_read_once(context, output_format), doing="reading kernels").print(output_format)
    else:
        asyncio.run(run_until_stopped(_watch(context, output_format)))


async def _read_once(context: CommandContext, output_format: str) -> LiveState:
    async with context.runtime() as runtime:
        return await _read(runtime, context.settings.rate_interval.value, output_format)


async def _watch(context: CommandContext, output_format: str) -> None:
    async with context.runtime() as runtime:
        await watch(
            lambda: _read(runtime, context.settings.rate_interval.value, output_format),
            write=lambda state: state.print(output_format),
            draw=(lambda state, console: state.screen(console, heading=_HEADING)) if output_format == "text" else None,
        )


async def _read(runtime: Runtime, rate_interval: str, output_format: str) -> LiveState:
    is_on_terminal = output_format == "text" and sys.stdout.isatty()
    room = max(shutil.get_terminal_size().lines - _OTHER_LINES, 1) if is_on_terminal else None
    busiest = await ObjectListing(runtime.inventory, runtime.repository).read(KERNELS, sort=_SORT, limit=room)
    now = datetime.now(UTC)
    state = await LiveState.read(
        runtime.repository,
        UtilizationSource(runtime.metrics),
        {item.object_id: item.record.session_id or "" for item in busiest.items},
        title_name="session",
        metrics=("cpu_util",),
        time_range=QueryTimeRange(start=now - _WINDOW, end=now, step=_STEP),
        rate_interval=rate_interval,
    )
    omitted = busiest.total_count - len(busiest.items)
    missing = missing_values(busiest, KERNELS.name, _SORT, is_whole=not omitted)
    if omitted and busiest.without_value.problem_count:
        return attrs.evolve(state, omitted=omitted, failures=[*missing, *state.failures])
    return attrs.evolve(state, omitted=omitted, infos=[*missing, *state.infos])
