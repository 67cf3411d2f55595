"""Ids in canonical text, text that can be sent, and the text of an error."""

from __future__ import annotations

import re
from typing import Final, NewType
from uuid import UUID

from statcore.errors import InputError

KernelId = NewType("KernelId", UUID)
SessionId = NewType("SessionId", UUID)
EndpointId = NewType("EndpointId", UUID)
ReplicaId = NewType("ReplicaId", UUID)
AgentId = NewType("AgentId", str)

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# UUID itself would also read what int() takes for digits: underscores, signs, spaces, 0x, digits of other scripts.
_SPELLED: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9a-fA-F-]{32,36}\}?")


def id_text(value: UUID | str) -> str:
    """Return the text under which a kernel, session, endpoint or replica is stored: its lower-case hyphenated UUID.

    Raises:
        InputError: `value` is neither a UUID nor text that spells one.
    """
    if isinstance(value, UUID):
        return str(value)
    try:
        if _CANONICAL.fullmatch(value):
            return value
        if _SPELLED.fullmatch(value):
            return str(UUID(value))
    except (TypeError, ValueError):
        pass  # the message is the same
    raise InputError(f"not an id: {value!r:.100}; expected a UUID such as 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


def check_text(text: object, *, what: str) -> str:
    """Return `text` as a plain str if it is Unicode that can be encoded at all.

    A member of a `(str, Enum)` class is text, too: it becomes its value, which formatting it would not show.

    Raises:
        InputError: it is not text, or holds a lone surrogate, which no server can be sent.
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
    """Return one printable line: the kind of error and its message, even where the message itself raises."""
    try:
        message = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - third-party code, which may even try to exit
        message = "(it has no readable message)"
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
