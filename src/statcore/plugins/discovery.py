"""Which plugins are installed: the entry points of the group `statcore`, found but not yet imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    unreadable: list[PluginReport] = []
    try:
        found = list(metadata.entry_points(group=GROUP))
    except Exception:  # noqa: BLE001 - a bad file of any one distribution, whosever it is, fails the call for all
        found = list(_find_one_by_one(unreadable))
    candidates = [Candidate(entry_point, *_identity(entry_point.dist)) for entry_point in found]
    return sorted(candidates, key=lambda candidate: (candidate.name, candidate.distribution)), unreadable


def _find_one_by_one(unreadable: list[PluginReport]) -> Iterator[metadata.EntryPoint]:
    seen: set[str] = set()
    for distribution in metadata.distributions():
        name, version = _identity(distribution)
        key = _SEPARATORS.sub("-", name).lower()
        if key in seen:  # what comes first on the path shadows the rest
            continue
        seen.add(key)
        try:
            yield from distribution.entry_points.select(group=GROUP)
        except Exception as error:  # noqa: BLE001 - see above
            report = PluginReport(
                name=name,
                distribution=name,
                version=version,
                status=PluginStatus.BROKEN,
                error=f"its entry points cannot be read: {describe(error)}",
                remedy=f"reinstall or uninstall {name}",
            )
            unreadable.append(report)


def _identity(distribution: metadata.Distribution | None) -> tuple[str, str]:
    if distribution is None:
        return _UNKNOWN, _UNKNOWN
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, ValueError):
        text = ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    return headers.get("Name") or _UNKNOWN, headers.get("Version") or _UNKNOWN
