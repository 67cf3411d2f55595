"""What the fields of both queriers may hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import attrs

from statcore import InputError, LabelMatcher
from statcore.model import id_text


def check_text(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """Refuse what is no text that can be sent, and the empty text, which would match series that lack the label."""
    if value == "":
        raise InputError(f"{attribute.name} is empty")
    LabelMatcher.equal(value)


def check_value_type(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no value type."""
    if value not in ("current", "capacity"):
        raise InputError(f"{attribute.name} must be current or capacity, not {value!r:.100}")


def check_pid(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no number of a process."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InputError(f"{attribute.name} must be a number above zero, not {value!r:.100}")


def to_uuid(value: UUID | str | None) -> UUID | None:
    """Read an id.

    Raises:
        InputError: it is not one.
    """
    return value if value is None or isinstance(value, UUID) else UUID(id_text(value))
