"""Presets in TOML: a table `[presets.NAME]` each, whose keys are the fields of `Preset`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from statcore.errors import InputError
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
