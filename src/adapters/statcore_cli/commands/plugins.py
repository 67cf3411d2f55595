"""`statcore plugins`: what is installed, what it offers, and what is wrong with it."""

from __future__ import annotations

import attrs
import click

from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.session import Session

_COLUMNS = ("name", "distribution", "version", "status", "offers", "error", "remedy")


@click.command(
    params=[*setting_options("disable_plugins"), format_option()],
    epilog="""\b
Examples:
    statcore plugins
    statcore plugins --format json
    STATCORE_DISABLE_PLUGINS=node,agent statcore plugins
""",
)
@click.pass_context
def command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """List the plugins, what they offer, and what is wrong with the broken ones.

    Exits with 1 when a plugin is broken or rejected.

    JSON is {"plugins": [{"name", "distribution", "version", "status", "offers", "error", "remedy"}]}.
    """
    reports = Session.of(ctx).registry.reports
    rows = [
        [r.name, r.distribution, r.version, r.status.value, ", ".join(r.offers), r.error or "", r.remedy or ""]
        for r in reports
    ]
    write(output_format, _COLUMNS, rows, lambda: {"plugins": [attrs.asdict(report) for report in reports]})
    if any(report.status.is_fault for report in reports):
        ctx.exit(1)
