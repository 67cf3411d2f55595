"""Identifiers of the objects that have statistics, and their canonical text."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

from statcore.errors import InputError

KernelId = NewType("KernelId", UUID)
SessionId = NewType("SessionId", UUID)
EndpointId = NewType("EndpointId", UUID)
ReplicaId = NewType("ReplicaId", UUID)
AgentId = NewType("AgentId", str)


def id_text(value: UUID | str) -> str:
    """Return the text under which a kernel, session, endpoint or replica is stored: its lower-case hyphenated UUID.

    Raises:
        InputError: `value` is neither a UUID nor text that spells one.
    """
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"not an id: {value!r}; expected a UUID such as 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11") from None
