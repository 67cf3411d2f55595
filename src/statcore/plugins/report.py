"""What became of each plugin."""

from __future__ import annotations

from enum import StrEnum

import attrs


class PluginStatus(StrEnum):
    """Whether a plugin takes part."""

    OK = "ok"
    BROKEN = "broken"
    """It failed: its import or a hook raised, a hook returned something else than it should, or a kind failed on trial."""
    REJECTED = "rejected"
    """It was written for another API version, implements an unknown hook, or a name of its is taken."""
    BLOCKED = "blocked"
    """The settings switch it off."""

    @property
    def is_fault(self) -> bool:
        """Whether somebody must do something about it."""
        return self in {PluginStatus.BROKEN, PluginStatus.REJECTED}


@attrs.frozen(kw_only=True)
class PluginReport:
    """One plugin: where it comes from, whether it takes part, and if not, why and what to do.

    Args:
        name: the name of its entry point.
        distribution: what installed it.
        version: of the distribution.
        status: whether it takes part.
        offers: what it contributes, for example `querier container`, `statistics store valkey:`.
        error: why it does not take part, or not with everything; one line.
        remedy: what to do about that; one line.
    """

    name: str
    distribution: str
    version: str
    status: PluginStatus
    offers: tuple[str, ...] = ()
    error: str | None = None
    remedy: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether statcore itself contributes the plugin."""
        return self.distribution == "statcore"

    @property
    def source(self) -> str:
        """What installed it, as listings name it."""
        return f"{self.distribution} {self.version}"

    @property
    def origin(self) -> str:
        """The plugin as messages name it."""
        return f"{self.name!r} of {self.source}"
