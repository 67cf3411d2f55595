"""Printing the answer to a query over a time range: a row for each sample, JSON, or a chart for each series."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, Final

import click

from statcore.model.numbers import format_sample_value
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore_cli.chart import draw
from statcore_cli.output import write
from statcore_cli.text import printable
from statcore_cli.times import format_time

_OWN: Final = ("time", "value")
"""The columns that are no labels."""


def write_matrix(output_format: str, result: MatrixResult, time_range: QueryTimeRange) -> None:
    """Print an answer in the format asked for; JSON has the backend's remarks, all else has them on standard error."""
    if output_format == "plot":
        width = shutil.get_terminal_size().columns
        for series in result.series:
            click.echo(_title(series.labels))
            click.echo(draw(series, time_range, width=width))
    else:
        labels = list(dict.fromkeys(label for series in result.series for label in series.labels))
        write(output_format, [*_headers(labels), *_OWN], _rows(result, labels), lambda: _document(result))
    if output_format != "json":
        for note in _notes(result):
            click.echo(f"statcore: {printable(note)}", err=True)


def _title(labels: Any) -> str:  # noqa: ANN401
    return printable(", ".join(f"{label}={value}" for label, value in labels.items()) or "all")


def _headers(labels: list[str]) -> Iterator[str]:
    for label in labels:
        header = label
        while header in _OWN or (header != label and header in labels):
            header = f"exported_{header}"  # what Prometheus calls a label whose name is taken
        yield header


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
        yield "no series: nothing matches, or there are no samples near any point of this time range"
    if result.partial:
        yield "the answer is partial: the backend could not read all of its data"
    yield from (f"warning: {warning}" for warning in result.warnings)
    yield from (f"info: {info}" for info in result.infos)
