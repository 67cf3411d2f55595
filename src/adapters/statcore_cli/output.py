"""How answers are printed: as a table for people, as CSV or JSON for programs, samples over time also as a chart."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from statcore.model.numbers import format_sample_value
from statcore.model.results import AnswerNotes, MatrixResult, Series
from statcore.model.statistics import MAX_LEVELS, json_value
from statcore.model.time import QueryTimeRange
from statcore_cli.standard_output import printable
from statcore_cli.times import format_time

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

Row: TypeAlias = Sequence[str]

_SAMPLE_COLUMNS: Final = ("time", "value")
_NUMBER: Final = re.compile(r"(^|(?<= ))[\d.]+( \S+)?$")
"""A number at the end of a text, with or without its unit."""
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
_INDENT: Final = "  "
_NARROW_TEXT: Final = 20
"""The columns that folded text has at least, where even a table without the droppable columns is too wide."""
_CHART_HEIGHT: Final = 12
_AXES_WIDTH: Final = 24
"""Columns that the axes and their labels take."""
_MAX_GAP_STEPS: Final = 1.5
"""How many steps two samples may be apart to be joined by a line."""
_LEAST_WITH_EXPONENT: Final = 1e21
"""The smallest size or percentage that is written with an exponent."""
_MAX_DOCUMENT_LEVELS: Final = 2 * MAX_LEVELS
"""How deeply a document may be nested: an entry may have `MAX_LEVELS` levels, and the document has a few around it."""


def write(output_format: str, columns: Row, rows: Iterable[Row], document: Callable[[], Mapping[str, Any]]) -> None:
    """Print an answer.

    Args:
        output_format: "json" prints `document()`, "csv" and "text" print `rows`.
        columns: the headers of the rows.
        rows: the cells of each row as text.
        document: makes the JSON document; called for that format only.
    """
    if output_format == "json":
        write_json(document())
    elif output_format == "csv":
        write_csv(columns, rows)
    else:
        write_table(columns, rows)


def write_table(columns: Row, rows: Iterable[Row], *, droppable: Row = ()) -> None:
    """Print a table without the columns that have only empty cells.

    On a terminal the table fits its width; where the terminal is too narrow for a table, each row is a few lines. In a pipe
    columns are aligned and as wide as their longest cell.

    Args:
        columns: the headers.
        rows: the cells of each row as text.
        droppable: the columns that a narrow terminal leaves out, the least important first; standard error names them.
    """
    columns, safe = _without_empty_columns(columns, rows)
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - slow to import, and only terminals need it

        console = Console()
        shown, dropped = _fitting(columns, safe, console, droppable)
        console.print(shown)
        if dropped:
            click.echo(f"statcore: the terminal is too narrow for {', '.join(dropped)}", err=True)
        return
    lines = [[column.upper() for column in columns], *safe]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def screen_table(columns: Row, rows: Iterable[Row], console: Console, *, droppable: Row = ()) -> RenderableType:
    """Return what `write_table` prints on a terminal."""
    return _fitting(*_without_empty_columns(columns, rows), console, droppable)[0]


def fits(table: Table, console: Console) -> bool:
    """Return whether a terminal has room for a table without cutting anything off."""
    return console.measure(table, options=console.options.update(width=sys.maxsize)).minimum <= console.width


def screen_rows(draw: Callable[[int], RenderableType], count: int, console: Console) -> RenderableType:
    """Return what a function draws of the first rows, as many of them as the lines of a terminal have room for.

    One line stays free, for what is put above an answer during an outage.

    Args:
        draw: takes a number of rows, and draws them and what stands above them.
        count: how many rows there are.
        console: the terminal.
    """
    drawn = draw(count)
    while count and (excess := len(console.render_lines(drawn, pad=False)) + 1 - console.height) > 0:
        count = max(count - excess, 0)
        drawn = draw(count)
    return drawn


def _without_empty_columns(columns: Row, rows: Iterable[Row]) -> tuple[Row, list[Row]]:
    safe = [[printable(cell) for cell in row] for row in rows]
    used = [not safe or any(row[column] for row in safe) for column in range(len(columns))]
    return list(compress(columns, used)), [list(compress(row, used)) for row in safe]


def _fitting(columns: Row, rows: Sequence[Row], console: Console, droppable: Row) -> tuple[RenderableType, list[str]]:
    """Return a table that fits the terminal, or else lines for each row, and the columns that are left out."""
    present = [name for name in droppable if name in columns]
    for count in range(len(present) + 1):
        table = _table(columns, rows, dropped=present[:count])
        if fits(table, console):
            return table, present[:count]
    narrowest = _table(columns, rows, dropped=present, widest_text=_NARROW_TEXT)
    if droppable and fits(narrowest, console):
        return narrowest, present
    return _lines(columns, rows, console.width), []


def _lines(columns: Row, rows: Sequence[Row], width: int) -> Text:
    """Return each row as its first cell, and below it the other cells with their headers, folded to the width."""
    from rich.text import Text  # noqa: PLC0415

    lines: list[str] = []
    for first, *cells in rows:
        pairs = [f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell]
        joined = ", ".join(pair.replace(" ", _NO_BREAK) if _NUMBER.search(pair) else pair for pair in pairs)
        folded = wrap(joined, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
        lines += [first or "-", *(line.replace(_NO_BREAK, " ") for line in folded)]
    return Text("\n".join(lines))


def _table(columns: Row, rows: Sequence[Row], *, dropped: Row, widest_text: int | None = None) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    kept = [column not in dropped for column in columns]
    rows = [list(compress(row, kept)) for row in rows]
    table = Table(box=box.SIMPLE_HEAD)
    for position, column in enumerate(compress(columns, kept)):
        # Ids and numbers stay on one line so that they can be copied; only columns with sentences are folded.
        cells = [row[position] for row in rows]
        folds = any(" " in cell and not _NUMBER.match(cell) for cell in cells)
        table.add_column(
            column,
            overflow="fold",
            no_wrap=not folds,
            justify="right" if all(map(_NUMBER.match, filter(None, cells))) else "left",
            min_width=None if folds else max(map(cell_len, [column, *cells])),
            max_width=widest_text if folds else None,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def percent_cell(value_pct: float) -> str:
    """Return a percentage for people."""
    return f"{value_pct:.1f} %" if abs(value_pct) < _LEAST_WITH_EXPONENT else f"{value_pct:.3g} %"


def size_cell(size_bytes: float) -> str:
    """Return an amount of bytes for people."""
    from rich.filesize import decimal  # noqa: PLC0415

    if abs(size_bytes) >= _LEAST_WITH_EXPONENT:
        return f"{size_bytes:.3g} B"
    whole_bytes = int(size_bytes)
    return f"{'-' if whole_bytes < 0 else ''}{decimal(abs(whole_bytes))}"  # rich gives negative sizes no unit


def write_csv(columns: Row, rows: Iterable[Row]) -> None:
    """Print CSV with a header row."""
    buffer = io.StringIO(newline="")
    # csv quotes a lone "\r" only where the line terminator has one. The printed lines end in "\n".
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in (columns, *rows):
        writer.writerow(row)
        sys.stdout.write(buffer.getvalue().removesuffix("\r\n") + "\n")
        buffer.seek(0)
        buffer.truncate()


def write_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line; NaN and infinities become text."""
    click.echo(json.dumps(json_value(document, levels=_MAX_DOCUMENT_LEVELS), allow_nan=False))


