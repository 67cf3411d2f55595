"""Collects tables of figures with their goals; prints them, and writes them as JSON and into a document."""

from __future__ import annotations

import asyncio
import cProfile
import io
import json
import platform
import pstats
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import attrs
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from timing import Measured, idle_stall_s, interleave

CPU_RATIO: Final = "CPU ratio"
WALL_RATIO: Final = "wall ratio"
STALL_MS: Final = "stall ms"
_LIBRARIES: Final = ("redis", "hiredis", "aiohttp", "strawberry-graphql", "msgspec", "msgpack", "pydantic", "jinja2")
_PROFILE_S: Final = 2.0
_PROFILE_LINES: Final = 25


@attrs.frozen
class Goal:
    """What a figure should be: at most the bound, or at least."""

    bound: float
    at_least: bool = attrs.field(default=False, kw_only=True)

    def is_met_by(self, value: float) -> bool:
        """Return whether a measured value reaches the goal."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """Return the goal as tables show it."""
        return f"{'>=' if self.at_least else '<='} {self.bound:,.4g}"


@attrs.frozen(kw_only=True)
class Row:
    """The figures of a contender.

    Args:
        contender: its name.
        figures: the measured values by the name of their column.
        goals: the goals of some of these figures, by the same names.
    """

    contender: str
    figures: Mapping[str, float]
    goals: Mapping[str, Goal] = attrs.field(factory=dict[str, Goal])

    @property
    def missed(self) -> list[str]:
        """The columns whose goal is missed."""
        return [column for column, goal in self.goals.items() if not goal.is_met_by(self.figures[column])]

    def cell(self, column: str) -> str:
        """Return a figure with its goal, marked with `!` if the goal is missed."""
        if column not in self.figures:
            return ""
        text = number(self.figures[column])
        if column in self.goals:
            text += f" ({self.goals[column]}){' !' if column in self.missed else ''}"
        return text


@attrs.frozen(kw_only=True)
class Table:
    """Rows that were measured side by side.

    Args:
        title: what was measured.
        rows: the contenders.
        notes: what a reader must know, such as what ratios refer to and how many samples were dropped.
        subject: what a row is about.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    subject: str = "contender"

    @property
    def columns(self) -> list[str]:
        """The columns of all rows, in the order of their first use."""
        return list(dict.fromkeys(column for row in self.rows for column in row.figures))

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [
            f"**{self.title}**",
            "",
            f"| {self.subject} | {' | '.join(self.columns)} |",
            f"|---|{'---:|' * len(self.columns)}",
        ]
        lines += [f"| {row.contender} | {' | '.join(map(row.cell, self.columns))} |" for row in self.rows]
        return "\n".join([*lines, *(f"\n{note}." for note in self.notes)])


@attrs.frozen(kw_only=True)
class Contender:
    """A coroutine function that is measured.

    Args:
        name: its name.
        run: runs once.
        goals: the goals of its figures, by column.
        figures: figures that were measured before, by column.
        grows: whether the measurements of growth include it.
    """

    name: str
    run: Callable[[], Awaitable[object]]
    goals: Mapping[str, Goal] = attrs.field(factory=dict[str, Goal])
    figures: Mapping[str, float] = attrs.field(factory=dict[str, float])
    grows: bool = False


