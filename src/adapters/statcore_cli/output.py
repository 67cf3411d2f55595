"""Printing an answer: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any, Final, TypeAlias, cast

import click

from statcore.model.numbers import format_sample_value
from statcore_cli.text import printable

Row: TypeAlias = Sequence[str]


def write_table(columns: Row, rows: Iterable[Row]) -> None:
    """Print a table that fits the terminal, or aligned columns as wide as they need to be.

    These are for a pipe, and for a terminal that is too narrow for whole words. Columns with nothing in them are left out.
    """
    safe = [[printable(cell) for cell in row] for row in rows]
    used = [not safe or any(row[column] for row in safe) for column in range(len(columns))]
    columns, safe = list(compress(columns, used)), [list(compress(row, used)) for row in safe]
    if sys.stdout.isatty() and _write_for_terminal(columns, safe):
        return
    lines = [[column.upper() for column in columns], *safe]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _write_for_terminal(columns: Row, rows: Sequence[Row]) -> bool:
    from rich import box  # noqa: PLC0415 - slow to import, and only terminals need it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        # Ids and numbers must stay whole to be read and copied; only sentences are folded.
        table.add_column(column, overflow="fold", no_wrap=all(" " not in row[position] for row in rows))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if console.measure(table, options=console.options.update(width=sys.maxsize)).minimum > console.width:
        return False
    console.print(table)
    return True


def write_csv(columns: Row, rows: Iterable[Row]) -> None:
    """Print CSV with a header row."""
    buffer = io.StringIO(newline="")
    # Ending its lines in "\r\n" is what makes the writer quote a lone "\r", too; what is printed ends in "\n".
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in (columns, *rows):
        writer.writerow(row)
        sys.stdout.write(buffer.getvalue().removesuffix("\r\n") + "\n")
        buffer.seek(0)
        buffer.truncate()


def write_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(jsonable(document), allow_nan=False))


def write(output_format: str, columns: Row, rows: Iterable[Row], document: Callable[[], Mapping[str, Any]]) -> None:
    """Print an answer in the format asked for; `document` makes what JSON shows."""
    if output_format == "json":
        write_json(document())
    elif output_format == "csv":
        write_csv(columns, rows)
    else:
        write_table(columns, rows)


_JSON_SCALARS: Final = (str, int, type(None))


def jsonable(value: Any) -> Any:  # noqa: ANN401 - whatever a store may hold
    """Return what JSON can hold: non-finite numbers, times, and what JSON has no form for become text, keys always."""
    if isinstance(value, float):
        return value if math.isfinite(value) else format_sample_value(value)
    if isinstance(value, _JSON_SCALARS):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in cast("Sequence[Any]", value)]
    return value.isoformat() if isinstance(value, datetime) else str(value)
