"""`statcore sessions`, `kernels`, `agents` and `endpoints`: what exists, with owners and main figures."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from statcore.queriers.container import OWNER_LABELS
from statcore.runtime import Runtime
from statcore.services.figures import FIGURES, Figures
from statcore.services.listing import (
    AGENTS,
    ENDPOINTS,
    SESSIONS,
    SORTS,
    ListedObject,
    ListPage,
    ObjectKind,
    ObjectListing,
)
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import completing, format_option, setting_options
from statcore_cli.event_loop import run, run_until_stopped
from statcore_cli.output import percent_cell, screen_rows, screen_table, size_cell, write, write_json, write_table
from statcore_cli.standard_output import printable
from statcore_cli.watching import INTERVAL_S, watch

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_KERNELS: Final = "kernels"
_DEVICES: Final = "devices"
_HEADERS: Final = {
    "id": "id",
    "cpu_pct": "cpu",
    "mem_bytes": "memory",
    "accelerator_pct": "accelerators",
    "accelerator_mem_bytes": "acc memory",
    "rx_bytes_per_s": "received/s",
    "tx_bytes_per_s": "sent/s",
    "age_s": "age",
    _DEVICES: _DEVICES,
    _KERNELS: _KERNELS,
    **{label: label.removesuffix("_id") for label in OWNER_LABELS[1:]},
    "problem": "problem",
}
"""The header of each column of the table for people."""
_UTILIZATION: Final = "_util"
_DROPPABLE: Final = (
    *(
        "project",
        "user",
        "acc memory",
        "accelerators",
        "sent/s",
        "received/s",
        _DEVICES,
        "agent",
        "session",
        _KERNELS,
        "age",
    ),
)
"""The headers that a narrow terminal leaves out, the least important first."""


def list_options() -> list[click.Parameter]:
    """Return the options of a list, besides settings and the format."""
    return [
        click.Option(
            ["--sort"],
            metavar="NAME",
            help=f"{', '.join(SORTS)}; - in front sorts in descending order.  [default: id]",
            shell_complete=completing(lambda _: SORTS),
        ),
        click.Option(
            ["--filter", "filters"],
            metavar="TEXT",
            multiple=True,
            help="A part of an id, or LABEL=ID such as user_id=ID, to list only what has it. If repeated, all must match.",
            shell_complete=completing(lambda _: OWNER_LABELS, ending="="),
        ),
        click.Option(["--watch"], is_flag=True, help=f"Read again every {INTERVAL_S:g} seconds, until Ctrl-C."),
    ]


@attrs.frozen(kw_only=True)
class ListCommand:
    """The work of a command that lists objects.

    Args:
        kind: what to list.
        sort: as in `ObjectListing.read`; None is the order of the ids.
        filters: as in `ObjectListing.read`.
        output_format: text, JSON or CSV.
    """

    kind: ObjectKind[Any]
    sort: str | None
    filters: Sequence[str]
    output_format: str

    def run(self, context: CommandContext, *, watch: bool) -> None:
        """Print the list once, or again and again until a signal.

        Raises:
            StatcoreError: the list cannot be read; while watching, only an error that every read would have.
        """
        if watch:
            asyncio.run(run_until_stopped(self._watch(context)))
        else:
            self._print(run(self._read_once(context), doing=f"listing {self.kind.name}"))

    async def _read_once(self, context: CommandContext) -> ListPage[Any]:
        async with context.runtime() as runtime:
            return await self._read(runtime)

    async def _read(self, runtime: Runtime, limit: int | None = None) -> ListPage[Any]:
        listing = ObjectListing(runtime.inventory, runtime.repository)
        return await listing.read(self.kind, sort=self.sort or "id", filters=self.filters, limit=limit, figures=True)

    async def _watch(self, context: CommandContext) -> None:
        async with context.runtime() as runtime:
            is_text = self.output_format == "text"
            on_screen = is_text and sys.stdout.isatty()
            await watch(
                lambda: self._read(runtime, limit=shutil.get_terminal_size().lines if on_screen else None),
                write=self._print,
                draw=self._draw if is_text else None,
            )

    def _draw(self, page: ListPage[Any], console: Console) -> RenderableType:
        from rich.console import Group  # noqa: PLC0415 - only terminals need it
        from rich.text import Text  # noqa: PLC0415

        now = f"at {datetime.now().astimezone():%H:%M:%S}; Ctrl-C ends it"
        heading = Text(f"{page.total_count} {self.kind.name} {now}")
        if not page.items:
            return heading
        problem = _common_problem(page)
        rows = list(_text_rows(page, with_problems=problem is None))
        outage = [] if problem is None else [Text(f"no figures: {printable(problem)}", style="red")]

        def draw(count: int) -> RenderableType:
            table = screen_table([*_HEADERS.values()], rows[:count], console, droppable=_DROPPABLE)
            is_whole = count == page.total_count
            lines = missing_values(page, self.kind.name, self.sort, is_whole=is_whole)
            style = "red" if page.without_value.problem_count and not is_whole else ""
            missing = [Text(printable(line), style=style) for line in lines]
            shown = heading if is_whole else Text(f"{count} of {page.total_count} {self.kind.name} are shown {now}")
            return Group(shown, *missing, *outage, table)

        return screen_rows(draw, len(rows), console)

    def _print(self, page: ListPage[Any]) -> None:
        if self.output_format == "text":
            if page.items:
                problem = _common_problem(page)
                rows = _text_rows(page, with_problems=problem is None)
                write_table([*_HEADERS.values()], rows, droppable=_DROPPABLE)
                if problem is not None:
                    click.echo(f"statcore: no figures: {printable(problem)}", err=True)
            else:
                click.echo(f"statcore: no {self.kind.name}: none exists, or none matches the filters", err=True)
        elif self.output_format == "json":
            items = [_document(item) for item in page.items]
            write_json({self.kind.name: items, "total_count": page.total_count})
        else:
            columns = ["id", *OWNER_LABELS[1:], _KERNELS, *FIGURES, _DEVICES, "problem"]
            write(self.output_format, columns, map(_csv_row, page.items), dict)
        for line in missing_values(page, self.kind.name, self.sort, is_whole=True):
            click.echo(f"statcore: {printable(line)}", err=True)


def missing_values(page: ListPage[Any], name: str, sort: str | None, *, is_whole: bool) -> list[str]:
    """Return a line if no object has a value to be sorted by, or if objects lack it for a problem that may not be shown.

    Args:
        page: a page of the list.
        name: the plural of the name of the objects.
        sort: by what the list is sorted, as in `ObjectListing.read`.
        is_whole: whether all objects are shown, with their problems.
    """
    missing, by = page.without_value, (sort or "id").removeprefix("-")
    if missing.count == page.total_count > 1:
        line = f"{by} is known of none of the {page.total_count} {name}, which are in the order of their ids"
    elif missing.problem_count and not is_whole:
        line = f"{missing.problem_count} of {page.total_count} {name} have a problem and no {by}"
    else:
        return []
    return [line if is_whole or missing.first_problem is None else f"{line}: {missing.first_problem}"]


def _figures(item: ListedObject[Any]) -> Figures:
    return item.figures or Figures()


def _document(item: ListedObject[Any]) -> dict[str, Any]:
    labels = {label: list(item.labels.get(label, ())) for label in OWNER_LABELS}
    return {"id": item.object_id, **labels, **attrs.asdict(_figures(item))}


def _csv_row(item: ListedObject[Any]) -> list[str]:
    values = [item.value(name) for name in ("id", *OWNER_LABELS[1:], _KERNELS, *FIGURES)]
    cells = ["" if value is None else value if isinstance(value, str) else f"{value:.15g}" for value in values]
    return [*cells, _devices(item), _figures(item).problem or ""]


def _common_problem(page: ListPage[Any]) -> str | None:
    """Return the problem that all of several objects have instead of figures, such as a store that is down, or None."""
    first = _figures(page.items[0])
    is_common = len(page.items) > 1 and all(_figures(item) == first for item in page.items)
    return first.problem if is_common and first == Figures(problem=first.problem) else None


def _text_rows(page: ListPage[Any], *, with_problems: bool) -> Iterator[list[str]]:
    for item in page.items:
        yield ["" if name == "problem" and not with_problems else _shown(item, name) for name in _HEADERS]


def _devices(item: ListedObject[Any]) -> str:
    """Return how many devices of each kind have a utilization, such as "8 cpu, 2 cuda"."""
    by_metric = _figures(item).devices or {}
    return ", ".join(
        f"{len(ids)} {metric.removesuffix(_UTILIZATION)}"
        for metric, ids in by_metric.items()
        if metric.endswith(_UTILIZATION)
    )


def _shown(item: ListedObject[Any], name: str) -> str:
    if name == "problem":
        return _figures(item).problem or ""
    if name == _DEVICES:
        return _devices(item)
    value = item.value(name)
    is_itself = value == item.object_id or (name == _KERNELS and list(item.kernel_ids) == [item.object_id])
    return "" if is_itself and name != "id" else _cell(name, value)


def _cell(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if name == _KERNELS:
        return f"{value:.0f}"
    if name.endswith("_pct"):
        return percent_cell(value)
    if name.endswith("_s") and "bytes" not in name:
        return _duration(value)
    return size_cell(value)


def _duration(seconds: float) -> str:
    for unit, size_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f}{unit}"
    return f"{seconds:.0f}s"


def _list_command(kind: ObjectKind[Any], *, text: str) -> click.Command:
    def answer(*, sort: str | None, filters: tuple[str, ...], watch: bool, output_format: str, **_: object) -> None:
        listing = ListCommand(kind=kind, sort=sort, filters=filters, output_format=output_format)
        listing.run(CommandContext.of(click.get_current_context()), watch=watch)

    return click.Command(
        kind.name,
        params=[*list_options(), *setting_options("statistics_url", "metrics_url", "kernel_statistics"), format_option()],
        callback=answer,
        help=f"""{text}

    What exists is read from the series of the metric backend, and the figures from the store. The age is the time since
    the statistics were written.

    JSON is {{"{kind.name}": [{{"id", "kernel_id", "session_id", "agent_id", "user_id", "project_id", "cpu_pct",
    "mem_bytes", "accelerator_pct", "accelerator_mem_bytes", "rx_bytes_per_s", "tx_bytes_per_s", "age_s", "devices",
    "problem"}}], "total_count"}}; a figure that is not known is null, and each label has the list of its ids. The devices
    of an agent are {{metric: [id, ...]}}.
    """,
        epilog=f"""\b
Examples:
    statcore {kind.name}
    statcore {kind.name} --sort -cpu_pct --watch
    statcore {kind.name} --filter project_id=ID --format csv
""",
    )


sessions: Final = _list_command(SESSIONS, text="List the sessions with their owners, kernels and main figures.")
agents: Final = _list_command(AGENTS, text="List the agents with the figures of their nodes.")
endpoints: Final = _list_command(
    ENDPOINTS,
    text="List the inference endpoints, with the figures of their replicas. The series of agents do not name endpoints; on"
    " such a backend the answer is an error.",
)
