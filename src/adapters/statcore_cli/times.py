"""Times and ranges as people type them, relative to a `now` that the command reads from the clock."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import click

from statcore.errors import InputError
from statcore.model.results import MatrixResult, VectorResult, append_instant
from statcore.model.time import QueryTimeRange, from_unix_ms, parse_duration, parse_time, unix_ms
from statcore_cli.settings import errors_prefixed_with

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_DEFAULT_LAST: Final = "15m"
_POINTS: Final = 120
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


def range_options() -> list[click.Parameter]:
    """Return the options that `read_range` reads."""
    forms = "RFC 3339 with a zone, unix seconds, `now`, or a time before now such as -15m"
    return [
        click.Option(["--start"], metavar="TIME", help=f"The start of the range: {forms}."),
        click.Option(["--end"], metavar="TIME", help="The end of the range, in the forms of --start.  [default: now]"),
        click.Option(
            ["--last"],
            metavar="DURATION",
            help="The length of the range, instead of --start. Points lie on multiples of the step; the end is a point too."
            f"  [default: {_DEFAULT_LAST}]",
        ),
        click.Option(
            ["--step"],
            metavar="DURATION",
            help=f"The time between two points.  [default: chosen for at most {_POINTS} points]",
        ),
    ]


def zone_option() -> click.Option:
    """Return the option that chooses the zone of the times that are shown; its parameter is `local`."""
    return click.Option(
        ["--local/--utc", "local"], default=False, help="Show times in the zone of this machine, or in UTC.  [default: utc]"
    )


@attrs.frozen
class PointsInTime:
    """The points that a command shows: the points of a range, and perhaps one more after it, less than a step later."""

    time_range: QueryTimeRange
    last: datetime | None = None

    @property
    def whole(self) -> QueryTimeRange:
        """The range from the first point to the last."""
        return attrs.evolve(self.time_range, end=self.last or self.time_range.end)

    async def query(
        self,
        query_range: Callable[[QueryTimeRange], Awaitable[MatrixResult]],
        query_instant: Callable[[datetime], Awaitable[VectorResult]],
    ) -> MatrixResult:
        """Return the values at all points: one range query, and an instant query for the last point if there is one."""
        result = await query_range(self.time_range)
        return result if self.last is None else append_instant(result, await query_instant(self.last))


def read_range(options: Mapping[str, str | None], now: datetime) -> PointsInTime:
    """Read a range from the values of the options of `range_options`.

    With --start, the points begin there. With --last, the points lie on multiples of the step, so that commands which run
    at different times show the same points; the end is the last point, so that the newest value is shown.

    Raises:
        InputError: a value cannot be read (the message names its option), or --start is given with --last.
    """
    now = parse_time(now)  # whole milliseconds, like all times of a range: the length of the range stays exact
    start, end, last, step = (options[name] for name in ("start", "end", "last", "step"))
    if start and last:
        raise InputError("--start and --last exclude each other; give one of them")
    with errors_prefixed_with("--end"):
        until = read_time(end or "now", now)
    if start:
        with errors_prefixed_with("--start"):
            since = read_time(start, now)
    else:
        with errors_prefixed_with("--last"):
            since = _before(until, last or _DEFAULT_LAST)
    time_range = QueryTimeRange(start=since, end=until, step=_fitting_step(until - since))
    if step:
        with errors_prefixed_with("--step"):
            time_range = attrs.evolve(time_range, step=step)
    return PointsInTime(time_range) if start else _on_multiples(time_range)


def read_time(text: str, now: datetime) -> datetime:
    """Read a time in one of the forms of --start.

    Raises:
        InputError: the text is not a time.
    """
    if text == "now":
        return now
    if text.startswith("-"):
        return _before(now, text[1:])
    try:
        return parse_time(text)
    except InputError as error:
        raise InputError(f"{error}, or `now`, or a time before now such as -15m") from None


def read_expiry(text: str, now: datetime) -> datetime:
    """Read when something ends: a duration from now, a date (its beginning in UTC), or RFC 3339 with a zone.

    Returns:
        the time in whole seconds.

    Raises:
        InputError: the text is none of these, or the time is not after `now`.
    """
    try:
        if text.endswith(tuple("ywdhms")):
            time = now + parse_duration(text)
        elif _DATE.fullmatch(text):
            time = datetime.fromisoformat(text).replace(tzinfo=UTC)
        else:
            time = parse_time(text)
    except (InputError, ValueError):
        raise InputError(
            f"expected a duration such as 90d, a date such as 2027-01-31, or RFC 3339 with a zone, not {text!r:.100}"
        ) from None
    time = time.replace(microsecond=0)
    if time <= now:
        raise InputError(f"{format_time(time.timestamp())} is not in the future")
    return time


def _before(time: datetime, duration: str) -> datetime:
    try:
        return time - parse_duration(duration)
    except OverflowError:
        raise InputError(f"{duration} before {time.isoformat()} is before the year 1; take a shorter duration") from None


def _on_multiples(time_range: QueryTimeRange) -> PointsInTime:
    end_ms, step_ms = unix_ms(time_range.end), time_range.step // timedelta(milliseconds=1)
    first_ms, last_ms = -(-unix_ms(time_range.start) // step_ms) * step_ms, end_ms // step_ms * step_ms
    if last_ms < first_ms:
        return PointsInTime(attrs.evolve(time_range, start=time_range.end))
    multiples = attrs.evolve(time_range, start=from_unix_ms(first_ms), end=from_unix_ms(last_ms))
    return PointsInTime(multiples, time_range.end if last_ms < end_ms else None)


def _fitting_step(span: timedelta) -> timedelta:
    shortest = span / _POINTS
    for step in (timedelta(seconds=step_s) for step_s in _STEPS_S):
        if step >= shortest:
            return step
    return timedelta(days=-(-shortest // timedelta(days=1)))


def format_time(timestamp: float, *, local: bool = False) -> str:
    """Return unix seconds as RFC 3339, with milliseconds only if they are not zero.

    Args:
        timestamp: the unix seconds.
        local: whether the time is in the zone of this machine, with its offset, instead of UTC.
    """
    time = datetime.fromtimestamp(round(timestamp, 3), UTC)
    time = time.astimezone() if local else time
    text = time.isoformat(timespec="milliseconds" if time.microsecond else "seconds")
    return text if local else text.replace("+00:00", "Z")
