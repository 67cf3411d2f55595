"""Points in time and ranges as people type them; here, and nowhere deeper, is the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from statcore.errors import InputError
from statcore.model.duration import parse_duration
from statcore.model.time_range import QueryTimeRange, parse_time
from statcore_cli.settings import naming

_DEFAULT_LAST: Final = "15m"
_POINTS: Final = 120
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


def range_options() -> list[click.Parameter]:
    """Return the options that `read_range` reads."""
    how = "RFC 3339 with a zone, unix seconds, `now`, or back from now such as -15m"
    return [
        click.Option(["--start"], metavar="TIME", help=f"Where the range begins: {how}."),
        click.Option(["--end"], metavar="TIME", help="Where it ends, likewise.  [default: now]"),
        click.Option(
            ["--last"], metavar="DURATION", help=f"Instead of --start: how long it is.  [default: {_DEFAULT_LAST}]"
        ),
        click.Option(
            ["--step"], metavar="DURATION", help=f"How far its points are apart.  [default: for at most {_POINTS} points]"
        ),
    ]


def read_range(options: Mapping[str, str | None], now: datetime) -> QueryTimeRange:
    """Read a range from the values of the options.

    Raises:
        InputError: a value that cannot be read, named by its option; --start with --last.
    """
    start, end, last, step = (options[name] for name in ("start", "end", "last", "step"))
    if start and last:
        raise InputError("--start and --last exclude each other")
    with naming("--end"):
        until = read_time(end or "now", now)
    if start:
        with naming("--start"):
            since = read_time(start, now)
    else:
        with naming("--last"):
            since = _before(until, last or _DEFAULT_LAST)
    time_range = QueryTimeRange(start=since, end=until, step=_fitting_step(until - since))
    if not step:
        return time_range
    with naming("--step"):
        return QueryTimeRange(start=since, end=until, step=step)


def read_time(text: str, now: datetime) -> datetime:
    """Read a point in time, possibly relative to `now`."""
    if text == "now":
        return now
    if text.startswith("-"):
        return _before(now, text[1:])
    try:
        return parse_time(text)
    except InputError as error:
        raise InputError(f"{error}, or `now`, or back from now such as -15m") from None


def _before(time: datetime, duration: str) -> datetime:
    try:
        return time - parse_duration(duration)
    except OverflowError:
        raise InputError(f"{duration} before {time.isoformat()} is before all time") from None


def _fitting_step(span: timedelta) -> timedelta:
    wanted = span / _POINTS
    for step in (timedelta(seconds=step_s) for step_s in _STEPS_S):
        if step >= wanted:
            return step
    return timedelta(days=-(-wanted // timedelta(days=1)))


def format_time(timestamp: float) -> str:
    """Write unix seconds in RFC 3339, in UTC, with milliseconds only where there are some."""
    time = datetime.fromtimestamp(round(timestamp, 3), UTC)
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds").replace("+00:00", "Z")
