"""The time range of a utilization query, and how a point in time is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from statcore.errors import InputError
from statcore.model.duration import parse_duration

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_HOW: Final = "expected RFC 3339 with a zone (2026-11-22T10:00:00Z) or unix seconds (1795341600)"


def parse_time(value: datetime | str | float) -> datetime:
    """Read a point in time and return it in UTC, rounded to the millisecond that Prometheus keeps.

    Args:
        value: an aware datetime, RFC 3339 text with a zone, or unix seconds as a number or as text.

    Raises:
        InputError: anything else; above all a time without a zone, which a server would refuse or misread.
    """
    try:
        if isinstance(value, str):
            value = float(value) if _SECONDS.fullmatch(value) else datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return _EPOCH + _to_milliseconds(_seconds(value))
        if value.utcoffset() is not None:
            return _EPOCH + _to_milliseconds(value - _EPOCH)
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"not a time: {value!r:.100}; {_HOW}") from None
    raise InputError(f"a time without a zone: {value.isoformat()}; {_HOW}")


def unix_ms(value: datetime) -> int:
    """Return the unix time of an aware datetime in whole milliseconds."""
    return (value - _EPOCH) // _MILLISECOND


def from_unix_ms(value: int) -> datetime:
    """Return the UTC datetime of a unix time in whole milliseconds."""
    return _EPOCH + value * _MILLISECOND


def _seconds(value: float) -> timedelta:
    if isinstance(value, bool):
        raise TypeError
    return timedelta(seconds=value)


def _to_milliseconds(duration: timedelta) -> timedelta:
    return round(duration / _MILLISECOND) * _MILLISECOND


def _parse_step(value: timedelta | str | float) -> timedelta:
    try:
        if isinstance(value, str):
            step = _seconds(int(value)) if _WHOLE_SECONDS.fullmatch(value) else parse_duration(value)
        else:
            step = value if isinstance(value, timedelta) else _seconds(value)
        if step >= _MILLISECOND and not step % _MILLISECOND:
            return step
    except (OverflowError, TypeError, ValueError):
        pass  # the message is the same
    raise InputError(f"step must be whole milliseconds above zero, such as 60s, 1h30m or 500ms, not {value!r:.100}")


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
