"""`statcore plugins`: what is installed, what it offers, and what is wrong with it; `new` starts another one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

import attrs
import click

from statcore_cli.groups import LazyGroup
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.session import Session

_COLUMNS = ("name", "distribution", "version", "status", "offers", "error", "remedy")
_NEW: Final = "new"


class _Plugins(LazyGroup):
    """Lists, unless a command is given."""

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return the one command."""
        del ctx
        return {_NEW: "Write a project for a plugin of your own."}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        return (
            cast("click.Command", import_module("statcore_cli.commands.plugins_new").command) if cmd_name == _NEW else None
        )


@click.group(
    cls=_Plugins,
    invoke_without_command=True,
    params=[*setting_options("disable_plugins"), format_option()],
    epilog="""\b
Examples:
    statcore plugins
    statcore plugins --format json
    STATCORE_DISABLE_PLUGINS=rack,tape-library statcore plugins
    statcore plugins new rack
    statcore plugins new --store attic
""",
)
@click.pass_context
def command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """List the plugins, what they offer, and what is wrong with the broken ones.

    Tries each kind of querier once, with the example of its spec or the defaults of its fields, and looks at how stores and
    backends are opened, without opening any. Exits with 1 when a plugin is broken or rejected.

    JSON is {"plugins": [{"name", "distribution", "version", "status", "offers", "error", "remedy"}]}.
    """
    if ctx.invoked_subcommand is not None:
        ctx.default_map = {ctx.invoked_subcommand: {"output_format": output_format}}
        return
    reports = Session.of(ctx, trial=True).registry.reports
    rows = [
        [r.name, r.distribution, r.version, r.status.value, ", ".join(r.offers), r.error or "", r.remedy or ""]
        for r in reports
    ]
    write(output_format, _COLUMNS, rows, lambda: {"plugins": [attrs.asdict(report) for report in reports]})
    if any(report.status.is_fault for report in reports):
        ctx.exit(1)
