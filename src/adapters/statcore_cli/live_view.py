"""The live view of `statcore demo` and `statcore top`: a row per kernel, with its numbers and a sparkline of its CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, Final, Self

import attrs
import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.filesize import decimal
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from statcore.errors import StatcoreError
from statcore.model.numbers import finite_number
from statcore.model.results import MatrixResult, Series
from statcore.model.time import QueryTimeRange
from statcore.queriers.container import ContainerMetricQuerier
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.utilization import UtilizationSource
from statcore_cli.entries import Entries
from statcore_cli.output import fits, write_json, write_table
from statcore_cli.standard_output import printable

_COURSE: Final = "cpu over time"
_COLUMNS: Final = ("kernel", "cpu", "memory", "received/s", "written", _COURSE)
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARKS: Final = 30
_UNKNOWN: Final = "-"
_TEXT_COLUMNS: Final = 2
_DROPPABLE: Final = ("written", "received/s", "session", _COURSE)
"""The headers that a narrow terminal leaves out, the least important first."""
_LONGEST_TITLE: Final = 12


@attrs.frozen(kw_only=True)
class LiveState:
    """What was read of some kernels at one time.

    Args:
        titles: by kernel id, in the order of the rows, what the first column shows.
        title_name: the header of the first column.
        live: their live statistics.
        utilization: their samples over a time range, by metric.
        failures: the errors of queries for utilization, each once.
    """

    titles: Mapping[str, str]
    title_name: str
    live: Entries
    utilization: Mapping[str, MatrixResult]
    failures: Sequence[str]

    @classmethod
    async def read(
        cls,
        repository: StatisticsRepository,
        source: UtilizationSource,
        titles: Mapping[str, str],
        *,
        title_name: str,
        metrics: Sequence[str],
        time_range: QueryTimeRange,
        rate_interval: str,
    ) -> Self:
        """Read the live statistics of kernels in one batch, and query their metrics over a time range.

        Raises:
            StatcoreError: the live statistics cannot be read.
        """
        ids = list(titles)
        batch = await repository.get_kernel_statistics_batch(ids)
        pairs = [(metric, id_) for metric in metrics for id_ in ids]
        queriers = [
            ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=id_) for metric, id_ in pairs
        ]
        answers = await source.read_utilization_batch(queriers, time_range, rate_interval=rate_interval)
        utilization: dict[str, list[Series]] = {metric: [] for metric in metrics}
        failures: dict[str, None] = {}  # a set that keeps the order
        for (metric, _), answer in zip(pairs, answers, strict=True):
            if isinstance(answer, StatcoreError):
                failures[f"{metric}: {answer}"] = None
            else:
                utilization[metric].extend(answer.series)
        return cls(
            titles=titles,
            title_name=title_name,
            live=Entries.read(ids, batch),
            utilization={metric: MatrixResult(series=tuple(series)) for metric, series in utilization.items()},
            failures=list(failures),
        )

    @property
    def columns(self) -> Sequence[str]:
        """The headers of the rows."""
        return (self.title_name, *_COLUMNS)

    def rows(self) -> Iterator[list[str]]:
        """Yield the row of each kernel."""
        cpu_values = {series.labels.get("kernel_id"): series.values for series in self.utilization["cpu_util"].series}
        for kernel_id, title in self.titles.items():
            metrics = self.live.metrics[kernel_id] or {}
            yield [
                title,
                kernel_id,
                _field(metrics, "cpu_util", "pct", "{} %"),
                _bytes(metrics, "mem"),
                _bytes(metrics, "net_rx"),
                _bytes(metrics, "io_write"),
                sparkline(cpu_values.get(kernel_id, ())),
            ]

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            f"{self.title_name}s": dict(self.titles),
            **self.live.document(),
            "utilization": {metric: result.to_json() for metric, result in self.utilization.items()},
            "failures": list(self.failures),
        }

    def print(self, output_format: str) -> None:
        """Print the state as JSON or as a table."""
        if output_format == "json":
            write_json(self.document())
            return
        write_table(self.columns, self.rows(), droppable=_DROPPABLE)
        for failure in self.failures:
            click.echo(f"statcore: {printable(failure)}", err=True)

    def screen(self, console: Console, *, heading: str) -> RenderableType:
        """Return the table that a terminal shows, with a heading above it."""
        tables = (self._table(dropped=_DROPPABLE[:count]) for count in range(len(_DROPPABLE)))
        table = next((table for table in tables if fits(table, console)), None) or self._table(dropped=_DROPPABLE)
        return Group(Text(heading), table, *(Text(printable(failure), style="red") for failure in self.failures))

    def _table(self, *, dropped: Sequence[str]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        kept = [column not in dropped for column in self.columns]
        rows = [
            list(compress(map(printable, [title[:_LONGEST_TITLE], kernel_id[:8], *numbers]), kept))
            for title, kernel_id, *numbers in self.rows()
        ]
        for position, column in enumerate(compress(self.columns, kept)):
            if column == _COURSE:
                table.add_column(column, min_width=cell_len(column))  # shrinks to its header on a narrow terminal
                continue
            widest = max(cell_len(cell) for cell in [column, *(row[position] for row in rows)])
            is_text = column in self.columns[:_TEXT_COLUMNS]
            table.add_column(column, justify="left" if is_text else "right", no_wrap=True, min_width=widest)
        for row in rows:
            *cells, bars = row if kept[-1] else [*row, ""]
            table.add_row(*map(Text, cells), *([_Tail(bars)] if kept[-1] else []))
        return table


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
