"""All presets by name, those of plugins and those that files bring, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs

from statcore.errors import InputError
from statcore.plugins.preset_files import try_presets
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
