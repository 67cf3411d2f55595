"""`statcore grafana`: a dashboard of every kind of querier and every preset."""

from __future__ import annotations

import json
from pathlib import Path

import click

from statcore.errors import MissingExtraError
from statcore.promql.templates import Preset
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.exports.command_options import export_options, queries_by_kind, remark, scope_matchers, write_export
from statcore_cli.exports.dashboard import Dashboard
from statcore_cli.standard_output import plugin_code


@click.command(
    params=[*export_options(), *setting_options("metrics_url", "disable_plugins", "presets")],
    epilog="""\b
Examples:
    statcore grafana --output statcore.json
    statcore grafana --presets busy.toml --metrics-url http://127.0.0.1:9090 > statcore.json
    statcore grafana --scope project_id=9f2c5b1e-7a64-4d3b-8c1f-2e6a0d4b7c35 --output project.json
""",
)
@click.pass_context
def command(ctx: click.Context, /, scope: tuple[str, ...], output: Path | None, **_: object) -> None:
    """Write a Grafana dashboard with the queries of every kind and preset.

    Each kind has a row, with a panel for each metric. The dashboard has variables for the data source, for the labels that
    a kind can be filtered by, and for the labels to group by.

    With --metrics-url, the metrics are those that the backend has. Otherwise they are those that the plugins name.

    A scope is in every query of the dashboard. Whoever may edit the dashboard or query the data source can read more.
    """
    context = CommandContext.of(ctx)
    matchers = scope_matchers(scope)
    queries = queries_by_kind(context)
    presets = _presets(context, is_scoped=bool(matchers))
    with plugin_code():
        dashboard = Dashboard(
            queries=queries,
            presets=presets,
            matchers=matchers,
            normalization_interval_s=context.settings.normalization_interval_s,
        ).to_json()
    write_export(f"{json.dumps(dashboard, indent=2)}\n", output)


def _presets(context: CommandContext, *, is_scoped: bool) -> list[Preset]:
    """Return the presets; within a scope without those that read the series of all owners."""
    try:
        catalog = context.presets()
    except MissingExtraError:
        if context.settings.presets:
            raise
        return []  # without the extra, no plugin has presets
    for name, fault in catalog.faults.items():
        remark(f"the preset {name} is left out: {fault}")
    presets: list[Preset] = []
    for preset in catalog.presets.values():
        if is_scoped and preset.template.unconfined is not None:
            remark(f"the preset {preset.name} is left out: one of its selectors has no ${{{{ labels }}}} for the scope")
        else:
            presets.append(preset)
    return presets
