"""`statcore kernels`: live statistics of kernels or sessions, as the store has them now."""

from __future__ import annotations

import click

from statcore.model.batch import StatisticsBatch
from statcore.model.ids import id_text
from statcore.statistics.repositories import StatisticsRepositories
from statcore_cli.entries import COLUMNS, Entries
from statcore_cli.options import format_option, setting_options
from statcore_cli.output import write
from statcore_cli.session import Session, run


@click.command(
    params=[
        click.Argument(["ids"], nargs=-1, required=True, metavar="ID..."),
        *setting_options("statistics_url"),
        format_option(),
    ],
    epilog="""\b
Examples:
    statcore kernels 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore kernels --statistics-url valkey://127.0.0.1:6379 ID1 ID2
    statcore kernels --format json ID1 ID2 | jq .problems
""",
)
@click.pass_context
def command(ctx: click.Context, /, ids: tuple[str, ...], output_format: str, **_: object) -> None:
    """Show the live statistics of kernels or sessions.

    ID is the UUID of a kernel or of a session; any number of them is read at once.

    JSON is {"kernels": {ID: statistics or null}, "problems": {ID: {"kind", "message", "key"}}}: null is an ID of which
    the store has nothing, or nothing that can be read, and then it has a problem. Metrics that can be read are shown even
    where another of the same ID cannot.

    A problem is part of the answer; only a store that cannot answer at all is an error.
    """
    wanted = list(dict.fromkeys(map(id_text, ids)))
    entries = Entries.read(wanted, run(_read(Session.of(ctx), wanted), doing="reading live statistics"))
    write(output_format, COLUMNS, entries.rows(), entries.document)


async def _read(session: Session, ids: list[str]) -> StatisticsBatch:
    async with session.statistics() as store:
        return await StatisticsRepositories.create(store).repository.get_kernel_statistics_batch(ids)
