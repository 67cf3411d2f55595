"""Presets by name, from plugins and from the text of TOML files, which this module reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import attrs

from statcore.errors import InputError
from statcore.model.validation import read_toml, toml_table
from statcore.plugins.registry import PluginRegistry
from statcore.promql.templates import Preset

_KEYS: Final = ("description", "template", "filter_labels", "group_labels", "window")
_REQUIRED: Final = ("description", "template")


@attrs.frozen
class PresetCatalog:
    """The presets of a registry's plugins and of files; build it with `read`.

    Attributes:
        registry: the plugins.
        faults: by name, the error of each preset in a file that cannot be used.
    """

    registry: PluginRegistry
    _files: Mapping[str, str]
    """By name, the file of each preset that comes from a file."""
    _presets: Mapping[str, Preset]
    """By name, the presets that come from files."""
    faults: Mapping[str, InputError]

    @classmethod
    def read(cls, registry: PluginRegistry, files: Mapping[str, str], *, strict: bool = True) -> Self:
        """Add the presets of files to the presets of plugins.

        Args:
            registry: the plugins.
            files: by its name in messages, the content of each file: TOML text with tables `[presets.NAME]`.
            strict: whether a preset that cannot be used is an error; otherwise it is among `faults`, and `preset` raises
                its error.

        Raises:
            InputError: a file is not TOML or has other tables, a preset in it cannot be used, or a name is taken; the
                message names file, preset and key. A name that two plugins offer is not taken; a file may use it.
            MissingExtraError: a file has presets, and the extra `presets` is not installed.
        """
        taken = {name: f"plugin {registry.preset_origin(name).origin}" for name in registry.presets}
        origins: dict[str, str] = {}
        presets: dict[str, Preset] = {}
        faults: dict[str, InputError] = {}
        for file, text in files.items():
            for name, preset in _read_file(text, file):
                if isinstance(preset, InputError):
                    faults[name] = preset
                elif other := taken.get(name):
                    faults[name] = InputError(f"{file}: the preset {name} is also in {other}; rename one of the two")
                else:
                    taken[name], origins[name], presets[name] = file, file, preset
                if strict and faults:
                    raise faults[name]
        return cls(registry, origins, presets, faults)

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Every preset that can be used, by name, in alphabetical order."""
        return dict(sorted({**self.registry.presets, **self._presets}.items()))

    def preset(self, name: str) -> Preset:
        """Return one preset.

        Raises:
            InputError: there is none of that name, or it is among `faults`.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        if name in self.faults:
            raise self.faults[name]
        return self._presets.get(name) or self.registry.preset(name, others=self._presets)

    def origin(self, name: str) -> str:
        """Return the file, or the distribution and its version, that a preset comes from.

        Raises:
            InputError: there is none of that name.
            PluginError: no plugin offers it, but a plugin that failed may offer it; or two plugins offer it.
        """
        return self._files.get(name) or self.registry.preset_origin(name).source


def _read_file(text: str, file: str) -> Iterator[tuple[str, Preset | InputError]]:
    """Yield each preset of a file by its name, or what is wrong with it, in the order of the file."""
    try:
        document = read_toml(text)
    except InputError as error:
        raise InputError(f"{file} is {error}") from error
    if unknown := sorted(document.keys() - {"presets"}):
        raise InputError(f"{file}: {', '.join(unknown)} is unknown; a file of presets has tables [presets.NAME] alone")
    for name, table in toml_table(document.get("presets", {}), f"{file}: presets").items():
        where = f"{file}: preset {name}"
        try:
            yield name, _read_preset(name, toml_table(table, where), where)
        except InputError as error:
            yield name, error


def _read_preset(name: str, table: Mapping[str, Any], where: str) -> Preset:
    if unknown := sorted(table.keys() - set(_KEYS)):
        raise InputError(f"{where}: {', '.join(unknown)} is unknown; known are {', '.join(_KEYS)}")
    if missing := [key for key in _REQUIRED if key not in table]:
        raise InputError(f"{where}: {', '.join(missing)} is missing")
    try:
        return Preset(name=name, **table)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