def write_matrix(
    output_format: str, result: MatrixResult, time_range: QueryTimeRange, *, unit: str = "", local: bool = False
) -> None:
    """Print samples over time: a row for each sample, JSON, or with "plot" a chart for each series.

    JSON contains the backend's warnings and infos; the other formats print them to standard error.

    Args:
        output_format: text, JSON, CSV or plot.
        result: the samples.
        time_range: the horizontal axis of charts.
        unit: the unit of the values, which text and charts show; "" if it is not known.
        local: whether times are in the zone of this machine instead of UTC.
    """
    if output_format == "plot":
        width = shutil.get_terminal_size().columns
        for series in result.series:
            click.echo(printable(", ".join(f"{label}={value}" for label, value in series.labels.items()) or "all"))
            if any(map(math.isfinite, series.values)):
                click.echo(draw_chart(series, time_range, width=width, unit=unit, local=local))
            else:
                click.echo("nothing to draw: no value is a finite number")
    else:
        labels = list(dict.fromkeys(label for series in result.series for label in series.labels))
        columns = [*_label_columns(labels), *_SAMPLE_COLUMNS]
        if output_format == "text" and unit:
            columns[-1] += f" ({unit})"
        write(output_format, columns, _sample_rows(result, labels, local=local), lambda: _matrix_document(result))
    if output_format != "json":
        for note in _notes(result):
            click.echo(f"statcore: {printable(note)}", err=True)


