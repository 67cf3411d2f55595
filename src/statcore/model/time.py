"""Points in time, durations in Prometheus syntax, and the time range of a query."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import attrs

from statcore.errors import InputError

MILLISECOND: Final = timedelta(milliseconds=1)
"""The resolution of Prometheus."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_UNITS_MS: Final = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION: Final = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _UNITS_MS))
_LONGEST_MS: Final = 100 * _UNITS_MS["y"]
_EXPECTED_DURATION: Final = "expected a positive whole duration such as 5m, 1h30m or 500ms"
_EXPECTED_TIME: Final = "expected RFC 3339 with a zone (2026-11-22T10:00:00Z) or unix seconds (1795341600)"


def parse_duration(text: str) -> timedelta:
    """Read a Prometheus duration such as 5m, above zero and at most 100 years.

    Raises:
        InputError: the text is not such a duration; zero, negative and fractional durations are refused.
    """
    try:
        return _parse_duration(text)
    except TypeError:
        raise InputError(f"not a duration: {text!r:.100}; {_EXPECTED_DURATION}") from None


@lru_cache(maxsize=256)
def _parse_duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InputError(f"not a duration: {text!r:.100}; {_EXPECTED_DURATION}")
    if len(text) > 64:  # noqa: PLR2004 - far beyond any sensible duration, and it bounds int()
        raise InputError(f"a duration of {len(text)} characters is too long; {_EXPECTED_DURATION}")
    counts = zip(match.groups(), _UNITS_MS.values(), strict=True)
    total_ms = sum(int(count) * unit_ms for count, unit_ms in counts if count)
    if not 0 < total_ms <= _LONGEST_MS:
        raise InputError(f"duration out of range: {text!r}; {_EXPECTED_DURATION}, and at most 100y")
    return timedelta(milliseconds=total_ms)


def format_duration(duration: timedelta | str) -> str:
    """Write a duration in the shortest Prometheus syntax; text is checked and returned unchanged.

    Raises:
        InputError: the duration is not above zero, finer than a millisecond, or longer than 100 years.
    """
    if isinstance(duration, str):
        parse_duration(duration)
        return str.__str__(duration)  # a member of an enumeration formats as its name
    try:
        return _format_duration(duration)
    except TypeError:
        raise InputError(f"not a duration: {duration!r:.100}; {_EXPECTED_DURATION}") from None


@lru_cache(maxsize=256)
def _format_duration(duration: timedelta) -> str:
    remaining_ms, finer = divmod(duration, MILLISECOND)
    if remaining_ms <= 0 or finer:
        raise InputError(f"not a duration of whole milliseconds above zero: {duration!r}; {_EXPECTED_DURATION}")
    if remaining_ms > _LONGEST_MS:
        raise InputError(f"duration out of range: {duration!r}; at most 100y")
    parts: list[str] = []
    for unit, unit_ms in _UNITS_MS.items():
        if unit in {"y", "w"} and remaining_ms % unit_ms:
            continue
        count, remaining_ms = divmod(remaining_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_time(value: datetime | str | float) -> datetime:
    """Read a point in time and return it in UTC, rounded to the millisecond that Prometheus keeps.

    Args:
        value: an aware datetime, RFC 3339 text with a zone, or unix seconds as a number or as text.

    Raises:
        InputError: the value is anything else, such as a time without a zone, which a server would refuse or misread.
    """
    try:
        if isinstance(value, str):
            value = float(value) if _SECONDS.fullmatch(value) else datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return _EPOCH + _to_milliseconds(_seconds(value))
        if value.utcoffset() is not None:
            return _EPOCH + _to_milliseconds(value - _EPOCH)
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"not a time: {value!r:.100}; {_EXPECTED_TIME}") from None
    raise InputError(f"a time without a zone: {value.isoformat()}; {_EXPECTED_TIME}")


def unix_ms(value: datetime) -> int:
    """Return the unix time of an aware datetime in whole milliseconds."""
    return (value - _EPOCH) // MILLISECOND


def from_unix_ms(value: int) -> datetime:
    """Return the UTC datetime of a unix time in whole milliseconds."""
    return _EPOCH + value * MILLISECOND


def _seconds(value: float) -> timedelta:
    if isinstance(value, bool):
        raise TypeError
    return timedelta(seconds=value)


def _to_milliseconds(duration: timedelta) -> timedelta:
    return round(duration / MILLISECOND) * MILLISECOND


def _parse_step(value: timedelta | str | float) -> timedelta:
    try:
        if isinstance(value, str):
            step = _seconds(int(value)) if _WHOLE_SECONDS.fullmatch(value) else parse_duration(value)
        else:
            step = value if isinstance(value, timedelta) else _seconds(value)
        if step >= MILLISECOND and not step % MILLISECOND:
            return step
    except (OverflowError, TypeError, ValueError):
        pass  # the message is the same
    raise InputError(f"step must be whole milliseconds above zero, such as 60s, 1h30m or 500ms, not {value!r:.100}")


@attrs.frozen(kw_only=True)
class QueryTimeRange:
    """Time range of a query: a grid of points from `start` to `end`, one every `step`.

    The first point is at `start`; the last is at `end` if a whole number of steps leads there, otherwise before it.

    Args:
        start: a time as `parse_time` reads it; the attribute is a UTC datetime.
        end: a time as `parse_time` reads it, not before `start`; the attribute is a UTC datetime.
        step: a Prometheus duration (`1m`), seconds as a number or whole seconds as text, or a timedelta; the attribute
            is a timedelta.

    Raises:
        InputError: a time without a zone, `end` before `start`, or a step that is not whole milliseconds above zero.
    """

    start: datetime = attrs.field(converter=parse_time)
    end: datetime = attrs.field(converter=parse_time)
    step: timedelta = attrs.field(converter=_parse_step)

    def __attrs_post_init__(self) -> None:
        """Check that the range does not end before it starts."""
        if self.end < self.start:
            raise InputError(f"the range ends before it starts: start {self.start.isoformat()}, end {self.end.isoformat()}")

    @property
    def points(self) -> int:
        """The number of points of the grid, at least one."""
        return (self.end - self.start) // self.step + 1
