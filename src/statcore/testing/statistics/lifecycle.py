"""A store that many callers share, callers that are cancelled, and closing."""

from __future__ import annotations

import asyncio

from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.statistics.planting import expect_numbers, plant_kernels


async def check_ping_returns(store: StatisticsPort, _sink: StatisticsSinkPort) -> None:
    """A store that answers lets `ping` return."""
    await store.ping()


async def check_concurrent_reads_get_their_own_answers(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Many callers share one adapter at the same time, and each gets the answer to its own call."""
    ids = await plant_kernels(sink, 50)
    batches = await asyncio.gather(*(store.fetch_kernel_statistics([id_, ids[0]]) for id_ in ids))
    for number, batch in enumerate(batches):
        expect_numbers([number, 0], batch)


async def check_cancelled_reads_leave_the_store_usable(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A caller may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own data."""
    ids = await plant_kernels(sink, 200)

    async def read_many() -> None:
        await store.fetch_kernel_statistics(ids)

    async def read_one() -> None:
        expect_numbers([7], await store.fetch_kernel_statistics([ids[7]]))

    await cancel_at_every_step(read_many, then=read_one)


async def check_closing_twice_is_allowed(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Closing the reader or the writer again does nothing, also when it was used in between."""
    await plant_kernels(sink, 1)
    for port in (store, sink):
        await port.aclose()
        await port.aclose()
