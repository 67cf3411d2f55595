"""Which plugins are installed: the entry points of the group `statcore`, found but not yet imported."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Final

import attrs

from statcore.model.text import describe
from statcore.plugins.report import PluginReport, PluginStatus
from statcore.plugins.spec import GROUP

_UNKNOWN: Final = "unknown"
_SEPARATORS: Final = re.compile(r"[-_.]+")
# The standard library parses the whole metadata file, read-me included, for each of the two: half of what discovery costs.
_HEADER: Final = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


@attrs.frozen
class Candidate:
    """An installed plugin, and what is known of it before it is imported."""

    entry_point: metadata.EntryPoint
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The name of the entry point, by which settings and reports call the plugin."""
        return self.entry_point.name

    @property
    def how_to_switch_off(self) -> str:
        """The end of a remedy."""
        return f"switch it off: STATCORE_DISABLE_PLUGINS={self.name}"

    def report(self, status: PluginStatus, *, error: str | None = None, remedy: str | None = None) -> PluginReport:
        """Return what became of it."""
        return PluginReport(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            status=status,
            error=error,
            remedy=remedy,
        )


def find_candidates() -> tuple[list[Candidate], list[PluginReport]]:
    """Return the installed plugins by name, and reports on distributions that cannot be read."""
    candidates: list[Candidate] = []
    unreadable: list[PluginReport] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            # Most distributions are no plugins: that is seen at a glance, where the standard library parses them all.
            if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            entry_points = list(distribution.entry_points.select(group=GROUP))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file of any one distribution
            unreadable.append(_unreadable(distribution, error))
            continue
        name, version = _identity(distribution)
        key = _SEPARATORS.sub("-", name).lower()
        if key not in seen or name == _UNKNOWN:  # what comes first on the path shadows the rest
            candidates += [Candidate(entry_point, name, version) for entry_point in entry_points]
        seen.add(key)
    return sorted(candidates, key=lambda candidate: (candidate.name, candidate.distribution)), unreadable


def _unreadable(distribution: metadata.Distribution, error: Exception) -> PluginReport:
    name, version = _identity(distribution)
    return PluginReport(
        name=name,
        distribution=name,
        version=version,
        status=PluginStatus.BROKEN,
        error=f"its entry points cannot be read: {describe(error)}",
        remedy=f"reinstall or uninstall {name}",
    )


def _identity(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, ValueError):
        text = ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    return headers.get("Name") or _UNKNOWN, headers.get("Version") or _UNKNOWN
