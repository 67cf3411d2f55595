"""Durations in Prometheus syntax, such as `5m`, `1h30m` or `500ms`."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

from statcore.errors import InputError

_UNITS_MS: Final = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_SYNTAX: Final = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _UNITS_MS))
_LONGEST_MS: Final = 100 * _UNITS_MS["y"]
_HOW: Final = "expected a positive whole duration such as 5m, 1h30m or 500ms"


def parse_duration(text: str) -> timedelta:
    """Read a positive Prometheus duration of at most 100 years.

    Raises:
        InputError: the text is not such a duration; zero, negative and fractional ones are not.
    """
    try:
        return _parse(text)
    except TypeError:
        raise InputError(f"not a duration: {text!r:.100}; {_HOW}") from None


@lru_cache(maxsize=256)
def _parse(text: str) -> timedelta:
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise InputError(f"not a duration: {text!r:.100}; {_HOW}")
    if len(text) > 64:  # noqa: PLR2004 - far beyond any sensible duration, and it bounds int()
        raise InputError(f"a duration of {len(text)} characters is too long; {_HOW}")
    counts = zip(match.groups(), _UNITS_MS.values(), strict=True)
    total_ms = sum(int(count) * unit_ms for count, unit_ms in counts if count)
    if not 0 < total_ms <= _LONGEST_MS:
        raise InputError(f"duration out of range: {text!r}; {_HOW}, and at most 100y")
    return timedelta(milliseconds=total_ms)


def format_duration(duration: timedelta | str) -> str:
    """Write a duration in the shortest Prometheus syntax; text is checked and returned as it is.

    Raises:
        InputError: the duration is not positive, or finer than a millisecond.
    """
    if isinstance(duration, str):
        parse_duration(duration)
        return duration
    try:
        rest_ms, finer = divmod(duration, timedelta(milliseconds=1))
    except TypeError:
        raise InputError(f"not a duration: {duration!r:.100}; {_HOW}") from None
    if rest_ms <= 0 or finer:
        raise InputError(f"not a duration of whole milliseconds above zero: {duration!r}; {_HOW}")
    if rest_ms > _LONGEST_MS:
        raise InputError(f"duration out of range: {duration!r}; at most 100y")
    parts: list[str] = []
    for unit, unit_ms in _UNITS_MS.items():
        if unit in {"y", "w"} and rest_ms % unit_ms:
            continue
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
