"""Validators of attrs fields, and settings read by name or from TOML; errors name the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import attrs

from statcore.errors import InputError

_T = TypeVar("_T")
LONGEST_S: Final = 2**31 - 1
"""The most seconds that a setting may have: 68 years. Timers and dates overflow further up."""
LARGEST: Final = 2**53 - 1
"""The largest count that a setting may have: what a float holds exactly."""
NOT_A_SETTING: Final = {"setting": False}
"""The metadata of a field that a program may set at construction, but no file: a clock, for one."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What steers a terminal, begins a line, or cannot be encoded."""


def shown(value: object) -> str:
    """Return how an error shows a value that a setting refused: numbers and truth values; of all else, the type.

    Text may be a secret that was meant for another setting.
    """
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) <= LARGEST else f"a number of {value.bit_length()} bits"
    return type(value).__name__


def require_seconds(value: object, *, name: str) -> None:
    """Accept numbers above zero, up to `LONGEST_S`.

    Raises:
        InputError: the value is something else; the message names the argument.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_S:
        raise InputError(f"{name} must be a number of seconds above zero, at most {LONGEST_S}, not {shown(value)}")


def check_seconds(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept numbers above zero, up to `LONGEST_S`."""
    require_seconds(value, name=field.name)


def check_count(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept whole numbers from 1 to `LARGEST`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise InputError(f"{field.name} must be a whole number of at least 1 and at most {LARGEST}, not {shown(value)}")


def check_truth(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise InputError(f"{field.name} must be true or false, not {shown(value)}")


def check_line(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept text on one line that is not empty; since it may be a secret, the complaint does not show it."""
    if not isinstance(value, str) or not value or _UNFIT.search(value):
        raise InputError(f"{field.name} must be text on one line without control characters, and not empty")


def check_name(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept what users type to ask for something: lower-case letters, digits, hyphens and underscores."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise InputError(f"{field.name} must be a lower-case word such as container, not {value!r:.200}")


def from_settings(kind: type[_T], settings: Mapping[str, Any], *, adapter: str) -> _T:
    """Build an attrs class from settings by name, as a table of a TOML file gives them; `NOT_A_SETTING` fields are none.

    Raises:
        InputError: a setting that `kind` has no field for, or that it refuses; the message names it.
    """
    fields = attrs.fields(cast("Any", kind))
    known = [field.name for field in fields if field.init and field.metadata.get("setting", True)]
    if unknown := sorted(set(settings).difference(known)):
        raise InputError(f"{adapter} has no setting {unknown[0]!r}; its settings are {', '.join(known)}")
    return kind(**settings)


def read_toml(text: str) -> dict[str, Any]:
    """Return a TOML document.

    Raises:
        InputError: the text is not TOML.
    """
    import tomllib  # noqa: PLC0415 - hosts without such files do without

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}") from error
