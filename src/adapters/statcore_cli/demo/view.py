"""How the demo looks: one row per child, with the numbers of now and the course of its CPU use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.filesize import decimal
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from statcore.model.numbers import finite_number
from statcore_cli.demo.children import Child
from statcore_cli.demo.reading import Reading

COLUMNS: Final = ("load", "kernel", "cpu", "memory", "received/s", "written", "cpu over time")
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARKS: Final = 30
_UNKNOWN: Final = "-"


def rows(reading: Reading, children: Sequence[Child]) -> Iterator[list[str]]:
    """Yield the row of each child."""
    courses = {series.labels.get("kernel_id"): series.values for series in reading.utilization["cpu_util"].series}
    for child in children:
        kernel_id = child.target.kernel_id
        metrics = reading.live.kernels[kernel_id] or {}
        yield [
            child.title,
            kernel_id,
            _field(metrics, "cpu_util", "pct", "{} %"),
            _bytes(metrics, "mem"),
            _bytes(metrics, "net_rx"),
            _bytes(metrics, "io_write"),
            sparkline(courses.get(kernel_id, ())),
        ]


def screen(reading: Reading, children: Sequence[Child], *, where: str) -> RenderableType:
    """Return what the terminal shows."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"live statistics and utilization {where}; Ctrl-C ends it",
    )
    *columns, course = COLUMNS
    for column in columns:
        table.add_column(column, justify="left" if column in {"load", "kernel"} else "right", no_wrap=True)
    table.add_column(course)  # the only one that gives way where the terminal is narrow
    for title, kernel_id, *numbers, course in rows(reading, children):
        table.add_row(title, kernel_id[:8], *numbers, _End(course))
    return Group(table, *(Text(failure, style="red") for failure in reading.failures))


def sparkline(values: Sequence[float]) -> str:
    """Draw the last values as bars between zero and the highest; a gap where a value is not finite."""
    shown = values[-_SPARKS:]
    highest = max((value for value in shown if math.isfinite(value)), default=0.0)
    if highest <= 0:
        return _BARS[0] * len(shown)
    return "".join(
        _BARS[min(int(max(value, 0.0) / highest * len(_BARS)), len(_BARS) - 1)] if math.isfinite(value) else " "
        for value in shown
    )


@attrs.frozen
class _End:
    """A line of which the end is shown where there is no room for all of it."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text[-options.max_width :])

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(len(self.text), 1))


def _field(metrics: Mapping[str, Any], metric: str, field: str, template: str) -> str:
    return template.format(metrics[metric][field]) if metric in metrics else _UNKNOWN


def _bytes(metrics: Mapping[str, Any], metric: str) -> str:
    number = finite_number(metrics[metric]["current"]) if metric in metrics else None
    return _UNKNOWN if number is None else decimal(int(number))
