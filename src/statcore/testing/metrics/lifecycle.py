"""A backend that many callers share, callers that are cancelled, and closing."""

from __future__ import annotations

import asyncio

from statcore.ports.metrics import MetricQuerierPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, querier_of
from statcore.testing.metrics.dataset import INTERVAL_S, MetricDataset


async def check_ping_returns(backend: MetricQuerierPort, _dataset: MetricDataset) -> None:
    """A backend that answers lets `ping` return."""
    await backend.ping()


async def check_concurrent_queries_get_their_own_answers(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Many callers share one adapter at the same time, and each gets the answer to its own call."""
    numbers = range(40)
    times = [dataset.at(INTERVAL_S * number) for number in numbers]
    results = await asyncio.gather(*(backend.query_utilization_now(querier_of("ramp"), time=time) for time in times))
    found = [sample.value for result in results for sample in result.samples]
    expect([float(number) for number in numbers], found, "the values of concurrent queries")


async def check_cancelled_queries_leave_the_backend_usable(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A caller may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own answer."""
    time_range = between(dataset, 100, 2_500, step_s=0.1)

    async def query_much() -> None:
        await backend.query_utilization(querier_of("ramp"), time_range)

    async def query_one() -> None:
        result = await backend.query_utilization_now(querier_of("ramp"), time=dataset.at(1_000))
        expect([66.0], [sample.value for sample in result.samples], "the values of the next query")

    await cancel_at_every_step(query_much, then=query_one)


async def check_closing_twice_is_allowed(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Closing again does nothing, also when the backend was used in between."""
    await backend.query_utilization_now(querier_of("ramp"), time=dataset.at(60))
    await backend.aclose()
    await backend.aclose()
