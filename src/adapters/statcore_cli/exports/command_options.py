"""What the commands that write exports share: their options, the queries of all kinds, and where the text goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from statcore.errors import InputError, PluginError
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore.queriers.container import OWNER_LABELS
from statcore.queriers.matcher import Matchers
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import completing
from statcore_cli.event_loop import run
from statcore_cli.exports.queries import ExportedQuery, exported_queries, known_metrics, read_scope
from statcore_cli.standard_output import plugin_code, printable


def export_options() -> list[click.Parameter]:
    """Return the options `--scope` and `--output`."""
    return [
        click.Option(
            ["--scope"],
            metavar="LABEL=VALUE",
            multiple=True,
            help="Confine every query to series with this label. Repeat a label to allow several values.",
            shell_complete=completing(lambda _: OWNER_LABELS, ending="="),
        ),
        click.Option(
            ["--output"],
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The file to write.  [default: standard output]",
        ),
    ]


def scope_matchers(given: Sequence[str]) -> Matchers:
    """Return the matchers of the scope that `--scope` names; none without a scope.

    Raises:
        InputError: a text is not LABEL=VALUE, or not a label and a value of a scope.
    """
    (matchers,) = read_scope(given).matchers
    return matchers


def queries_by_kind(context: CommandContext) -> Mapping[str, Sequence[ExportedQuery]]:
    """Return the queries of each kind that has any; standard error says which kinds are left out, and why.

    If a metric backend is configured, the metrics of a kind that names a series for them are those of the backend.

    Raises:
        InputError: the configured backend cannot be opened.
        StatcoreError: the configured backend failed.
    """
    found: dict[str, Sequence[ExportedQuery]] = {}
    for name, spec in context.registry.queriers.items():
        listed = None
        if context.settings.metrics_url is not None and spec.series is not None and spec.metric_label is not None:
            listed = run(_listed(context, spec), doing=f"listing the metrics of {name}")
        try:
            with plugin_code():
                queries = list(exported_queries(spec, known_metrics(spec) if listed is None else listed))
        except PluginError as error:
            remark(f"{name} is left out: {error}")
            continue
        if queries:
            found[name] = queries
        else:
            remark(f"{name} is left out: none of its metrics is known; configure a metric backend that has them")
    return found


def remark(text: str) -> None:
    """Print a remark on standard error."""
    click.echo(f"statcore: {printable(text)}", err=True)


def write_export(text: str, output: Path | None) -> None:
    """Write the text of an export to a file or to standard output.

    Raises:
        InputError: the file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output: cannot write {output}: {error.strerror}") from error


async def _listed(context: CommandContext, spec: QuerierSpec) -> list[str]:
    async with context.metrics() as metrics:
        return await metric_names(metrics, spec)
