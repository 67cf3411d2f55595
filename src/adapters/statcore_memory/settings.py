"""How the settings of this adapter are checked: each complaint names the setting."""

from __future__ import annotations

import math
from datetime import timedelta

import attrs

from statcore.errors import InputError
from statcore.model import format_duration, parse_duration


def check_count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    """Accept whole numbers from one up."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{attribute.name} must be a whole number of at least 1, not {value!r}")


def check_seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    """Accept finite numbers above zero."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InputError(f"{attribute.name} must be a number of seconds above zero, not {value!r}")


def read_retention(value: timedelta | str) -> timedelta:
    """Read a duration of whole milliseconds above zero."""
    if not isinstance(value, timedelta | str):  # pyright: ignore[reportUnnecessaryIsInstance] - settings come from files
        raise InputError(f"retention must be a duration such as 1h, not {value!r}")
    try:
        return parse_duration(format_duration(value))
    except InputError as error:
        raise InputError(f"retention: {error}") from None
