"""Validators and converters of attrs fields, and settings that are read by name or from TOML.

A validator raises `InputError`, which names the field, for a value that it does not accept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast
from uuid import UUID

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text, id_text

_T = TypeVar("_T")
Validator: TypeAlias = Callable[[object, "attrs.Attribute[Any]", Any], None]
LONGEST_S: Final = 2**31 - 1
"""The most seconds that a setting may have: 68 years. Timers and dates overflow above it."""
LARGEST: Final = 2**53 - 1
"""The largest count that a setting may have: what a float holds exactly."""
NOT_A_SETTING: Final = {"setting": False}
"""The metadata of a field that a program may set at construction, but no file: a clock, for example."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that control a terminal, begin a new line, or cannot be encoded."""


def shown(value: object) -> str:
    """Return the text by which an error shows a refused value: a number or truth value itself, otherwise only the type.

    A refused text may be a secret that was meant for another setting.
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


def check_whole_number(least: int, most: int | None = None) -> Validator:
    """Return a validator that accepts whole numbers from `least` to `most`, or without an upper bound."""
    bounds = f"from {least} up" if most is None else f"of at least {least} and at most {most}"

    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value and (most is None or value <= most):
            return
        raise InputError(f"{field.name} must be a whole number {bounds}, not {shown(value)}")

    return check


check_count: Final = check_whole_number(1, LARGEST)
"""Accepts whole numbers from 1 to `LARGEST`."""


def check_truth(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise InputError(f"{field.name} must be true or false, not {shown(value)}")


def check_line(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept text on one line that is not empty; since it may be a secret, the error does not show it."""
    if not isinstance(value, str) or not value or _UNFIT.search(value):
        raise InputError(f"{field.name} must be text on one line without control characters, and not empty")


def check_name(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept names that users type: lower-case letters, digits, hyphens and underscores, a letter first."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise InputError(f"{field.name} must be a lower-case word such as container, not {value!r:.200}")


def check_label_value(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept text that can be sent and is not empty: an empty text would match the series that lack the label."""
    if not check_text(value, what=field.name):
        raise InputError(
            f"{field.name} is empty, which would match series without this label; give a value or leave it out"
        )


def check_one_of(choices: Collection[str]) -> Validator:
    """Return a validator that accepts each of several texts, and nothing else."""

    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in choices:
            raise InputError(f"{field.name} must be one of {', '.join(choices)}, not {value!r:.100}")

    return check


def check_mapping(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Accept mappings."""
    if not isinstance(value, Mapping):
        raise InputError(f"{field.name} must be a mapping, not {type(value).__name__}")


def read_only(value: Mapping[str, str]) -> Mapping[str, str]:
    """Return a read-only copy of a mapping; anything else is returned unchanged, and refused by `check_mapping`."""
    return MappingProxyType(dict(value)) if isinstance(cast("object", value), Mapping) else value


def optional_uuid(value: UUID | str | None) -> UUID | None:
    """Return an id as a UUID, and None for None.

    Raises:
        InputError: the text does not spell a UUID.
    """
    return value if value is None or isinstance(value, UUID) else UUID(id_text(value))


def from_settings(kind: type[_T], settings: Mapping[str, Any], *, adapter: str) -> _T:
    """Build an attrs class from settings by name, as a table of a TOML file gives them.

    Args:
        kind: the class; its fields are the settings, except fields with the metadata `NOT_A_SETTING`.
        settings: the settings by name.
        adapter: what messages call the adapter.

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


def toml_text(value: object, where: str) -> str:
    """Return a value of a TOML document, which must be text.

    Raises:
        InputError: the value is not text, or is empty; the message begins with `where`.
    """
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: expected a non-empty text, not {type(value).__name__}")
    return value


def toml_table(value: object, where: str) -> dict[str, Any]:
    """Return a value of a TOML document, which must be a table.

    Raises:
        InputError: the value is not a table; the message begins with `where`.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table, not {type(value).__name__}")
    return cast("dict[str, Any]", value)
