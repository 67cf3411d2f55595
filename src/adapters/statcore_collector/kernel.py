"""Which processes are a kernel, and whose it is."""

from __future__ import annotations

from typing import cast

import attrs
from attrs.converters import optional

from statcore.errors import InputError
from statcore.model import id_text
from statcore.model.text import check_text


def _pid(value: int) -> int:
    if not isinstance(cast("object", value), int) or value <= 0:
        raise InputError(f"pid must be a whole number above zero, not {value!r:.100}")
    return value


def _agent(value: str | None) -> str | None:
    return None if value is None else check_text(value, what="agent_id")


@attrs.frozen(kw_only=True)
class KernelTarget:
    """A kernel: the process `pid` with all its descendants, and its owners.

    Args:
        pid: the root process.
        kernel_id, session_id, user_id, project_id: a UUID, or text that spells one; kept as canonical text.
        agent_id: the agent that runs it, by default the collector's.

    Raises:
        InputError: an id that is not one, or a pid that cannot be.
    """

    pid: int = attrs.field(converter=_pid)
    kernel_id: str = attrs.field(converter=id_text)
    session_id: str | None = attrs.field(default=None, converter=optional(id_text))
    user_id: str | None = attrs.field(default=None, converter=optional(id_text))
    project_id: str | None = attrs.field(default=None, converter=optional(id_text))
    agent_id: str | None = attrs.field(default=None, converter=_agent)
