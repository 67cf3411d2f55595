"""The program: its commands, and what becomes of errors.

To add a command: a file `commands/NAME.py` that defines the click command `command`, and a line in `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NoReturn, cast

import click
from click.exceptions import Exit

from statcore_cli.groups import LazyGroup
from statcore_cli.options import setting_options

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "Show it all at work on this machine, with no server at all.",
    "collect": "Collect process trees and this node, as an agent does.",
    "kernels": "Show the live statistics of kernels or sessions.",
    "query": "Show utilization over a time range.",
    "promql": "Print the PromQL text that a query sends.",
    "preset": "Show what named queries answer, and which there are.",
    "metrics": "List the metrics that a kind of object has.",
    "plugins": "List the plugins and what they offer; start a new one.",
    "doctor": "Check configuration, plugins, store and backend.",
}
_EXTRAS: Final = {"plotille": "cli", "rich": "cli", "prometheus_client": "collector", "psutil": "collector"}
_INTERRUPTED: Final = 130
_NO_READER: Final = 141


class _Program(LazyGroup):
    """Turns every error into a line on standard error and an exit code."""

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return the commands."""
        del ctx
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", import_module(f"statcore_cli.commands.{cmd_name}").command)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        """Read the options before the command; it is here that the program's own help and version are printed."""
        with _errors_as_lines():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command that was asked for."""
        with _errors_as_lines():
            return super().invoke(ctx)


@contextmanager
def _errors_as_lines() -> Generator[None]:
    try:
        try:
            yield
        finally:  # also where a command ends with a code of its own: at exit it would be too late to say that it failed
            sys.stdout.flush()
    except Exit:
        raise
    except KeyboardInterrupt:
        raise Exit(_INTERRUPTED) from None
    except OSError as error:
        # What is still in the buffer cannot be written either, and must not fail once more at exit.
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
    from statcore_cli.text import printable  # noqa: PLC0415 - not for --help

    try:
        click.echo(f"statcore: {printable(' '.join(message.split()))}", err=True)
    except OSError:  # nobody reads it; the code tells all the same, and what is in the buffer must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    raise Exit(code)


@click.group(
    cls=_Program,
    params=setting_options("statistics_url", "metrics_url", "rate_interval", "disable_plugins", "presets"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Settings come from options, else from the environment (STATCORE_STATISTICS_URL,
STATCORE_METRICS_URL, STATCORE_KERNEL_STATISTICS, STATCORE_RATE_INTERVAL,
STATCORE_DISABLE_PLUGINS, STATCORE_PRESETS), else from the TOML file that
--config or STATCORE_CONFIG names:

\b
    statistics_url = "valkey://127.0.0.1:6379"
    metrics_url = "http://127.0.0.1:9090"
    kernel_statistics = "store"    # or "metrics": see `statcore kernels --help`
    rate_interval = "5m"
    disable_plugins = []
    presets = []    # files, relative to this one; see `statcore preset --help`
    [statistics]    # the store's own options
    [metrics]       # the metric backend's own options

\b
Examples:
    statcore doctor
    statcore kernels 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore query container --metric-name cpu_util --last 1h --format plot

\b
Exit codes: 0 fine, 1 the answer is an error, 2 wrong usage or settings,
130 interrupted, 141 the reader of the output has gone.
""",
)
@click.version_option(package_name="statcore", message="%(prog)s %(version)s")
def cli(**_: object) -> None:
    """Live statistics and utilization of a compute cluster."""
