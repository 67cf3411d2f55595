"""Text: ids in canonical form, text that can be encoded, and an error as one printable line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NewType, cast
from uuid import UUID

from statcore.errors import InputError

KernelId = NewType("KernelId", UUID)
SessionId = NewType("SessionId", UUID)
EndpointId = NewType("EndpointId", UUID)
ReplicaId = NewType("ReplicaId", UUID)
AgentId = NewType("AgentId", str)

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGITS_AS_ZEROS: Final = str.maketrans("0123456789abcdef", "0" * 16)
_NIL_UUID: Final = "00000000-0000-0000-0000-000000000000"
# UUID also accepts whatever int() accepts: underscores, signs, spaces, 0x, and digits of other scripts.
_SPELLED: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9a-fA-F-]{32,36}\}?")


def id_text(value: UUID | str) -> str:
    """Return the text under which a kernel, session, endpoint or replica is stored: its lower-case hyphenated UUID.

    Raises:
        InputError: `value` is neither a UUID nor text that spells a UUID.
    """
    if isinstance(value, UUID):
        return str(value)
    try:
        if _CANONICAL.fullmatch(value):
            return value
        if _SPELLED.fullmatch(value):
            return str(UUID(value))
    except (TypeError, ValueError):
        pass  # the error below says the same
    raise InputError(f"not an id: {value!r:.100}; expected a UUID such as 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


def id_texts(values: Sequence[UUID | str]) -> list[str]:
    """Return the texts under which objects are stored, as `id_text` does, at once where all are written so already.

    Raises:
        InputError: a value is neither a UUID nor text that spells a UUID.
    """
    try:
        joined = ",".join(cast("Sequence[str]", values))
    except TypeError:  # there are UUIDs
        joined = ""
    # As many ids as values, and a comma between two: no value holds a comma itself. A regular expression takes four times
    # as long.
    if joined.translate(_DIGITS_AS_ZEROS) == ",".join([_NIL_UUID] * len(values)):
        return list(cast("Sequence[str]", values))
    return [id_text(value) for value in values]


def check_text(text: object, *, what: str) -> str:
    """Return `text` as a plain str if it can be encoded.

    A member of a `(str, Enum)` class becomes its value: formatting the member would show its name.

    Args:
        text: the text.
        what: its name in the error, such as "a label value".

    Raises:
        InputError: it is not text, or it holds a lone surrogate, which cannot be encoded.
    """
    if not isinstance(text, str):
        raise InputError(f"{what} must be text, not {type(text).__name__}: {text!r:.100}")
    if type(text) is not str:
        text = str.__str__(text)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{what} holds a lone surrogate at position {error.start}: {text!r:.100}") from None
    return text


def describe(error: BaseException) -> str:
    """Return the type of an error and its message as one printable line, even if reading the message raises."""
    try:
        message = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - third-party code may raise anything, SystemExit too
        message = "(it has no readable message)"
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
