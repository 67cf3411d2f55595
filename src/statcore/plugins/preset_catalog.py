"""All presets by name, those of plugins and those that files bring, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs

from statcore.errors import InputError
from statcore.plugins.preset_files import read_presets
from statcore.plugins.registry import PluginRegistry
from statcore.promql.preset import Preset


@attrs.frozen
class PresetCatalog:
    """The presets of a registry's plugins, and more; build it with `read`."""

    registry: PluginRegistry
    _files: Mapping[str, str]
    """The file of each preset that has one."""
    _presets: Mapping[str, Preset]
    """Those of files."""

    @classmethod
    def read(cls, registry: PluginRegistry, files: Mapping[str, str]) -> Self:
        """Add the presets of files to those of plugins.

        Args:
            registry: the plugins.
            files: what is in each file, as TOML text, by the name that messages call the file.

        Raises:
            InputError: a file is not as `read_presets` says, or a name is taken, which the message says by whom. A name
                that two plugins fight over is not: the file settles it.
            MissingExtraError: a file has presets, and the extra `presets` is not installed.
        """
        taken = {name: f"plugin {registry.preset_origin(name).origin}" for name in registry.presets}
        origins: dict[str, str] = {}
        presets: dict[str, Preset] = {}
        for file, text in files.items():
            for preset in read_presets(text, file=file):
                if other := taken.get(preset.name):
                    raise InputError(f"{file}: the preset {preset.name} is one of {other}, too; rename one of them")
                taken[preset.name], origins[preset.name], presets[preset.name] = file, file, preset
        return cls(registry, origins, presets)

    @property
    def presets(self) -> Mapping[str, Preset]:
        """Every preset that can be asked for, by name, in alphabetical order."""
        return dict(sorted({**self.registry.presets, **self._presets}.items()))

    def preset(self, name: str) -> Preset:
        """Return one preset.

        Raises:
            InputError: there is none of that name.
            PluginError: likewise, but a plugin that is broken may have it; or two plugins offer it.
        """
        return self._presets.get(name) or self.registry.preset(name, others=self._presets)

    def origin(self, name: str) -> str:
        """Return the file, or the distribution and its version, that a preset comes from; the errors are `preset`'s."""
        return self._files.get(name) or self.registry.preset_origin(name).source
