"""A store that many callers share, callers that are cancelled, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.statistics.planting import KERNELS, KINDS, Kind


async def check_ping_returns(store: StatisticsPort, _sink: StatisticsSinkPort) -> None:
    """A store that answers lets `ping` return."""
    await store.ping()


async def check_concurrent_reads_get_their_own_answers(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Many callers share one adapter at the same time, and each gets the answer to its own call."""
    for kind in KINDS:
        ids = await kind.plant(sink, 50)
        batches = await asyncio.gather(*(kind.fetch(store, [id_, ids[0]]) for id_ in ids))
        for number, batch in enumerate(batches):
            kind.expect_batch([number, 0], batch)


async def check_cancelled_reads_leave_the_store_usable(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A reader may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own data."""
    for kind in KINDS:
        await _cancel_reads(kind, await kind.plant(sink, 200), store)


async def check_cancelled_writes_leave_the_store_usable(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A writer may be cancelled at any moment: it gets `CancelledError`, and the next write is stored."""
    for kind in KINDS:
        await _cancel_writes(kind, store, sink)


async def check_closing_twice_is_allowed(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Closing the reader or the writer again does nothing, also when it was used in between."""
    await KERNELS.plant(sink, 1)
    for port in (store, sink):
        await port.aclose()
        await port.aclose()


async def _cancel_reads(kind: Kind, ids: Sequence[Any], store: StatisticsPort) -> None:
    async def read_many() -> None:
        await kind.fetch(store, ids)

    async def read_one() -> None:
        await kind.expect([7], store, [ids[7]])

    await cancel_at_every_step(read_many, then=read_one)


async def _cancel_writes(kind: Kind, store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    numbers = dict.fromkeys(kind.new_ids(200), 1)

    async def write_many() -> None:
        await kind.store(sink, numbers)

    async def write_one() -> None:
        await kind.expect([0], store, await kind.plant(sink, 1))

    await cancel_at_every_step(write_many, then=write_one)