def _label_columns(labels: list[str]) -> Iterator[str]:
    for label in labels:
        column = label
        while column in _SAMPLE_COLUMNS or (column != label and column in labels):
            column = f"exported_{column}"  # as Prometheus renames a label with a name that is taken
        yield column


def _sample_rows(result: MatrixResult, labels: list[str], *, local: bool) -> Iterator[list[str]]:
    for series in result.series:
        label_cells = [series.labels.get(label, "") for label in labels]
        for time, value in zip(series.timestamps, series.values, strict=True):
            yield [*label_cells, format_time(time, local=local), format_sample_value(value)]


def _matrix_document(result: MatrixResult) -> dict[str, Any]:
    return {
        "series": result.to_json(),
        "warnings": result.warnings,
        "infos": result.infos,
        "partial": result.partial,
    }


def _notes(result: MatrixResult) -> Iterator[str]:
    if not result.series:
        yield "no series: nothing matches, or there are no samples near any point of this time range"
    yield from missing_data(result)
    yield from infos(result)


def missing_data(notes: AnswerNotes) -> Iterator[str]:
    """Yield what a backend says about data that an answer lacks, or may lack."""
    if notes.partial:
        yield "the answer is partial: the backend could not read all of its data"
    yield from (f"warning: {warning}" for warning in notes.warnings)


def infos(notes: AnswerNotes) -> Iterator[str]:
    """Yield what else a backend says about an answer."""
    yield from (f"info: {info}" for info in notes.infos)


def draw_chart(series: Series, time_range: QueryTimeRange, *, width: int, unit: str = "", local: bool = False) -> str:
    """Return a chart of one series over the whole range; the line breaks where samples are missing.

    Where no axis can hold the values, a sentence says so in place of the chart.

    Args:
        series: non-finite values count as missing.
        time_range: the horizontal axis.
        width: the width of the chart in columns of the terminal.
        unit: the unit of the values, or "".
        local: whether times are in the zone of this machine instead of UTC.
    """
    import plotille  # type: ignore[import-untyped]  # noqa: PLC0415 - only charts need it

    figure = plotille.Figure()
    figure.width, figure.height = max(width - _AXES_WIDTH, 20), _CHART_HEIGHT
    zone = None if local else UTC  # None is the zone of this machine, with summer time where it applies
    start, end = time_range.start, max(time_range.end, time_range.start + time_range.step)
    figure.x_label, figure.y_label = start.astimezone(zone).tzname() or "local", unit or "value"
    figure.with_colors = figure.origin = False
    if unit.startswith("bytes"):
        figure.register_label_formatter(float, _bytes_label)
    figure.set_x_limits(start.astimezone(zone), end.astimezone(zone))
    finite = [value for value in series.values if math.isfinite(value)]
    if all(value >= 0 for value in finite):
        figure.set_y_limits(min_=0)  # plotille's margin below zero would suggest that utilization can be negative
    for run in _unbroken_runs(series, time_range.step.total_seconds()):
        times = [datetime.fromtimestamp(time, UTC).astimezone(zone) for time, _ in run]
        values = [value for _, value in run]
        draw = figure.plot if len(run) > 1 else figure.scatter
        draw(times, values)
    lowest, highest = figure.y_limits()
    if not 0 < (highest - lowest) / _CHART_HEIGHT < math.inf:
        return f"nothing is drawn: no axis holds {min(finite):g} to {max(finite):g}"
    return str(figure.show())


def _bytes_label(val: float, chars: int, delta: object, left: bool = False) -> str:  # noqa: FBT001, FBT002 - plotille's
    del delta
    text = size_cell(val)
    return text.ljust(chars) if left else text.rjust(chars)


def _unbroken_runs(series: Series, step_s: float) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = []
    last = -math.inf
    for time, value in zip(series.timestamps, series.values, strict=True):
        if not math.isfinite(value):
            continue
        if time - last > _MAX_GAP_STEPS * step_s:
            runs.append([])
        runs[-1].append((time, value))
        last = time
    return runs
