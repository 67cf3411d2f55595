"""`statcore kernels`: live statistics of kernels or sessions, as the store has them now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import attrs
import click

from statcore.errors import StatcoreError
from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.inventory import SessionRecord
from statcore.model.text import describe, id_text
from statcore.ports.promql import as_promql
from statcore.ports.statistics import DatedStatisticsPort, KernelStatisticsPort
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.repository import StatisticsRepositories
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.sessions import SessionStatistics
from statcore_cli.entries import COLUMNS, Entries
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.session import Session, run


@click.command(
    params=[
        click.Argument(["ids"], nargs=-1, required=True, metavar="ID..."),
        *setting_options("statistics_url", "metrics_url", "kernel_statistics"),
        format_option(),
    ],
    epilog="""\b
Examples:
    statcore kernels 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore kernels --statistics-url valkey://127.0.0.1:6379 ID1 ID2
    statcore kernels --format json ID1 ID2 | jq .problems
    statcore kernels --metrics-url http://127.0.0.1:9090 SESSION
""",
)
@click.pass_context
def command(ctx: click.Context, /, ids: tuple[str, ...], output_format: str, **_: object) -> None:
    """Show the live statistics of kernels or sessions.

    ID is the UUID of a kernel or of a session; any number of them is read at once. The statistics of a session are those
    of its kernels, put together; which kernels these are is asked of the metric backend, where one is configured.

    JSON is {"kernels": {ID: statistics or null}, "ages_s": {ID: seconds or null}, "problems": {ID: {"kind", "message",
    "key"}}}: null is an ID of which the store has nothing, or nothing that can be read, and then it has a problem. Metrics
    that can be read are shown even where another of the same ID cannot. A capacity or percentage of a metric without a
    bound is no figure, and not shown. The age is the time since the agent wrote; null is an age that is not known.

    A problem is part of the answer; only a store that cannot answer at all is an error.
    """
    wanted = list(dict.fromkeys(map(id_text, ids)))
    entries = Entries.read(wanted, run(_read(Session.of(ctx), wanted), doing="reading live statistics"))
    write(output_format, COLUMNS, entries.rows(), entries.document)


async def _read(session: Session, ids: list[str]) -> StatisticsBatch:
    """Read the ids with one request; each may be a session's."""
    from_metrics = session.settings.kernel_statistics.value == "metrics"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(session.statistics())
        kernels: KernelStatisticsPort | None = store.with_ages() if isinstance(store, DatedStatisticsPort) else None
        if session.settings.metrics_url is None and not from_metrics:
            return await StatisticsRepositories.create(store, kernels=kernels).repository.get_kernel_statistics_batch(ids)
        metrics = await stack.enter_async_context(session.metrics())
        if from_metrics:
            kernels = KernelLiveStatService(as_promql(metrics, wanted_by="kernel_statistics is metrics"))
        repository = StatisticsRepositories.create(store, kernels=kernels).repository
        inventory = SeriesInventory(metrics, clock=lambda: datetime.now(UTC))
        records: Sequence[SessionRecord | None]
        unknown = None
        try:
            records = await inventory.find_sessions(ids)
        except StatcoreError as error:
            records, unknown = [None] * len(ids), error
        kernels_of = {
            id_: [] if record is None else [kernel.kernel_id for kernel in record.kernels]
            for id_, record in zip(ids, records, strict=True)
        }
        batch = await SessionStatistics(repository, inventory).read(kernels_of)
        return batch if unknown is None else _with_doubt(batch, unknown)


def _with_doubt(batch: StatisticsBatch, error: StatcoreError) -> StatisticsBatch:
    """Return a batch that says of each id without an entry that, were it a session's, its kernels are not known."""
    message = f"if this is a session, its kernels are not known: {describe(error)}"
    doubts = {
        position: Problem(ProblemKind.UNAVAILABLE, message=message) for position, entry in enumerate(batch) if entry is None
    }
    return attrs.evolve(batch, problems=doubts | dict(batch.problems))
