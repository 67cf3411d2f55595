"""`statcore preset`: named queries; which there are, what they ask, and what they answer."""

from __future__ import annotations

from typing import Any

import click

from statcore_cli.commands.preset_run import run_command
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.session import Session
from statcore_cli.text import printable


@click.group(
    params=setting_options("metrics_url", "presets"),
    epilog="""\b
A file of presets has a table for each:

\b
    [presets.busy-kernels]
    description = "Processor time of kernels, in milliseconds a second"
    template = '''
    sum by (${{ group_by }})(rate(backendai_container_utilization{
      container_metric_name="cpu_util",value_type="current",${{ labels }}
    }[${{ window }}]))'''
    filter_labels = ["kernel_id", "session_id"]
    group_labels = ["kernel_id", "agent_id"]
    window = "5m"

\b
Examples:
    statcore preset list
    statcore preset --presets busy.toml show busy-kernels
    statcore preset run busy-kernels --group-by agent_id --last 1h --format plot
    statcore preset run busy-kernels --at now
""",
)
def command(**_: object) -> None:
    """Show what named queries answer, and which there are.

    A preset is PromQL with places for filters (${{ labels }}), labels to group by (${{ group_by }}) and the window of rates
    (${{ window }}), each of which takes what the preset allows and nothing else. Presets come from plugins, and from the
    TOML files that --presets names.
    """


@command.command(
    "list",
    params=[*setting_options("presets"), format_option()],
    epilog="""\b
Examples:
    statcore preset list
    statcore preset list --presets busy.toml,quiet.toml --format json
""",
)
@click.pass_context
def list_command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """List the presets, and where they come from.

    Exits with 1 when a file has a bad one, which standard error tells; the others are listed.

    JSON is {"presets": [{"name", "description", "origin"}]}.
    """
    catalog = Session.of(ctx).presets()
    columns = ("name", "description", "origin")
    rows = [[name, preset.description, catalog.origin(name)] for name, preset in catalog.presets.items()]
    write(output_format, columns, rows, lambda: {"presets": [dict(zip(columns, row, strict=True)) for row in rows]})
    for fault in catalog.faults.values():
        click.echo(f"statcore: {printable(str(fault))}", err=True)
    if catalog.faults:
        ctx.exit(1)


@command.command(
    "show",
    params=[click.Argument(["name"]), *setting_options("presets"), format_option()],
    epilog="""\b
Examples:
    statcore preset show busy-kernels
    statcore preset show busy-kernels --format json
""",
)
@click.pass_context
def show_command(ctx: click.Context, /, name: str, output_format: str, **_: object) -> None:
    """Show a preset: what it asks, and allows.

    JSON is {"name", "description", "origin", "filter_labels", "group_labels", "window", "template"}; the window is null
    where the template has no place for one.
    """
    catalog = Session.of(ctx).presets()
    preset = catalog.preset(name)
    known: dict[str, Any] = {
        "name": preset.name,
        "description": preset.description,
        "origin": catalog.origin(name),
        "filter_labels": preset.filter_labels,
        "group_labels": preset.group_labels,
        "window": preset.default_window,
    }
    template = preset.template.text
    texts = {key: str(value or "") for key, value in known.items()}
    texts |= {"filter_labels": ", ".join(preset.filter_labels), "group_labels": ", ".join(preset.group_labels)}
    if output_format == "text":
        width = max(map(len, texts))
        for key, text in texts.items():
            click.echo(f"{key.ljust(width)}  {printable(text)}".rstrip())
        click.echo(f"\n{template.strip()}")
        return
    write(output_format, [*texts, "template"], [[*texts.values(), template]], lambda: {**known, "template": template})


command.add_command(run_command)
