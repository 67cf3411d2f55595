"""The time range of a utilization query, and how a point in time is read."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.duration import parse_duration

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_HOW: Final = "expected RFC 3339 with a zone (2026-11-22T10:00:00Z) or unix seconds (1795341600)"


def parse_time(value: datetime | str | float) -> datetime:
    """Read a point in time and return it in UTC, rounded to the millisecond that Prometheus keeps.

    Args:
        value: an aware datetime, RFC 3339 text with a zone, or unix seconds as a number or as text.

    Raises:
        InputError: anything else; above all a time without a zone, which a server would refuse or misread.
    """
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(f"not a time: {value!r}; {_HOW}") from None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InputError(f"a time without a zone: {value.isoformat()}; {_HOW}")
        since = value - _EPOCH
    elif isinstance(value, bool) or not math.isfinite(value):
        raise InputError(f"not a time: {value!r}; {_HOW}")
    else:
        since = timedelta(seconds=value)
    return _EPOCH + round(since / _MILLISECOND) * _MILLISECOND


def unix_ms(value: datetime) -> int:
    """Return the unix time of an aware datetime in whole milliseconds."""
    return (value - _EPOCH) // _MILLISECOND


def from_unix_ms(value: int) -> datetime:
    """Return the UTC datetime of a unix time in whole milliseconds."""
    return _EPOCH + value * _MILLISECOND


def _parse_step(value: timedelta | str | float) -> timedelta:
    if isinstance(value, str):
        value = timedelta(seconds=int(value)) if value.isdecimal() and len(value) < 10 else parse_duration(value)  # noqa: PLR2004
    elif not isinstance(value, timedelta):
        value = timedelta(seconds=value)
    if value < _MILLISECOND or value % _MILLISECOND:
        raise InputError(f"step must be a whole number of milliseconds above zero, not {value!r}; for example 60s or 500ms")
    return value


@attrs.frozen(kw_only=True)
class QueryTimeRange:
    """From `start` to `end`, both included where the grid meets them, one point every `step`.

    Every argument is read on construction: times as by `parse_time`, the step as a Prometheus duration (`1m`), whole
    seconds as text or number, or a timedelta. The attributes are UTC datetimes and a timedelta.

    Raises:
        InputError: a time without a zone, `end` before `start`, or a step that is not positive.
    """

    start: datetime = attrs.field(converter=parse_time)
    end: datetime = attrs.field(converter=parse_time)
    step: timedelta = attrs.field(converter=_parse_step)

    def __attrs_post_init__(self) -> None:
        """Check what no single field can."""
        if self.end < self.start:
            raise InputError(f"the range ends before it starts: start {self.start.isoformat()}, end {self.end.isoformat()}")

    @property
    def points(self) -> int:
        """How many points the grid has: at least one."""
        return (self.end - self.start) // self.step + 1
