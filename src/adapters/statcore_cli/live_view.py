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
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult, Series
from statcore.model.statistics import Problem, ProblemKind
from statcore.model.time import QueryTimeRange
from statcore.queriers.container import ContainerMetricQuerier
from statcore.services.figures import FigureSource
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.utilization import UtilizationSource
from statcore_cli.entries import Entries
from statcore_cli.output import fits, infos, missing_data, percent_cell, screen_rows, size_cell, write_json, write_table
from statcore_cli.standard_output import printable

_COURSE: Final = "cpu over time"
_SOURCES: Final = (
    FigureSource("cpu_util", "pct"),
    FigureSource("mem", "current"),
    FigureSource("net_rx", "current"),
    FigureSource("io_write", "current"),
)
"""The numbers of a row, in order: a percentage, and amounts of bytes."""
_COLUMNS: Final = ("kernel", "cpu", "memory", "received/s", "written", _COURSE)
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARKS: Final = 30
_UNKNOWN: Final = "-"
_TEXT_COLUMNS: Final = 2
_DROPPABLE: Final = ("written", "received/s", "session", _COURSE)
"""The headers that a narrow terminal leaves out, the least important first."""
_WIDEST_CELL: Final = 12


@attrs.frozen(kw_only=True)
class LiveState:
    """What was read of some kernels at one time.

    Args:
        titles: by kernel id, in the order of the rows, what the first column shows.
        title_name: the header of the first column.
        live: their live statistics.
        utilization: their samples over a time range, by metric.
        failures: the errors of queries for utilization, and what a backend says about data that is missing, each once.
        infos: what else is to be said about the answers, each once.
        omitted: how many further kernels there are that were not read.
    """

    titles: Mapping[str, str]
    title_name: str
    live: Entries
    utilization: Mapping[str, MatrixResult]
    failures: Sequence[str]
    infos: Sequence[str] = ()
    omitted: int = 0

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
        remarks: dict[str, None] = {}
        for (metric, _), answer in zip(pairs, answers, strict=True):
            if isinstance(answer, StatcoreError):
                failures[f"{metric}: {answer}"] = None
            else:
                utilization[metric].extend(answer.series)
                failures.update((f"{metric}: {note}", None) for note in missing_data(answer))
                remarks.update((f"{metric}: {info}", None) for info in infos(answer))
        return cls(
            titles=titles,
            title_name=title_name,
            live=Entries.read(ids, batch),
            utilization={metric: MatrixResult(series=tuple(series)) for metric, series in utilization.items()},
            failures=list(failures),
            infos=list(remarks),
        )

    @property
    def columns(self) -> Sequence[str]:
        """The headers of the rows."""
        return (self.title_name, *_COLUMNS)

    def rows(self) -> Iterator[list[str]]:
        """Yield the row of each kernel."""
        cpu_values = {series.labels.get("kernel_id"): series.values for series in self.utilization["cpu_util"].series}
        for kernel_id, title in self.titles.items():
            (cpu_pct, *amounts), _ = self._numbers(kernel_id)
            yield [
                title,
                kernel_id,
                _UNKNOWN if cpu_pct is None else percent_cell(cpu_pct),
                *(_UNKNOWN if size_bytes is None else size_cell(size_bytes) for size_bytes in amounts),
                sparkline(cpu_values.get(kernel_id, ())),
            ]

    def problem_lines(self) -> list[str]:
        """Return what is wrong with the live statistics, in a line for each kind of problem."""
        by_kind: dict[ProblemKind, dict[str, str]] = {}
        for kernel_id in self.titles:
            for problem in self._problems(kernel_id):
                by_kind.setdefault(problem.kind, {}).setdefault(kernel_id, problem.message)
        return [_summary(kind, messages) for kind, messages in by_kind.items()]

    def _numbers(self, kernel_id: str) -> tuple[list[float | None], list[str]]:
        """Return the numbers of a row, and what is wrong with those that cannot be read."""
        metrics = self.live.metrics[kernel_id] or {}
        faults: list[str] = []
        return [source.number(metrics, faults) for source in _SOURCES], faults

    def _problems(self, kernel_id: str) -> list[Problem]:
        known = self.live.problems.get(kernel_id)
        _, faults = self._numbers(kernel_id)
        malformed = [Problem(ProblemKind.MALFORMED, message=fault) for fault in faults]
        return malformed if known is None else [known, *malformed]

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            f"{self.title_name}s": dict(self.titles),
            **self.live.document(),
            "utilization": {metric: result.to_json() for metric, result in self.utilization.items()},
            "failures": list(self.failures),
            "infos": list(self.infos),
        }

    def print(self, output_format: str) -> None:
        """Print the state as JSON or as a table."""
        if output_format == "json":
            write_json(self.document())
            return
        write_table(self.columns, self.rows(), droppable=_DROPPABLE)
        for line in (*self._shown(len(self.titles)), *self.problem_lines(), *self.failures, *self.infos):
            click.echo(f"statcore: {printable(line)}", err=True)

    def screen(self, console: Console, *, heading: str) -> RenderableType:
        """Return the table that a terminal shows, below a heading and what is wrong; the rows of a problem are red.

        The table has as many rows as there is room for.
        """
        problems = [Text(printable(line), style="red", no_wrap=True, overflow="ellipsis") for line in self.problem_lines()]
        failures = [Text(printable(failure), style="red") for failure in self.failures]
        remarks = [Text(printable(info)) for info in self.infos]
        rows = [(row, "red" if self._problems(id_) else "") for id_, row in zip(self.titles, self.rows(), strict=True)]

        def draw(count: int) -> RenderableType:
            tables = (self._table(rows[:count], dropped=_DROPPABLE[:columns]) for columns in range(len(_DROPPABLE)))
            table = next((table for table in tables if fits(table, console)), None)
            table = table or self._table(rows[:count], dropped=_DROPPABLE)
            return Group(Text(heading), *map(Text, self._shown(count)), *problems, *failures, *remarks, table)

        return screen_rows(draw, len(self.titles), console)

    def _shown(self, count: int) -> list[str]:
        """Return a line that says how many kernels are shown, unless all are."""
        total = len(self.titles) + self.omitted
        return [] if count == total else [f"{count} of {total} kernels are shown"]

    def _table(self, styled_rows: Sequence[tuple[list[str], str]], *, dropped: Sequence[str]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        kept = [column not in dropped for column in self.columns]
        rows = [
            list(compress(map(printable, [title, kernel_id[:8], *numbers]), kept))
            for (title, kernel_id, *numbers), _ in styled_rows
        ]
        for position, column in enumerate(compress(self.columns, kept)):
            if column == _COURSE:
                table.add_column(column, min_width=cell_len(column))  # shrinks to its header on a narrow terminal
                continue
            width = min(max(cell_len(cell) for cell in [column, *(row[position] for row in rows)]), _WIDEST_CELL)
            is_text = column in self.columns[:_TEXT_COLUMNS]
            table.add_column(
                column,
                justify="left" if is_text else "right",
                overflow="crop" if is_text else "ellipsis",
                no_wrap=True,
                width=width,
            )
        for row, (_, style) in zip(rows, styled_rows, strict=True):
            *cells, bars = row if kept[-1] else [*row, ""]
            table.add_row(*map(Text, cells), *([_Tail(bars)] if kept[-1] else []), style=style)
        return table


def sparkline(values: Sequence[float]) -> str:
    """Return the last values as bars between zero and the highest; a non-finite value is a gap."""
    shown = values[-_SPARKS:]
    highest = max((value for value in shown if math.isfinite(value)), default=0.0)
    shares = (max(value, 0.0) / highest if highest > 0 else 0.0 for value in shown)
    return "".join(
        _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)] if math.isfinite(value) else " "
        for value, share in zip(shown, shares, strict=True)
    )


@attrs.frozen
class _Tail:
    """A line that is cut off at its beginning where there is not enough room."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text[-options.max_width :])

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(len(self.text), 1))


def _summary(kind: ProblemKind, messages: Mapping[str, str]) -> str:
    """Return one line about the kernels that have a kind of problem, with the message of the first one."""
    ids = ", ".join(messages)
    which = ids if len(messages) == 1 else f"the first of {len(messages)}: {ids}"
    return f"{kind}: {next(iter(messages.values()))} ({which})"
