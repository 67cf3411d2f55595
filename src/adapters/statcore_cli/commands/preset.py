"""`statcore preset` and its commands `list`, `show` and `run`, for named queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from click.shell_completion import CompletionItem

from statcore.errors import InputError
from statcore.model.results import MatrixResult, append_instant
from statcore.model.time import QueryTimeRange
from statcore.ports.promql import as_promql
from statcore.promql import MAX_POINTS, fix_range
from statcore.promql.templates import Preset
from statcore.services.presets import PresetService
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import completing, format_option, setting_options
from statcore_cli.event_loop import run
from statcore_cli.output import write, write_matrix
from statcore_cli.settings import errors_prefixed_with
from statcore_cli.standard_output import printable
from statcore_cli.times import PointsInTime, range_options, read_range, read_time, zone_option


def _complete_preset(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    presets = CommandContext.of(ctx).presets().presets
    return [
        CompletionItem(name, help=preset.description) for name, preset in presets.items() if name.startswith(incomplete)
    ]


def _preset_of(ctx: click.Context) -> Preset:
    """Return the preset that the words before the completed one name."""
    # click has not read the arguments of a line whose last option has no value yet.
    return CommandContext.of(ctx).presets().preset(ctx.params["name"] or ctx.args[0])


@click.group(
    params=setting_options("metrics_url", "presets"),
    help="""List named queries, and show what they answer.

    A preset is PromQL with placeholders, which take only the values that the preset allows:

    \b
        ${{ labels }}    the labels to filter by
        ${{ group_by }}  the labels to group by
        ${{ window }}    the window of rates

    Presets come from plugins, and from the TOML files that --presets names.
    """,
    epilog="""\b
A file of presets has one table per preset:

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
    """Group the commands for presets."""


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
    """List the presets and their origins.

    Standard error reports bad presets of a file, and the command then exits with 1; the good presets are listed.

    JSON is {"presets": [{"name", "description", "origin"}]}.
    """
    catalog = CommandContext.of(ctx).presets()
    columns = ("name", "description", "origin")
    rows = [[name, preset.description, catalog.origin(name)] for name, preset in catalog.presets.items()]
    write(output_format, columns, rows, lambda: {"presets": [dict(zip(columns, row, strict=True)) for row in rows]})
    for fault in catalog.faults.values():
        click.echo(f"statcore: {printable(str(fault))}", err=True)
    if catalog.faults:
        ctx.exit(1)


@command.command(
    "show",
    params=[click.Argument(["name"], shell_complete=_complete_preset), *setting_options("presets"), format_option()],
    epilog="""\b
Examples:
    statcore preset show busy-kernels
    statcore preset show busy-kernels --format json
""",
)
@click.pass_context
def show_command(ctx: click.Context, /, name: str, output_format: str, **_: object) -> None:
    """Show the template of a preset, and what it allows.

    `statcore preset run` accepts the listed filter labels and group labels only.

    JSON is {"name", "description", "origin", "filter_labels", "group_labels", "window", "template"}; the window is null
    when the template has no placeholder for it.
    """
    catalog = CommandContext.of(ctx).presets()
    preset = catalog.preset(name)
    fields: dict[str, Any] = {
        "name": preset.name,
        "description": preset.description,
        "origin": catalog.origin(name),
        "filter_labels": preset.filter_labels,
        "group_labels": preset.group_labels,
        "window": preset.default_window,
    }
    template = preset.template.text
    texts = {key: str(value or "") for key, value in fields.items()}
    texts |= {"filter_labels": ", ".join(preset.filter_labels), "group_labels": ", ".join(preset.group_labels)}
    if output_format == "text":
        width = max(map(len, texts))
        for key, text in texts.items():
            click.echo(f"{key.ljust(width)}  {printable(text)}".rstrip())
        click.echo(f"\n{template.strip()}")
        return
    write(output_format, [*texts, "template"], [[*texts.values(), template]], lambda: {**fields, "template": template})


