"""What became of each plugin."""

from __future__ import annotations

from enum import StrEnum

import attrs


class PluginStatus(StrEnum):
    """Whether a plugin takes part."""

    OK = "ok"
    BROKEN = "broken"
    """It failed: its import or a hook raised, or a hook returned something else than it should."""
    REJECTED = "rejected"
    """It was written for another API version, implements an unknown hook, or its name is taken."""
    BLOCKED = "blocked"
    """The settings switch it off."""


@attrs.frozen(kw_only=True)
class PluginReport:
    """One plugin: where it comes from, whether it takes part, and if not, why and what to do."""

    name: str
    distribution: str
    version: str
    status: PluginStatus
    error: str | None = None
    remedy: str | None = None
