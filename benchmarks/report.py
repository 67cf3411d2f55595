"""Prints a table with one row per contender: its median, its ratio to the baseline, and the goal for that ratio."""

from __future__ import annotations

import platform
from importlib.metadata import version

import attrs
from rich import box
from rich.console import Console
from rich.table import Table

_LIBRARIES = ("redis", "hiredis", "aiohttp", "msgspec", "msgpack", "pydantic")


@attrs.frozen(kw_only=True)
class Row:
    """The numbers of a contender.

    Args:
        contender: its name.
        median_s: the median time of a run in seconds.
        ratio: that median divided by the baseline's.
        goal: the highest ratio that is good enough.
        stall_s: the longest time in seconds that the event loop could not run anything else.
        peak_of_body: peak memory divided by the size of the body that was decoded.
    """

    contender: str
    median_s: float
    ratio: float
    goal: float | None = None
    stall_s: float | None = None
    peak_of_body: float | None = None


def versions() -> str:
    """Return the versions of Python and of the libraries that are measured."""
    libraries = (f"{name} {version(name)}" for name in _LIBRARIES)
    return f"Python {platform.python_version()}, {', '.join(libraries)}"


def print_rows(console: Console, title: str, rows: list[Row], *, baseline: str) -> None:
    """Print a table; numbers that a contender does not have are empty."""
    table = Table(title=title, caption=f"ratio to: {baseline}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("contender")
    columns = ("median ms", "ratio", "goal", "longest stall ms", "peak memory / body")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        missed = row.goal is not None and row.ratio > row.goal
        table.add_row(
            row.contender,
            f"{row.median_s * 1e3:.2f}",
            f"{row.ratio:.2f}{' !' if missed else ''}",
            _number(row.goal),
            _number(None if row.stall_s is None else row.stall_s * 1e3),
            _number(row.peak_of_body),
        )
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