@command.command(
    "run",
    params=[
        click.Argument(["name"], shell_complete=_complete_preset),
        click.Option(
            ["--label", "labels"],
            metavar="LABEL=VALUE",
            multiple=True,
            help="Select series in which the label has this value. Repeat a label to allow several values.",
            shell_complete=completing(lambda ctx: _preset_of(ctx).filter_labels, ending="="),
        ),
        click.Option(
            ["--group-by", "group_labels"],
            metavar="LABEL",
            multiple=True,
            help="Return one series for each value of this label. May be repeated.",
            shell_complete=completing(lambda ctx: _preset_of(ctx).group_labels),
        ),
        click.Option(
            ["--window"], metavar="DURATION", help="The window of rates, for example 5m.  [default: the preset's own]"
        ),
        click.Option(["--at"], metavar="TIME", help="One instant instead of a range, in the forms of --start."),
        *range_options(),
        zone_option(),
        *setting_options("metrics_url", "presets"),
        format_option("plot"),
    ],
    epilog="""\b
Examples:
    statcore preset run busy-kernels
    statcore preset run busy-kernels --label kernel_id=ID1 --label kernel_id=ID2 --group-by kernel_id
    statcore preset run busy-kernels --window 1h --start -1d --step 10m --format csv
    statcore preset run busy-kernels --group-by agent_id --last 1h --format plot
    statcore preset run busy-kernels --at now --format json
""",
)
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    name: str,
    *,
    labels: tuple[str, ...],
    group_labels: tuple[str, ...],
    window: str | None,
    at: str | None,
    local: bool,
    output_format: str,
    **values: Any,  # noqa: ANN401 - what click parsed
) -> None:
    """Show what a preset answers over a time range, or at an instant.

    `statcore preset show NAME` prints the labels that a preset may be filtered and grouped by, and its window.

    JSON is {"series": [{"labels", "timestamps", "values"}], "warnings", "infos", "partial"}, with timestamps in unix
    seconds; other formats give times in RFC 3339, in UTC or with --local in the zone of this machine.
    """
    context = CommandContext.of(ctx)
    now = datetime.now(UTC)
    points = read_range(values, now) if at is None else _instant(at, now, values, output_format)
    filled_in = {"labels": _read_labels(labels), "group_labels": group_labels, "window": window}
    result = run(_query(context, name, points, filled_in, at_instant=at is not None), doing=f"querying the preset {name}")
    write_matrix(output_format, result, points.whole, local=local)


def _instant(at: str, now: datetime, values: Mapping[str, str | None], output_format: str) -> PointsInTime:
    """Return the instant of --at as a range of one point.

    Raises:
        InputError: the instant cannot be read, or an option is given that needs a range.
    """
    if given := [f"--{name}" for name in ("start", "end", "last", "step") if values[name]]:
        raise InputError(f"--at and {given[0]} exclude each other; give one of them")
    if output_format == "plot":
        raise InputError("--at gives one instant, which cannot be plotted; take another --format")
    with errors_prefixed_with("--at"):
        time = read_time(at, now)
    return PointsInTime(QueryTimeRange(start=time, end=time, step="1s"))


def _read_labels(given: Iterable[str]) -> dict[str, Sequence[str]]:
    labels: dict[str, list[str]] = {}
    for text in given:
        label, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--label: expected LABEL=VALUE, not {text!r}")
        labels.setdefault(label, []).append(value)
    return {**labels}


async def _query(
    context: CommandContext, name: str, points: PointsInTime, filled_in: Mapping[str, Any], *, at_instant: bool
) -> MatrixResult:
    catalog = context.presets()
    catalog.preset(name)  # its error names a broken plugin that may have the preset; the service's error does not
    async with context.metrics() as metrics:
        backend = as_promql(metrics, reason=f"{name} is a preset")
        service = PresetService(backend, catalog.presets)
        if at_instant:
            vector = await service.query_preset_now(name, time=points.whole.end, **filled_in)
            return append_instant(MatrixResult(series=()), vector)
        promql = service.promql(name, time_range=points.time_range, **filled_in)
        if points.last is not None:  # start() and end() must mean the same in both queries
            promql = fix_range(promql, points.whole, max_points=MAX_POINTS)
        return await points.query(
            lambda time_range: backend.query_range(promql, time_range), lambda time: backend.query(promql, time=time)
        )
