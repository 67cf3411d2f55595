"""`statcore preset run NAME`: what a named query answers over a time range, or at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from statcore.errors import InputError
from statcore.model.results import MatrixResult, append_instant
from statcore.model.time import QueryTimeRange
from statcore.ports.promql import as_promql
from statcore.promql import MAX_POINTS, fix_range
from statcore.services.presets import PresetService
from statcore_cli.matrix_output import write_matrix
from statcore_cli.options import format_option, setting_options
from statcore_cli.session import Session, run
from statcore_cli.settings import naming
from statcore_cli.times import PointsInTime, range_options, read_range, read_time


@click.command(
    "run",
    params=[
        click.Argument(["name"]),
        click.Option(
            ["--label", "labels"],
            metavar="LABEL=VALUE",
            multiple=True,
            help="Only series whose label has this value; the same label again: or this one.",
        ),
        click.Option(["--group-by", "group_labels"], metavar="LABEL", multiple=True, help="A series for each value of it."),
        click.Option(["--window"], metavar="DURATION", help="The window, for example 5m.  [default: the preset's own]"),
        click.Option(["--at"], metavar="TIME", help="Instead of a range: one instant, in the forms of --start."),
        *range_options(),
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
    output_format: str,
    **values: Any,  # noqa: ANN401 - what click parsed
) -> None:
    """Show what a preset answers over a time range, or at an instant.

    Which labels it can be filtered and grouped by, and its window, tells: statcore preset show NAME.

    JSON is {"series": [{"labels", "timestamps", "values"}], "warnings", "infos", "partial"}, with timestamps in unix
    seconds; other formats give times in RFC 3339, in UTC.
    """
    session = Session.of(ctx)
    now = datetime.now(UTC)
    points = read_range(values, now) if at is None else _instant(at, now, values, output_format)
    filled_in = {"labels": _read_labels(labels), "group_labels": group_labels, "window": window}
    result = run(_ask(session, name, points, filled_in, at_instant=at is not None), doing=f"asking the preset {name}")
    write_matrix(output_format, result, points.whole)


def _instant(at: str, now: datetime, values: Mapping[str, str | None], output_format: str) -> PointsInTime:
    """Return the instant as a range of one point."""
    if given := [f"--{name}" for name in ("start", "end", "last", "step") if values[name]]:
        raise InputError(f"--at and {given[0]} exclude each other")
    if output_format == "plot":
        raise InputError("--at gives one instant, of which there is no plot; take another --format")
    with naming("--at"):
        time = read_time(at, now)
    return PointsInTime(QueryTimeRange(start=time, end=time, step="1s"))


def _read_labels(given: Iterable[str]) -> dict[str, Sequence[str]]:
    labels: dict[str, list[str]] = {}
    for one in given:
        label, equals, value = one.partition("=")
        if not equals:
            raise InputError(f"--label: expected LABEL=VALUE, not {one!r}")
        labels.setdefault(label, []).append(value)
    return {**labels}


async def _ask(
    session: Session, name: str, points: PointsInTime, filled_in: Mapping[str, Any], *, at_instant: bool
) -> MatrixResult:
    catalog = session.presets()
    catalog.preset(name)  # whose error knows which broken plugin may have it
    async with session.metrics() as metrics:
        backend = as_promql(metrics, wanted_by=f"{name} is a preset")
        service = PresetService(backend, catalog.presets)
        if at_instant:
            vector = await service.query_preset_now(name, time=points.whole.end, **filled_in)
            return append_instant(MatrixResult(series=()), vector)
        promql = service.promql(name, time_range=points.time_range, **filled_in)
        if points.last is not None:  # and so is asked for apart, where start() and end() must mean the same
            promql = fix_range(promql, points.whole, max_points=MAX_POINTS)
        return await points.ask(
            lambda time_range: backend.query_range(promql, time_range), lambda time: backend.query(promql, time=time)
        )
