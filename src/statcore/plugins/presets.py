"""Presets of plugins and of TOML files, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self, cast

import attrs

from statcore.errors import InputError
from statcore.plugins.registry import PluginRegistry
from statcore.promql.preset import Preset

_KEYS: Final = ("description", "template", "filter_labels", "group_labels", "window")
_REQUIRED: Final = ("description", "template")
_LISTS: Final = ("filter_labels", "group_labels")


def read_presets(text: str, *, file: str) -> Iterator[Preset]:
    """Yield the presets of a file, which holds nothing else, in its order.

    Args:
        text: TOML.
        file: what messages call it.

    Raises:
        InputError: the text is no TOML, or a preset is not as `Preset` says; the message names file, preset and key.
        MissingExtraError: the extra `presets` is not installed.
    """
    for _, preset in try_presets(text, file=file):
        if isinstance(preset, InputError):
            raise preset
        yield preset


def try_presets(text: str, *, file: str) -> Iterator[tuple[str, Preset | InputError]]:
    """Yield each preset of a file by its name, or what is wrong with it; the rest is as in `read_presets`."""
    import tomllib  # noqa: PLC0415 - hosts without such files do without

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not TOML: {error}") from error
    if unknown := sorted(document.keys() - {"presets"}):
        raise InputError(f"{file}: {', '.join(unknown)} is unknown; a file of presets has tables [presets.NAME] alone")
    for name, table in _table(document.get("presets", {}), f"{file}: presets").items():
        try:
            yield name, _preset(name, _table(table, f"{file}: preset {name}"), f"{file}: preset {name}")
        except InputError as error:
            yield name, error


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table, not {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _preset(name: str, table: Mapping[str, Any], where: str) -> Preset:
    if unknown := sorted(table.keys() - set(_KEYS)):
        raise InputError(f"{where}: {', '.join(unknown)} is unknown; known are {', '.join(_KEYS)}")
    if missing := [key for key in _REQUIRED if key not in table]:
        raise InputError(f"{where}: {', '.join(missing)} is missing")
    for key, value in table.items():
        expected = list if key in _LISTS else str
        if not isinstance(value, expected):
            what = "a list of texts" if expected is list else "a text"
            raise InputError(f"{where}: {key}: expected {what}, not {type(value).__name__}")
    try:
        return Preset(name=name, **table)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


@attrs.frozen
class PresetCatalog:
    """The presets of a registry's plugins, and more; build it with `read`."""

    registry: PluginRegistry
    _files: Mapping[str, str]
    """The file of each preset that has one."""
    _presets: Mapping[str, Preset]
    """Those of files."""
    faults: Mapping[str, InputError]
    """What is wrong with each preset of a file that cannot be asked for, by its name."""

    @classmethod
    def read(cls, registry: PluginRegistry, files: Mapping[str, str], *, strict: bool = True) -> Self:
        """Add the presets of files to those of plugins.

        Args:
            registry: the plugins.
            files: what is in each file, as TOML text, by the name that messages call the file.
            strict: whether one bad preset fails them all; otherwise it is among `faults`, and only who asks for it fails.

        Raises:
            InputError: a file is not as `read_presets` says, or a name is taken, which the message says by whom. A name
                that two plugins fight over is not: the file settles it.
            MissingExtraError: a file has presets, and the extra `presets` is not installed.
        """
        taken = {name: f"plugin {registry.preset_origin(name).origin}" for name in registry.presets}
        origins: dict[str, str] = {}
        presets: dict[str, Preset] = {}
        faults: dict[str, InputError] = {}
        for file, text in files.items():
            for name, preset in try_presets(text, file=file):
                if isinstance(preset, InputError):
                    faults[name] = preset
                elif other := taken.get(name):
                    faults[name] = InputError(f"{file}: the preset {name} is one of {other}, too; rename one of them")
                else:
                    taken[name], origins[name], presets[name] = file, file, preset
                if strict and faults:
                    raise faults[name]
        return cls(registry, origins, presets, faults)

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Every preset that can be asked for, by name, in alphabetical order."""
        return dict(sorted({**self.registry.presets, **self._presets}.items()))

    def preset(self, name: str) -> Preset:
        """Return one preset.

        Raises:
            InputError: there is none of that name, or it is among `faults`.
            PluginError: likewise, but a plugin that is broken may have it; or two plugins offer it.
        """
        if name in self.faults:
            raise self.faults[name]
        return self._presets.get(name) or self.registry.preset(name, others=self._presets)

    def origin(self, name: str) -> str:
        """Return the file, or the distribution and its version, that a preset comes from; the errors are `preset`'s."""
        return self._files.get(name) or self.registry.preset_origin(name).source
