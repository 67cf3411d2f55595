"""How the demo looks: one row per child, with its current numbers and a sparkline of its CPU use."""

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
from statcore_cli.demo.pipeline import Child, DemoState

COLUMNS: Final = ("load", "kernel", "cpu", "memory", "received/s", "written", "cpu over time")
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARKS: Final = 30
_UNKNOWN: Final = "-"


def rows(state: DemoState, children: Sequence[Child]) -> Iterator[list[str]]:
    """Yield the row of each child."""
    cpu_values = {series.labels.get("kernel_id"): series.values for series in state.utilization["cpu_util"].series}
    for child in children:
        kernel_id = child.target.kernel_id
        metrics = state.live.metrics[kernel_id] or {}
        yield [
            child.title,
            kernel_id,
            _field(metrics, "cpu_util", "pct", "{} %"),
            _bytes(metrics, "mem"),
            _bytes(metrics, "net_rx"),
            _bytes(metrics, "io_write"),
            sparkline(cpu_values.get(kernel_id, ())),
        ]


def screen(state: DemoState, children: Sequence[Child], *, where: str) -> RenderableType:
    """Return the table that the terminal shows.

    Args:
        state: what was read back.
        children: the children, one row each.
        where: where the data goes, for the title, such as "inside this process".
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"live statistics and utilization {where}; Ctrl-C ends it",
    )
    *columns, last_column = COLUMNS
    for column in columns:
        table.add_column(column, justify="left" if column in {"load", "kernel"} else "right", no_wrap=True)
    table.add_column(last_column)  # the only column that shrinks on a narrow terminal
    for title, kernel_id, *numbers, bars in rows(state, children):
        table.add_row(title, kernel_id[:8], *numbers, _Tail(bars))
    return Group(table, *(Text(failure, style="red") for failure in state.failures))


def sparkline(values: Sequence[float]) -> str:
    """Return the last values as bars between zero and the highest; a non-finite value is a gap."""
    shown = values[-_SPARKS:]
    highest = max((value for value in shown if math.isfinite(value)), default=0.0)
    if highest <= 0:
        return _BARS[0] * len(shown)
    return "".join(
        _BARS[min(int(max(value, 0.0) / highest * len(_BARS)), len(_BARS) - 1)] if math.isfinite(value) else " "
        for value in shown
    )


@attrs.frozen
class _Tail:
    """A line that is cut off at its beginning where there is not enough room."""

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
