"""`statcore rules`: recording rules for the queries that cost a server much."""

from __future__ import annotations

from pathlib import Path

import click

from statcore_cli.command_line import setting_options
from statcore_cli.exports.export import Export, export_options
from statcore_cli.exports.recording_rules import RecordingRules, rules_file
from statcore_cli.standard_output import plugin_code


@click.command(
    params=[*export_options(), *setting_options("metrics_url", "rate_interval", "disable_plugins")],
    epilog="""\b
Examples:
    statcore rules --output statcore.rules.yml
    statcore rules --rate-interval 2m | promtool check rules
    statcore rules --scope project_id=9f2c5b1e-7a64-4d3b-8c1f-2e6a0d4b7c35
""",
)
@click.pass_context
def command(ctx: click.Context, /, scope: tuple[str, ...], output: Path | None, **_: object) -> None:
    """Write recording rules of Prometheus for percentages, rates and other heavy queries, per owner.

    A rule is named LEVEL:METRIC:OPERATIONS, such as `project_id:container_cpu_util_current:rate5m`: the labels that its
    series keep, the kind with its metric, and what is computed. Name the file under rule_files in prometheus.yml.

    The backend of --metrics-url says which metrics exist. Without it, the plugins name the metrics.

    A scope is in every query, and its labels are kept in the recorded series.

    Exits with 1 if a query or a rule is left out because it is broken. The others are written.
    """
    export = Export.of(ctx, scope=scope)
    settings = export.context.settings
    queries = export.queries_by_kind()
    with plugin_code():
        rules = RecordingRules(
            queries=queries,
            matchers=export.matchers,
            rate_interval=settings.rate_interval.value,
            normalization_interval_s=settings.normalization_interval_s,
            on_fault=export.leave_out_broken,
        ).by_kind()
    ctx.exit(export.write(rules_file(rules), output))
