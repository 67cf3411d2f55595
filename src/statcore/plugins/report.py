"""The report on a plugin, and the line of its code that an error was raised at."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from traceback import walk_tb
from typing import Final

import attrs

_NO_PLUGINS: Final = {"statcore", "pluggy", "attr", "attrs", "asyncio", "importlib", "importlib_metadata"}
"""The packages that run a plugin's code. Where the backport `importlib_metadata` is imported, it loads entry points."""


def raised_at(error: BaseException) -> str:
    """Return the last line in an error's traceback that belongs to a plugin or to a library of its own.

    Returns:
        `; at FILE:LINE`, or an empty text where the traceback has no such line.
    """
    of_plugin = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _NO_PLUGINS
        and not frame.f_code.co_filename.startswith("<")
    ]
    return f"; at {of_plugin[-1][0]}:{of_plugin[-1][1]}" if of_plugin else ""


class PluginStatus(StrEnum):
    """Whether a plugin can be used."""

    OK = "ok"
    BROKEN = "broken"
    """Its import or a hook raised or took too long, a hook returned a value of another type, or a kind failed on trial."""
    REJECTED = "rejected"
    """It was written for another API version, implements an unknown hook, or offers a name that another plugin offers."""
    BLOCKED = "blocked"
    """The settings switch it off."""

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault, which somebody must correct."""
        return self in {PluginStatus.BROKEN, PluginStatus.REJECTED}


@attrs.frozen(kw_only=True)
class PluginReport:
    """One plugin: where it comes from, whether it can be used, and if not, why and what to do.

    Args:
        name: the name of its entry point.
        distribution: the distribution that installed it.
        version: the version of the distribution.
        status: whether it can be used.
        offers: what it contributes, for example `querier container`, `statistics store valkey:`.
        error: why it, or a part of it, cannot be used; one line.
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
        """The distribution and its version, as listings name them."""
        return f"{self.distribution} {self.version}"

    @property
    def origin(self) -> str:
        """The plugin as messages name it."""
        return f"{self.name!r} of {self.source}"


def origins(reports: Iterable[PluginReport]) -> str:
    """Return several plugins as messages name them."""
    return " and ".join(report.origin for report in reports)
