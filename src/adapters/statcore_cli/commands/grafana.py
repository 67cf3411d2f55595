"""`statcore grafana`: a dashboard of every kind of querier and every preset."""

from __future__ import annotations

import json
from pathlib import Path

import click

from statcore.errors import MissingExtraError
from statcore.promql.templates import Preset
from statcore_cli.command_line import setting_options
from statcore_cli.exports.dashboard import Dashboard
from statcore_cli.exports.export import Export, export_options
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

    The backend of --metrics-url says which metrics exist. Without it, the plugins name the metrics.

    A scope is in every query of the dashboard. Whoever may edit the dashboard or query the data source can read more.

    Exits with 1 if a query or a preset is left out because it is broken. The rest is written.
    """
    export = Export.of(ctx, scope=scope)
    queries = export.queries_by_kind()
    presets = _presets(export)
    with plugin_code():
        dashboard = Dashboard(
            queries=queries,
            presets=presets,
            matchers=export.matchers,
            normalization_interval_s=export.context.settings.normalization_interval_s,
            on_fault=export.leave_out_broken,
        ).to_json()
    ctx.exit(export.write(f"{json.dumps(dashboard, indent=2)}\n", output))


def _presets(export: Export) -> list[Preset]:
    """Return the presets; within a scope without those that read the series of all owners."""
    try:
        catalog = export.context.presets()
    except MissingExtraError:
        if export.context.settings.presets:
            raise
        return []  # without the extra, no plugin has presets
    for name, fault in catalog.faults.items():
        export.leave_out_broken(f"the preset {name}", fault)
    presets: list[Preset] = []
    for preset in catalog.presets.values():
        if export.matchers and preset.template.unconfined is not None:
            export.leave_out(f"the preset {preset.name}", "one of its selectors has no ${{ labels }} for the scope")
        else:
            presets.append(preset)
    return presets