@attrs.frozen(kw_only=True)
class Report:
    """What one run of the benchmarks has measured.

    Args:
        console: where tables are printed.
        profiles: whether the profile of each row that misses a goal is printed.
    """

    console: Console
    profiles: bool = False
    tables: list[Table] = attrs.field(factory=list[Table], init=False)
    plots: list[str] = attrs.field(factory=list[str], init=False)

    def progress(self, what: str) -> None:
        """Say what is measured now, on a terminal only."""
        if self.console.is_terminal:
            self.console.print(f"… {what}", style="dim")

    def add(self, table: Table) -> None:
        """Keep a table, and print it."""
        self.tables.append(table)
        shown = RichTable(title=table.title, caption="\n".join(table.notes), box=box.SIMPLE_HEAD, title_justify="left")
        shown.caption_justify = "left"
        shown.add_column(table.subject)
        for column in table.columns:
            shown.add_column(column, justify="right")
        for row in table.rows:
            shown.add_row(row.contender, *map(row.cell, table.columns))
        self.console.print(shown)

    def add_plot(self, plot: str) -> None:
        """Keep a plot of growth, and print it."""
        self.plots.append(plot)
        self.console.print(plot, markup=False, highlight=False)

    def add_profile(self, contender: str, text: str) -> None:
        """Print where the time of a contender goes."""
        self.console.print(f"profile of {contender}\n{text}", markup=False, highlight=False)

    async def compare(
        self,
        title: str,
        contenders: Sequence[Contender],
        *,
        repeats: int,
        stalls: bool = False,
        pid: int | None = None,
        helpers: Collection[int] = (),
        profile: Callable[[Callable[[], Awaitable[object]]], Awaitable[str]] | None = None,
    ) -> None:
        """Measure contenders, and add a table with their ratios to the first contender.

        Args:
            title: what is measured.
            contenders: the baseline, then the others.
            repeats: how many samples each contender gives.
            stalls: whether stalls of the event loop of this process are measured.
            pid: the process whose CPU time counts, by default this one.
            helpers: other processes that work for the contenders, such as servers.
            profile: runs a contender for some seconds and returns the profile of the process that does the work, by default
                of this process.
        """
        self.progress(title)
        runs = {contender.name: contender.run for contender in contenders}
        measured = await interleave(runs, repeats=repeats, stalls=stalls, pid=pid, helpers=helpers)
        baseline = contenders[0].name
        rows = [
            Row(
                contender=contender.name,
                figures={**figures(measured[contender.name], measured[baseline]), **contender.figures},
                goals=contender.goals,
            )
            for contender in contenders
        ]
        idle = [f"Stall with nothing else in the event loop: {await idle_stall_s() * 1e3:.2f} ms"] if stalls else []
        self.add(Table(title=title, rows=rows, notes=[f"Ratios to: {baseline}", *idle, dropped(measured.values())]))
        for contender, row in zip(contenders, rows, strict=True):
            if self.profiles and row.missed:
                self.add_profile(f"{contender.name}, {title}", await (profile or profile_here)(contender.run))

    def document(self, origin: str) -> str:
        """Return the tables and plots of a measurement as Markdown, below a sentence about their origin."""
        plots = [f"```text\n{plot}\n```" for plot in self.plots]
        return "\n\n".join([origin, *plots, *(table.markdown() for table in self.tables)])

    def json(self) -> dict[str, Any]:
        """Return the versions and the tables as JSON."""
        return {
            "versions": versions(),
            "tables": [
                {
                    "title": table.title,
                    "notes": list(table.notes),
                    "rows": [
                        {
                            "contender": row.contender,
                            "figures": dict(row.figures),
                            "goals": {
                                column: {"bound": goal.bound, "at_least": goal.at_least, "met": column not in row.missed}
                                for column, goal in row.goals.items()
                            },
                        }
                        for row in table.rows
                    ],
                }
                for table in self.tables
            ],
        }


def show_progress(what: str) -> None:
    """Say what is measured now, on the standard error."""
    print(f"… {what}", file=sys.stderr, flush=True)


def figures(measured: Measured, baseline: Measured) -> dict[str, float]:
    """Return the figures of a contender, with its ratios to the baseline."""
    stall = {} if measured.stall_s is None else {STALL_MS: measured.stall_s * 1e3}
    return {
        "CPU ms": measured.cpu_s * 1e3,
        CPU_RATIO: measured.cpu_s / baseline.cpu_s,
        "wall ms": measured.wall_s * 1e3,
        WALL_RATIO: measured.wall_s / baseline.wall_s,
        **stall,
    }


def dropped(measured: Collection[Measured]) -> str:
    """Return how many samples were disturbed by steal or by another process, and how many of them were dropped."""
    samples, disturbed, out = (
        sum(counts) for counts in zip(*((each.samples, each.disturbed, each.dropped) for each in measured), strict=True)
    )
    kept = f", {disturbed - out} kept because too few were undisturbed" if disturbed > out else ""
    return f"Samples: {samples}, of which {disturbed} were disturbed by steal or another process: {out} dropped{kept}"


def number(value: float) -> str:
    """Return a whole number as it is, and any other figure with about three digits, a small one with two."""
    if isinstance(value, int):
        return f"{value:,}"
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


async def profile_here(run: Callable[[], Awaitable[object]]) -> str:
    """Run for some seconds, and return the functions that took most of the time."""
    profiler = cProfile.Profile()
    end = asyncio.get_running_loop().time() + _PROFILE_S
    profiler.enable()
    try:
        while asyncio.get_running_loop().time() < end:
            await run()
    finally:
        profiler.disable()
    return describe_profile(profiler)


def describe_profile(profiler: cProfile.Profile) -> str:
    """Return the functions that took most of the time, without the time of what they call."""
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(_PROFILE_LINES)
    return text.getvalue().strip()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that are measured."""
    found = {"Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_versions() -> str:
    """Return the versions in one line."""
    return ", ".join(f"{name} {of_library}" for name, of_library in versions().items())


def write_json(report: Report, file: Path) -> None:
    """Write what was measured for programs."""
    file.write_text(json.dumps(report.json(), indent=2) + "\n", encoding="utf-8")


def has_section(document: str, name: str) -> bool:
    """Return whether a document has a place for what is measured under a name."""
    return _section(name).search(document) is not None


def replace_section(document: str, name: str, content: str) -> str:
    """Return a document with new content between `<!-- bench NAME -->` and `<!-- end NAME -->`."""
    return _section(name).sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", document)


def _section(name: str) -> re.Pattern[str]:
    return re.compile(f"(<!-- bench {re.escape(name)} -->)\n.*?(<!-- end {re.escape(name)} -->)", re.DOTALL)
