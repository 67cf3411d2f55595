"""`statcore query NAME`: utilization over a time range, of any kind of object that a plugin knows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from statcore.model.matrix import MatrixResult
from statcore.model.response import format_sample_value
from statcore.model.time_range import QueryTimeRange
from statcore.plugins.contributions import QuerierSpec
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore_cli.chart import draw
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.querier_commands import QuerierGroup, QuerierOptions, flags
from statcore_cli.session import Session, run
from statcore_cli.text import printable
from statcore_cli.times import format_time, range_options, read_range


def _build(spec: QuerierSpec) -> click.Command:
    own = [*range_options(), *setting_options("metrics_url", "rate_interval"), format_option("plot")]
    options = QuerierOptions(spec, flags(own))

    def answer(output_format: str, **values: Any) -> None:  # noqa: ANN401 - what click parsed
        session = Session.of(click.get_current_context())
        time_range = read_range(values, datetime.now(UTC))
        result = run(_query(session, options.build(values), time_range), doing=f"querying {spec.name}")
        _print(result, output_format, time_range)

    return click.Command(
        spec.name,
        params=[*options.params(), *own],
        callback=answer,
        help=f"Show the utilization of {spec.summary}.",
        epilog=f"""\b
Examples:
    statcore query {options.usage()}
    statcore query {options.usage()} --last 1h --format plot
    statcore query {options.usage()} --start -2h --end -1h --step 1m --format csv
""",
    )


async def _query(session: Session, querier: UtilizationMetricQuerier, time_range: QueryTimeRange) -> MatrixResult:
    async with session.metrics() as backend:
        return await backend.query_utilization(querier, time_range, rate_interval=session.settings.rate_interval.value)


def _print(result: MatrixResult, output_format: str, time_range: QueryTimeRange) -> None:
    if output_format == "plot":
        width = shutil.get_terminal_size().columns
        for series in result.series:
            click.echo(_title(series.labels))
            click.echo(draw(series, time_range, width=width))
    else:
        labels = list(dict.fromkeys(label for series in result.series for label in series.labels))
        write(output_format, [*labels, "time", "value"], _rows(result, labels), lambda: _document(result))
    if output_format != "json":
        for note in _notes(result):
            click.echo(f"statcore: {printable(note)}", err=True)


def _title(labels: Any) -> str:  # noqa: ANN401
    return printable(", ".join(f"{label}={value}" for label, value in labels.items()) or "all")


def _rows(result: MatrixResult, labels: list[str]) -> Iterator[list[str]]:
    for series in result.series:
        owned = [series.labels.get(label, "") for label in labels]
        for time, value in zip(series.timestamps, series.values, strict=True):
            yield [*owned, format_time(time), format_sample_value(value)]


def _document(result: MatrixResult) -> dict[str, Any]:
    return {
        "series": result.to_json(),
        "warnings": result.warnings,
        "infos": result.infos,
        "partial": result.partial,
    }


def _notes(result: MatrixResult) -> Iterator[str]:
    if not result.series:
        yield "no series: nothing matches, or there are no samples in this time range"
    if result.partial:
        yield "the answer is partial: the backend could not read all of its data"
    yield from (f"warning: {warning}" for warning in result.warnings)
    yield from (f"info: {info}" for info in result.infos)


command = QuerierGroup(
    build=_build,
    name="query",
    help="""Show utilization over a time range.

    Every kind of object that a plugin knows is a command with options of its own: statcore query NAME --help.

    JSON is {"series": [{"labels", "timestamps", "values"}], "warnings", "infos", "partial"}, with timestamps in unix
    seconds; other formats give times in RFC 3339, in UTC.
    """,
    epilog="""\b
Examples:
    statcore query container --metric-name cpu_util --last 1h --format plot
    statcore query container --metric-name mem --value-type capacity --format json
""",
    params=setting_options("metrics_url", "rate_interval"),
)
