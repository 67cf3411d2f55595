"""`statcore query NAME`: utilization over a time range, for every kind of object that a plugin knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from statcore.model.results import MatrixResult
from statcore.plugins.hooks import QuerierSpec
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import format_option, setting_options
from statcore_cli.event_loop import run
from statcore_cli.output import write_matrix
from statcore_cli.querier_commands import QuerierGroup, QuerierOptions, flags, group_by_option
from statcore_cli.standard_output import printable
from statcore_cli.times import PointsInTime, range_options, read_range, zone_option


def _build(spec: QuerierSpec) -> click.Command:
    own = [
        group_by_option(),
        *range_options(),
        zone_option(),
        *setting_options("metrics_url", "rate_interval"),
        format_option("plot"),
    ]
    options = QuerierOptions(spec, flags(own))

    def answer(output_format: str, *, local: bool, **values: Any) -> None:  # noqa: ANN401 - what click parsed
        context = CommandContext.of(click.get_current_context())
        points = read_range(values, datetime.now(UTC))
        querier, unit = options.build(values)
        result = run(_query(context, querier, points), doing=f"querying {spec.name}")
        write_matrix(output_format, result, points.whole, unit=unit, local=local)
        known = {label for series in result.series for label in series.labels}
        if result.series and (unknown := [label for label in values["group_by"] if label not in known]):
            click.echo(f"statcore: no series has a label {' or '.join(map(printable, unknown))} to group by", err=True)

    return click.Command(
        spec.name,
        params=[*options.params(), *own],
        callback=answer,
        help=f"Show utilization: {spec.summary}.",
        epilog=f"""\b
Examples:
    statcore query {options.usage()}
    statcore query {options.usage()} --last 1h --format plot
    statcore query {options.usage()} --group-by kernel_id
    statcore query {options.usage()} --start -2h --end -1h --step 1m --format csv
""",
    )


async def _query(context: CommandContext, querier: UtilizationMetricQuerier, points: PointsInTime) -> MatrixResult:
    window = context.settings.rate_interval.value
    async with context.metrics() as backend:
        return await points.query(
            lambda time_range: backend.query_utilization(querier, time_range, rate_interval=window),
            lambda time: backend.query_utilization_now(querier, time=time, rate_interval=window),
        )


command = QuerierGroup(
    build=_build,
    name="query",
    help="""Show utilization over a time range.

    Each kind of object has a command with its own options: see statcore query NAME --help.

    JSON is {"series": [{"labels", "timestamps", "values"}], "warnings", "infos", "partial"}, with timestamps in unix
    seconds; other formats give times in RFC 3339, in UTC or with --local in the zone of this machine.
    """,
    epilog="""\b
Examples:
    statcore query container --metric-name cpu_util --last 1h --format plot
    statcore query container --metric-name mem --value-type capacity --format json
""",
    params=setting_options("metrics_url", "rate_interval"),
)
