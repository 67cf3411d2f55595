"""What the commands that write exports share: their options, the queries of all kinds, what is left out, and the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs
import click

from statcore.errors import InputError, PluginError, UnsupportedError
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore.queriers.matcher import Matchers
from statcore.scopes.scope import Scope
from statcore_cli.command_context import CommandContext
from statcore_cli.event_loop import run
from statcore_cli.exports.queries import ExportedQuery, exported_queries, known_metrics
from statcore_cli.scope_option import read_scope, scope_option
from statcore_cli.standard_output import plugin_code, printable


def export_options() -> list[click.Parameter]:
    """Return the options `--scope` and `--output`."""
    return [
        scope_option("Confine every query to series with this label. Repeat a label to allow several values."),
        click.Option(
            ["--output"],
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The file to write.  [default: standard output]",
        ),
    ]


@attrs.define(kw_only=True)
class Export:
    """An export while a command makes it. Standard error says what is left out.

    Args:
        context: the context of the command.
        matchers: the matchers of the scope, none without a scope.
        has_faults: whether something is left out because it is broken.
    """

    context: CommandContext
    matchers: Matchers
    has_faults: bool

    @classmethod
    def of(cls, ctx: click.Context, *, scope: Sequence[str]) -> Self:
        """Return an empty export of a command with these values of `--scope`.

        Raises:
            InputError: a setting cannot be used, or a text is not LABEL=VALUE with a label and a value of a scope.
        """
        (matchers,) = (read_scope(scope) if scope else Scope.everything()).matchers
        context = CommandContext.of(ctx)
        # What a broken plugin would contribute is left out; a warning has named the plugin already.
        has_faults = any(report.status.is_fault for report in context.registry.reports)
        return cls(context=context, matchers=matchers, has_faults=has_faults)

    def leave_out(self, what: str, why: object) -> None:
        """Say that something is left out, and why; that is no fault."""
        click.echo(printable(f"statcore: {what} is left out: {why}"), err=True)

    def leave_out_broken(self, what: str, why: object) -> None:
        """Say that something is left out because it is broken; the command exits with 1 in the end."""
        self.has_faults = True
        self.leave_out(what, why)

    def queries_by_kind(self) -> Mapping[str, Sequence[ExportedQuery]]:
        """Return the queries of each kind that has any.

        If a metric backend is configured, the metrics of a kind that names a series for them are those of the backend.

        Raises:
            InputError: the configured backend cannot be opened.
            StatcoreError: the configured backend failed.
        """
        found: dict[str, Sequence[ExportedQuery]] = {}
        for name, spec in self.context.registry.queriers.items():
            listed = None
            if self.context.settings.metrics_url is not None and spec.series is not None and spec.metric_label is not None:
                listed = run(self._listed(spec), doing=f"listing the metrics of {name}")
            try:
                with plugin_code():
                    queries = list(exported_queries(spec, known_metrics(spec) if listed is None else listed))
            except UnsupportedError as error:
                self.leave_out(name, error)
            except PluginError as error:
                self.leave_out_broken(name, error)
            else:
                if queries:
                    found[name] = queries
                else:
                    self.leave_out(name, "none of its metrics is known; configure a metric backend that has them")
        return found

    def write(self, text: str, output: Path | None) -> int:
        """Write the text to a file or to standard output, and return the exit status: 1 if something broken is left out.

        Raises:
            InputError: the file cannot be written.
        """
        if output is None:
            click.echo(text, nl=False)
        else:
            try:
                output.write_text(text, encoding="utf-8")
            except OSError as error:
                raise InputError(f"--output: cannot write {output}: {error.strerror}") from error
        return int(self.has_faults)

    async def _listed(self, spec: QuerierSpec) -> list[str]:
        async with self.context.metrics() as metrics:
            return await metric_names(metrics, spec)
