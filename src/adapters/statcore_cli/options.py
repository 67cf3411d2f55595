"""The options that more than one command has: settings, and the format of the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import click

SettingName: TypeAlias = Literal[
    "config", "statistics_url", "metrics_url", "kernel_statistics", "rate_interval", "disable_plugins", "presets"
]

_SETTINGS: Final[Mapping[SettingName, tuple[str, str]]] = {
    "statistics_url": ("URL", "The store of live statistics, for example valkey://127.0.0.1:6379."),
    "metrics_url": ("URL", "The metric backend, for example http://127.0.0.1:9090."),
    "kernel_statistics": ("store|metrics", "Where live statistics of kernels come from: the store, or the metric backend."),
    "rate_interval": ("DURATION", "The window that rates are taken over, for example 5m."),
    "disable_plugins": ("NAMES", "Plugins not to load, separated by commas."),
    "presets": ("FILE", "A TOML file of presets; several are separated by commas, or given one by one."),
    "config": ("FILE", "A TOML file with settings."),
}


def flag(name: SettingName) -> str:
    """Return the option of a setting."""
    return f"--{name.replace('_', '-')}"


def variable(name: SettingName) -> str:
    """Return the environment variable of a setting."""
    return f"STATCORE_{name.upper()}"


def _joined(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    return ",".join(values) or None


def setting_options(*names: SettingName) -> list[click.Parameter]:
    """Return the options of some settings, and `--config`; where none is given, `settings.py` looks further."""
    return [
        click.Option(
            [flag(name), name],
            metavar=_SETTINGS[name][0],
            help=f"{_SETTINGS[name][1]}  [env: {variable(name)}]",
            multiple=name == "presets",
            callback=_joined if name == "presets" else None,
        )
        for name in (*names, "config")
    ]


def format_option(*more: str) -> click.Option:
    """Return the option that chooses the format of the output; its parameter is `output_format`."""
    return click.Option(
        ["--format", "output_format"],
        type=click.Choice(["text", "json", "csv", *more]),
        default="text",
        show_default=True,
        help='How to print the answer. Numbers that JSON lacks are the strings "NaN", "+Inf" and "-Inf" in it.',
    )
