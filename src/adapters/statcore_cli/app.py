"""The program: its list of commands, and how errors become a message and an exit code.

To add a command, write `commands/NAME.py` with a click command called `command`, and add a line to `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Final, NoReturn, cast

import click
from click.exceptions import Exit

from statcore_cli.command_line import LazyGroup, setting_options
from statcore_cli.standard_output import printable

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "Show everything at work on this machine, without any server.",
    "collect": "Collect process trees and this node, as an agent does.",
    "sessions": "List the sessions with owners and main figures.",
    "kernels": "List the kernels, or show the live statistics of some.",
    "agents": "List the agents.",
    "endpoints": "List the inference endpoints.",
    "top": "Watch the kernels that use the most CPU.",
    "query": "Show utilization over a time range.",
    "promql": "Print the PromQL text that a query sends.",
    "preset": "List named queries, and show what they answer.",
    "metrics": "List the metrics of a kind of object.",
    "grafana": "Write a Grafana dashboard of all queries and presets.",
    "rules": "Write recording rules for heavy queries.",
    "serve": "Serve GraphQL over HTTP, with tokens and limits.",
    "token": "Make, list and revoke the tokens of callers.",
    "plugins": "List the plugins and what they offer, or start a new one.",
    "doctor": "Check configuration, plugins, store and backend.",
}
_LISTS: Final = ("sessions", "agents", "endpoints")
"""The commands that `commands/lists.py` defines, each under its own name."""
_EXTRAS: Final = {
    "aiohttp": "web",
    "plotille": "cli",
    "prometheus_client": "collector",
    "psutil": "collector",
    "rich": "cli",
}
_COMPLETION: Final = "_STATCORE_COMPLETE"
"""The environment variable with which a shell asks click to complete a word."""
_INTERRUPTED: Final = 130
_NO_READER: Final = 141


class _Program(LazyGroup):
    """The root group: turns every error into one line on standard error and an exit code."""

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return the summary of each command."""
        del ctx
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None where the name is unknown."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _LISTS:
            return cast("click.Command", getattr(import_module("statcore_cli.commands.lists"), cmd_name))
        return cast("click.Command", import_module(f"statcore_cli.commands.{cmd_name}").command)

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's signature
        """Run the program, or complete a word for a shell, which shows no errors: there is then nothing to complete."""
        try:
            return super().main(*args, **extra)
        except Exception:
            if _COMPLETION in os.environ:
                sys.exit(1)
            raise

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        """Parse the options before the command; click prints the program's own help and version here."""
        with _errors_as_lines():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command."""
        with _errors_as_lines():
            return super().invoke(ctx)


@contextmanager
def _errors_as_lines() -> Generator[None]:
    try:
        try:
            yield
        finally:  # also if the command exits with its own code: a failure when the interpreter ends could not change it
            sys.stdout.flush()
    except Exit:
        raise
    except KeyboardInterrupt:
        raise Exit(_INTERRUPTED) from None
    except OSError as error:
        # The rest of the buffer cannot be written either; sent to the null device, it does not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise Exit(_NO_READER) from error
        _fail(str(error), 1)
    except Exception as error:
        from statcore.errors import InputError, MissingExtraError, StatcoreError  # noqa: PLC0415 - not for --help

        if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
            error = MissingExtraError(_EXTRAS[error.name], module=error.name)
        if not isinstance(error, StatcoreError):
            raise
        _fail(str(error), 2 if isinstance(error, InputError) else 1)


def _fail(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # nobody reads the message; the exit code remains
        click.echo(f"statcore: {printable(' '.join(message.split()))}", err=True)
    raise Exit(code)


@click.group(
    cls=_Program,
    params=setting_options("statistics_url", "metrics_url", "rate_interval", "disable_plugins", "presets"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
A setting comes from its option; without one, from the environment
(STATCORE_STATISTICS_URL, STATCORE_METRICS_URL, STATCORE_KERNEL_STATISTICS,
STATCORE_RATE_INTERVAL, STATCORE_DISABLE_PLUGINS, STATCORE_PRESETS,
STATCORE_TOKEN_FILE); without that, from the TOML file that --config or
STATCORE_CONFIG names:

\b
    statistics_url = "valkey://127.0.0.1:6379"
    metrics_url = "http://127.0.0.1:9090"
    kernel_statistics = "store"    # or "metrics": see `statcore kernels --help`
    rate_interval = "5m"
    disable_plugins = []
    presets = []    # files, relative to this file; see `statcore preset --help`
    [statistics]    # the store's own options
    [metrics]       # the metric backend's own options

\b
Examples:
    statcore doctor
    statcore sessions --sort -cpu_pct
    statcore kernels 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore query container --metric-name cpu_util --last 1h --format plot

\b
To complete commands, kinds, options, labels and presets in a shell:
    eval "$(_STATCORE_COMPLETE=bash_source statcore)"     # in ~/.bashrc
    eval "$(_STATCORE_COMPLETE=zsh_source statcore)"      # in ~/.zshrc
    _STATCORE_COMPLETE=fish_source statcore | source      # in config.fish

\b
Exit codes: 0 success, 1 the answer is an error, 2 wrong usage or settings,
130 interrupted, 141 the reader of the output closed it.
""",
)
@click.version_option(package_name="statcore", message="%(prog)s %(version)s")
def cli(**_: object) -> None:
    """Live statistics and utilization of a compute cluster."""
