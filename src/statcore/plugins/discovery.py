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

    @property
    def or_switch_off(self) -> str:
        """The last resort of every remedy, as its end: `or switch it off: …`."""
        return f"or switch it off: STATCORE_DISABLE_PLUGINS={self.name}"

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
    for distribution, name, version in _distributions():
        try:
            entry_points = list(distribution.entry_points.select(group=GROUP))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file of any one distribution
            report = PluginReport(
                name=name,
                distribution=name,
                version=version,
                status=PluginStatus.BROKEN,
                error=f"its entry points cannot be read: {describe(error)}",
                remedy=f"reinstall or uninstall {name}",
            )
            unreadable.append(report)
        else:
            candidates += [Candidate(entry_point, name, version) for entry_point in entry_points]
    return sorted(candidates, key=lambda candidate: (candidate.name, candidate.distribution)), unreadable


def _distributions() -> Iterator[tuple[metadata.Distribution, str, str]]:
    """Yield what may be plugins, name and version, of each name the first on the path: its modules are imported."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        if not _may_be_plugin(distribution):
            continue
        name, version = _identity(distribution)
        key = _SEPARATORS.sub("-", name).lower()
        if name == _UNKNOWN:
            yield distribution, name, version
        elif key not in seen:
            seen.add(key)
            namesakes = ((one, *_identity(one)) for one in metadata.distributions(name=name))
            named = (found for found in namesakes if found[1] != _UNKNOWN)  # not folders that an uninstallation left empty
            yield next(named, (distribution, name, version))


def _may_be_plugin(distribution: metadata.Distribution) -> bool:
    """Tell at a glance, since most are none and the standard library would take the time to parse them all."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - as above, where it is reported
        return True


def _identity(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except Exception:  # noqa: BLE001 - as above; a plugin without a name is one all the same
        text = ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    return headers.get("Name") or _UNKNOWN, headers.get("Version") or _UNKNOWN
