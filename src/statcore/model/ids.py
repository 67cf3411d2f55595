"""Identifiers of the objects that have statistics, and their canonical text."""

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
