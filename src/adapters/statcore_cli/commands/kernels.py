"""`statcore kernels`: the current live statistics of kernels and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import attrs
import click

from statcore.errors import InputError, StatcoreError
from statcore.model.batch import StatisticsBatch, check_fields
from statcore.model.inventory import SessionRecord
from statcore.model.statistics import Problem, ProblemKind
from statcore.model.text import describe, id_text
from statcore.ports.statistics import reader_with_ages
from statcore.services.listing import KERNELS
from statcore.statistics.repository import StatisticsRepositories
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.sessions import SessionStatistics
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import format_option, setting_options
from statcore_cli.commands.lists import ListCommand, list_options
from statcore_cli.entries import Entries, SelectedFields
from statcore_cli.event_loop import run
from statcore_cli.output import write
from statcore_cli.standard_output import printable


@click.command(
    params=[
        click.Argument(["ids"], nargs=-1, metavar="[ID]..."),
        click.Option(
            ["--field", "fields"],
            multiple=True,
            metavar="NAME",
            help='A field such as "cpu_util.pct" or "mem.stats.max", shown in a column; repeat it for more columns.',
        ),
        *list_options(),
        *setting_options("statistics_url", "metrics_url", "kernel_statistics"),
        format_option(),
    ],
    epilog="""\b
Examples:
    statcore kernels --sort -mem_bytes --filter agent_id=i-1
    statcore kernels 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore kernels --statistics-url valkey://127.0.0.1:6379 ID1 ID2
    statcore kernels --field cpu_util.pct --field mem.current ID1 ID2
    statcore kernels --format json ID1 ID2 | jq .problems
    statcore kernels --metrics-url http://127.0.0.1:9090 SESSION
""",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    ids: tuple[str, ...],
    fields: tuple[str, ...],
    sort: str | None,
    filters: tuple[str, ...],
    watch: bool,
    output_format: str,
    **_: object,
) -> None:
    """List the kernels, or show the live statistics of kernels or sessions.

    Without ID, all kernels are listed with their owners and main figures. `statcore sessions --help` describes the list and
    its JSON, where the name of the list is "kernels". The rest of this text is about IDs.

    ID is the UUID of a kernel or a session; the statistics of all IDs are read in one request. The statistics of a session
    are combined from its kernels; the metric backend, if it is configured, says which kernels a session has.

    JSON is {"kernels": {ID: statistics or null}, "ages_s": {ID: seconds or null}, "problems": {ID: {"kind", "message",
    "key"}}}. Statistics are null when the store has none for the ID, or when none of them can be read; in the second case
    the ID has a problem. A metric that cannot be read is a problem, and the other metrics of the ID are shown. The capacity
    and percentage of a metric without a bound mean nothing, and are null. The age is the time since the agent wrote the
    entry; null is an unknown age. With --field the statistics are {field: text or null}, also when none of the fields can
    be read, and null when the store has none.

    Problems are part of the answer, with exit code 0. A store that cannot answer at all is an error.
    """
    if not ids:
        if fields:
            raise InputError("--field needs the ID of a kernel or session; without ID the list has its own columns")
        ListCommand(kind=KERNELS, sort=sort, filters=filters, output_format=output_format).run(
            CommandContext.of(ctx), watch=watch
        )
        return
    if sort is not None or filters or watch:
        raise InputError("--sort, --filter and --watch are for the list of kernels; leave out the IDs")
    distinct_ids = list(dict.fromkeys(map(id_text, ids)))
    check_fields(fields)
    entries = run(_read(CommandContext.of(ctx), distinct_ids, fields), doing="reading live statistics")
    write(output_format, entries.headers, entries.rows(), entries.document)
    if isinstance(entries, SelectedFields) and (unknown := entries.unknown_fields()):
        click.echo(f"statcore: none of the entries has {' or '.join(map(printable, unknown))}", err=True)


async def _read(context: CommandContext, ids: list[str], fields: tuple[str, ...]) -> Entries | SelectedFields:
    batch = await _read_statistics(context, ids)
    if not fields:
        return Entries.read(ids, batch)
    return SelectedFields(ids, await batch.shown_columns(*fields), [entry is not None for entry in batch.entries])


async def _read_statistics(context: CommandContext, ids: list[str]) -> StatisticsBatch:
    """Return the statistics of kernels and sessions by their ids, with one read of the store."""
    from_metrics = context.settings.kernel_statistics.value == "metrics"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(context.statistics())
        if context.settings.metrics_url is None and not from_metrics:
            repository = StatisticsRepositories.create(store, kernels=reader_with_ages(store)).repository
            return await repository.get_kernel_statistics_batch(ids)
        metrics = await stack.enter_async_context(context.metrics())
        repository = context.repository(store, metrics)
        inventory = SeriesInventory(metrics, clock=lambda: datetime.now(UTC))
        records: Sequence[SessionRecord | None]
        inventory_error = None
        try:
            records = await inventory.find_sessions(ids)
        except StatcoreError as error:
            records, inventory_error = [None] * len(ids), error
        kernels_of = {
            id_: [] if record is None else [kernel.kernel_id for kernel in record.kernels]
            for id_, record in zip(ids, records, strict=True)
        }
        batch = await SessionStatistics(repository, inventory).read(kernels_of)
        return batch if inventory_error is None else _explain_missing_entries(batch, inventory_error)


def _explain_missing_entries(batch: StatisticsBatch, inventory_error: StatcoreError) -> StatisticsBatch:
    """Return the batch with a problem for each id without an entry: it may be the id of a session with unknown kernels."""
    message = f"if this is a session, its kernels are not known: {describe(inventory_error)}"
    unknown = {
        position: Problem(ProblemKind.UNAVAILABLE, message=message) for position, entry in enumerate(batch) if entry is None
    }
    return attrs.evolve(batch, problems=unknown | dict(batch.problems))
