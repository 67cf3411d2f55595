"""Watching: reads an answer again and again, and shows the newest until a signal ends it, through outages of a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

import click

from statcore.errors import InputError, StatcoreError, UnsupportedError
from statcore.model.text import describe
from statcore_cli.standard_output import plugin_code, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_Answer = TypeVar("_Answer")

INTERVAL_S: Final = 2.0
"""The time between two reads."""


async def watch(
    read: Callable[[], Awaitable[_Answer]],
    *,
    write: Callable[[_Answer], None],
    draw: Callable[[_Answer, Console], RenderableType] | None,
) -> None:
    """Read and show an answer every `INTERVAL_S` seconds, until the task is cancelled.

    While a server is out, the screen keeps the last answer below a line with the error. Where answers are written one after
    the other, the error goes to standard error.

    Args:
        read: reads the answer.
        write: prints one answer, where standard output is not a terminal or `draw` is None.
        draw: returns what the screen of a terminal shows.

    Raises:
        InputError: an argument or a setting cannot be used, so that every read would fail.
        UnsupportedError: the backend cannot give this answer.
    """
    if draw is not None and sys.stdout.isatty():
        await _watch_on_screen(read, draw)
        return
    while True:
        answer = await _attempt(read)
        if isinstance(answer, StatcoreError):
            click.echo(f"statcore: {_line(answer)}", err=True)
        else:
            write(answer)
            sys.stdout.flush()
        await asyncio.sleep(INTERVAL_S)


async def _watch_on_screen(
    read: Callable[[], Awaitable[_Answer]], draw: Callable[[_Answer, Console], RenderableType]
) -> None:
    from rich.console import Group  # noqa: PLC0415 - only terminals need it
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown: RenderableType = Text("reading")
    # With its standard output redirected, every read would look as if a plugin had replaced it.
    with Live(shown, auto_refresh=False, screen=True, redirect_stdout=False) as live:
        while True:
            answer = await _attempt(read)
            if isinstance(answer, StatcoreError):
                outage = Text(f"not answered at {datetime.now().astimezone():%H:%M:%S}: {_line(answer)}", style="red")
                live.update(Group(outage, shown), refresh=True)
            else:
                shown = draw(answer, live.console)
                live.update(shown, refresh=True)
            await asyncio.sleep(INTERVAL_S)


async def _attempt(read: Callable[[], Awaitable[_Answer]]) -> _Answer | StatcoreError:
    try:
        with plugin_code():
            return await read()
    except (InputError, UnsupportedError):
        raise
    except StatcoreError as error:
        return error


def _line(error: StatcoreError) -> str:
    return printable(describe(error))
