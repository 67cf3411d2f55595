"""Measures how times grow with kernels, sessions and callers, and plots them as text with logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import plotille  # type: ignore[import-untyped]
from callers import CALLERS, STORED, Read, Served, figures, readers, serve
from callers import KERNELS as KERNELS_PER_CALL
from live_reads import many_kernels
from report import Goal, Report, Row, Table, dropped
from serving import INFERENCE, LIVE, Host, running_host
from timing import Measured, in_rotation, interleave
from workload import stored

KERNELS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
SESSIONS: Final = (10, 100, 1_000, 10_000)
CALLER_COUNTS: Final = (1, 4, 16, CALLERS)
LINEAR: Final = "100,000 / 10,000"
_PER_ITEM_UP_TO: Final = 1_000
_CALLS_OF_CALLER: Final = 40
_COLUMNS: Final = 60
_LINES: Final = 16
_LABEL_COLUMNS: Final = 10
"""The columns between two labels of the horizontal axis."""
_MARKERS: Final = "oxv+*"

Runs = Mapping[str, Callable[[], Awaitable[object]]]


async def measure_kernels(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure, print and plot reads of 1 to 100,000 kernels."""
    async with stored(scratch, kernels=max(KERNELS)) as source:
        await _grow(
            report,
            {
                size: {contender.name: contender.run for contender in many_kernels(source, size) if contender.grows}
                for size in KERNELS
            },
            title=f"CPU time of a read by number of kernels, {source.version}",
            quantity="kernels",
            repeats=_fewer(repeats),
            helpers=source.helpers,
        )


