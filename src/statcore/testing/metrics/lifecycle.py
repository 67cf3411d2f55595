"""A backend that many callers share, callers that are cancelled, and closing."""

from __future__ import annotations

import asyncio

from statcore.ports.metrics import MetricQuerierPort
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, querier_of, selecting
from statcore.testing.metrics.dataset import HOSTILE_VALUES, INTERVAL_S, MetricDataset


async def check_ping_returns(backend: MetricQuerierPort, _dataset: MetricDataset) -> None:
    """A backend that answers lets `ping` return."""
    await backend.ping()


async def check_concurrent_queries_get_their_own_answers(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Many callers share one adapter at the same time, and each call of each method gets its own answer."""
    numbers = range(40)
    answers = await asyncio.gather(*(_answers(backend, dataset, number) for number in numbers))
    for number, answer in zip(numbers, answers, strict=True):
        expect(_expected(number), answer, f"what caller {number} gets from each method")


async def check_cancelled_queries_leave_the_backend_usable(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A caller may be cancelled at any moment: it gets `CancelledError`, and the next caller gets its own answer."""
    time_range = between(dataset, 100, 2_500, step_s=0.1)

    async def query_again() -> None:
        expect(_expected(66), await _answers(backend, dataset, 66), "what the next caller gets from each method")

    for call in (
        lambda: backend.query_utilization(querier_of("ramp"), time_range),
        lambda: backend.query_utilization_now(querier_of("ramp"), time=dataset.at(100)),
        lambda: backend.label_values("shape", match=selecting(case="shapes")),
        lambda: backend.series(selecting(case="shapes")),
    ):
        await cancel_at_every_step(call, then=query_again)


async def check_closing_twice_is_allowed(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Closing again does nothing, also when the backend was used in between."""
    await backend.query_utilization_now(querier_of("ramp"), time=dataset.at(60))
    await backend.aclose()
    await backend.aclose()


async def _answers(backend: MetricQuerierPort, dataset: MetricDataset, number: int) -> list[object]:
    """Return what each method answers about one number of the ramp, or about one of the hostile texts."""
    second = INTERVAL_S * number
    ranged = await backend.query_utilization(querier_of("ramp"), between(dataset, second, second, step_s=15))
    now = await backend.query_utilization_now(querier_of("ramp"), time=dataset.at(second))
    match = selecting(case="hostile", text=_text(number))
    texts = await backend.label_values("text", match=match)
    series = await backend.series(match)
    return [
        [list(found.values) for found in ranged.series],
        [sample.value for sample in now.samples],
        list(texts),
        [labels.get("text") for labels in series],
    ]


def _expected(number: int) -> list[object]:
    return [[[float(number)]], [float(number)], [_text(number)], [_text(number)]]


def _text(number: int) -> str:
    return HOSTILE_VALUES[number % len(HOSTILE_VALUES)]
