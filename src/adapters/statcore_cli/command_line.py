"""What commands are made of in click: options that several commands share, and groups that load commands on first use.

`--help` imports this module. Keep it quick to import: it needs only click.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import click
from click.shell_completion import CompletionItem

SettingName: TypeAlias = Literal[
    "config",
    "statistics_url",
    "metrics_url",
    "kernel_statistics",
    "rate_interval",
    "disable_plugins",
    "presets",
    "token_file",
]

_SETTINGS: Final[Mapping[SettingName, tuple[str, str]]] = {
    "statistics_url": ("URL", "The store of live statistics, for example valkey://127.0.0.1:6379."),
    "metrics_url": ("URL", "The metric backend, for example http://127.0.0.1:9090."),
    "kernel_statistics": ("store|metrics", "Where live statistics of kernels come from: the store, or the metric backend."),
    "rate_interval": ("DURATION", "The window that rates are taken over, for example 5m."),
    "disable_plugins": ("NAMES", "Plugins not to load, separated by commas."),
    "presets": ("FILE", "A TOML file of presets. For several, repeat the option or separate the files by commas."),
    "token_file": ("FILE", "A TOML file with the tokens of callers."),
    "config": ("FILE", "A TOML file with settings."),
}
"""Metavariable and help text of each setting."""


def flag(name: SettingName) -> str:
    """Return the option of a setting."""
    return f"--{name.replace('_', '-')}"


def variable(name: SettingName) -> str:
    """Return the environment variable of a setting."""
    return f"STATCORE_{name.upper()}"


def _join_values(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    return ",".join(values) or None


def _complete_setting(_: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    metavar = str(param.metavar)
    if metavar == "FILE":
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(value) for value in metavar.split("|") if "|" in metavar and value.startswith(incomplete)]


def completing(
    words: Callable[[click.Context], Iterable[str]], *, ending: str = ""
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a `shell_complete` of a parameter that takes one of some words.

    Args:
        words: returns the words; called only to complete.
        ending: what follows each word, such as "=".
    """

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(f"{word}{ending}") for word in words(ctx) if word.startswith(incomplete)]

    return complete


def setting_options(*names: SettingName) -> list[click.Parameter]:
    """Return the options of some settings, and `--config`; `CliSettings.read` gives a setting without option its value."""
    return [
        click.Option(
            [flag(name), name],
            metavar=_SETTINGS[name][0],
            help=f"{_SETTINGS[name][1]}  [env: {variable(name)}]",
            multiple=name == "presets",
            callback=_join_values if name == "presets" else None,
            shell_complete=_complete_setting,
        )
        for name in (*names, "config")
    ]


def format_option(*more: str) -> click.Option:
    """Return the option that chooses the output format; its parameter is `output_format`.

    Args:
        more: formats besides text, JSON and CSV.
    """
    return click.Option(
        ["--format", "output_format"],
        type=click.Choice(["text", "json", "csv", *more]),
        default="text",
        show_default=True,
        help='How to print the answer. JSON writes NaN and infinities as the strings "NaN", "+Inf" and "-Inf".',
    )


class LazyGroup(click.Group, ABC):
    """A group that lists its commands without importing them."""

    @abstractmethod
    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return one line of help per command name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.summaries(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for `--help`."""
        if summaries := self.summaries(ctx):
            with formatter.section("Commands"):
                formatter.write_dl(list(summaries.items()))