async def measure_sessions(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure, print and plot answers about 10 to 10,000 sessions."""
    sessions = max(SESSIONS)
    async with (
        stored(scratch, kernels=sessions, sessions=sessions) as source,
        running_host(source.server.url, sessions=sessions) as host,
    ):
        await _grow(
            report,
            {size: _requests(host, size) for size in SESSIONS},
            title=f"CPU time of the host for an answer by number of sessions, {source.version}",
            quantity="sessions",
            repeats=_fewer(repeats),
            pid=host.pid,
            helpers=source.helpers,
        )


async def measure_callers(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure, print and plot 1 to 64 callers."""
    async with stored(scratch, kernels=STORED) as source:
        title = f"calls per second by number of callers of {KERNELS_PER_CALL} kernels, {source.version}"
        reads = readers(source)
        await _grow_callers(report, reads, title=title, repeats=_fewer(repeats), helpers=source.helpers)


def _fewer(repeats: int) -> int:
    return max(1, repeats // 3)


def _requests(host: Host, size: int) -> Runs:
    per_item = {"GraphQL with per-item reads": partial(host.graphql, INFERENCE, limit=size, path="/per-item")}
    return {
        "REST, inference": partial(host.rest, "inference", limit=size),
        "REST, kernels": partial(host.rest, "live", limit=size),
        "statcore GraphQL, inference": partial(host.graphql, INFERENCE, limit=size),
        "statcore GraphQL, kernels": partial(host.graphql, LIVE, limit=size),
        **(per_item if size <= _PER_ITEM_UP_TO else {}),
    }


async def _grow(
    report: Report,
    runs: Mapping[int, Runs],
    *,
    title: str,
    quantity: str,
    repeats: int,
    pid: int | None = None,
    helpers: Sequence[int],
) -> None:
    cpu_ms: dict[str, dict[int, float]] = {}
    measured: list[Measured] = []
    for size, of_size in runs.items():
        report.progress(f"{title}: {size:,}")
        for name, result in (await interleave(of_size, repeats=repeats, pid=pid, helpers=helpers)).items():
            cpu_ms.setdefault(name, {})[size] = result.cpu_s * 1e3
            measured.append(result)
    rows = [
        Row(
            contender=name,
            figures={f"{size:,}": value for size, value in of_contender.items()} | _linear(of_contender),
            goals={LINEAR: Goal(12)} if name.startswith("statcore") and _linear(of_contender) else {},
        )
        for name, of_contender in cpu_ms.items()
    ]
    report.add(Table(title=title, rows=rows, notes=["CPU milliseconds", dropped(measured)]))
    report.add_plot(plot(cpu_ms, title=title, x_label=quantity, y_label="ms"))


def _linear(by_size: Mapping[int, float]) -> dict[str, float]:
    return {LINEAR: by_size[100_000] / by_size[10_000]} if 100_000 in by_size else {}


async def _grow_callers(
    report: Report, reads: Mapping[str, Read], *, title: str, repeats: int, helpers: Sequence[int]
) -> None:
    served: dict[str, dict[int, list[Served]]] = {name: {count: [] for count in CALLER_COUNTS} for name in reads}
    for count in CALLER_COUNTS:
        report.progress(f"{title}: {count}")
        for repeat in range(repeats + 1):
            for name in in_rotation(list(reads), repeat):
                calls = max(count, CALLERS // 4) * _CALLS_OF_CALLER // 4
                served[name][count].append(await serve(reads[name], callers=count, calls=calls, helpers=helpers))
    results = {  # the first sample connects
        name: {count: figures(samples[1:], samples[1:]) for count, samples in of_reader.items()}
        for name, of_reader in served.items()
    }
    rates, p99s = (
        {name: {count: result[column] for count, result in of_reader.items()} for name, of_reader in results.items()}
        for column in ("calls/s", "p99 ms")
    )
    rows = [
        Row(
            contender=name,
            figures={
                f"{count} callers: {column}": result[column]
                for count, result in of_reader.items()
                for column in ("calls/s", "p99 ms")
            },
        )
        for name, of_reader in results.items()
    ]
    measured = [
        Measured.of([each.sample for each in samples[1:]])
        for of_reader in served.values()
        for samples in of_reader.values()
    ]
    report.add(Table(title=title, rows=rows, notes=[dropped(measured)]))
    report.add_plot(plot(rates, title=title, x_label="callers", y_label="calls/s"))
    report.add_plot(plot(p99s, title=title.replace("calls per second", "p99"), x_label="callers", y_label="ms"))


def plot(by_contender: Mapping[str, Mapping[int, float]], *, title: str, x_label: str, y_label: str) -> str:
    """Return a plot as text, with logarithmic axes and a mark for each contender."""
    values = [value for of_contender in by_contender.values() for value in of_contender.values()]
    sizes = [size for of_contender in by_contender.values() for size in of_contender]
    figure = plotille.Figure()
    figure.with_colors = False
    figure.x_label, figure.y_label = x_label, y_label
    figure.register_label_formatter(float, _power_of_ten)
    figure.width, x_limits = _axis(sizes, _COLUMNS)
    figure.height, y_limits = _axis(values, _LINES)
    figure.set_x_limits(*x_limits)
    figure.set_y_limits(*y_limits)
    legend = [title]
    for marker, (name, of_contender) in zip(_MARKERS * 2, by_contender.items(), strict=False):
        figure.plot(list(map(math.log10, of_contender)), list(map(math.log10, of_contender.values())), marker=marker)
        legend.append(f"  {marker} {name}")
    return "\n".join(line.rstrip() for line in [*legend, "", *figure.show().splitlines()])


def _axis(values: Sequence[float], characters: int) -> tuple[int, tuple[float, float]]:
    """Return the length of a logarithmic axis in characters, at most about `characters`, and its limits.

    Each decade has as many characters, so that a label stands at its start, and the last value has a character of its own.
    """
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    of_decade = max(2, characters // (last - first))
    if of_decade > _LABEL_COLUMNS:
        of_decade -= of_decade % _LABEL_COLUMNS
    return of_decade * (last - first) + 1, (first, last + 1 / of_decade)


def _power_of_ten(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001, FBT001, FBT002
    return f"{float(f'{10**value:.3g}'):g}"[:chars].rjust(chars)
