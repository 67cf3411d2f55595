"""Kernels, the series that tell of them, and backends that are asked for these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.queriers import LabelMatcher
from statcore.services import SeriesInventory
from statcore.testing.inventory import container_samples
from statcore_memory import MemoryMetrics

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SERIES = "backendai_container_utilization"


def id_of(number: int) -> str:
    """Return an id; a greater number's is greater."""
    return str(UUID(int=number))


def kernel(number: int, **changes: Any) -> KernelRecord:
    """Return a kernel of a session of its own."""
    ids = {label: id_of(number * 10 + at) for at, label in enumerate(["kernel_id", "session_id", "user_id", "project_id"])}
    return KernelRecord(**{**ids, "agent_id": "i-1", **changes})


def session(*kernels: KernelRecord) -> SessionRecord:
    """Return the session of kernels."""
    return SessionRecord(session_id=str(kernels[0].session_id), kernels=kernels)


def scraped(*kernels: KernelRecord) -> MemoryMetrics:
    """Return a backend that has just scraped these kernels."""
    metrics = MemoryMetrics()
    metrics.append_scrape(container_samples(kernels), target="agents", time=NOW)
    return metrics


def scrape(metrics: MemoryMetrics, *kernels: KernelRecord, seconds: Iterable[int], target: str = "agents") -> None:
    """Scrape these kernels again, so many seconds later."""
    for second in seconds:
        metrics.append_scrape(container_samples(kernels), target=target, time=NOW + timedelta(seconds=second))


def looking(metrics: Any, *, after_s: float = 0, **options: timedelta | str) -> SeriesInventory:
    """Return an inventory so many seconds later."""
    return SeriesInventory(metrics, clock=lambda: NOW + timedelta(seconds=after_s), **options)


async def sessions(inventory: SeriesInventory) -> list[SessionRecord]:
    """Return all sessions, having made sure that they are found as they are listed."""
    page = await inventory.list_sessions()
    assert page.items == await inventory.find_sessions([one.session_id for one in page.items])
    assert page.total_count == len(page.items)
    return list(page.items)


class Recording:
    """A backend that remembers what it was asked, and how many questions were on their way at once."""

    def __init__(self, answer: Callable[..., Coroutine[Any, Any, MatrixResult]]) -> None:
        """Answer by this."""
        self.answer = answer
        self.asked: list[tuple[dict[str, Any], list[str], QueryTimeRange]] = []
        self.under_way = self.most = 0

    async def query_utilization(self, querier: Any, time_range: QueryTimeRange) -> MatrixResult:
        """Take a few turns to answer."""
        assert SERIES == querier.name()
        self.asked.append((dict(querier.labels()), list(querier.group_by_labels()), time_range))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            return await self.answer(querier, time_range)
        finally:
            self.under_way -= 1

    def ids_asked(self) -> list[int]:
        """Return how many sessions each question names."""
        named: list[LabelMatcher] = [labels["session_id"] for labels, *_ in self.asked if "session_id" in labels]
        return [len(matcher.alternatives) or 1 for matcher in named]


def answering(*series: Series, **notes: Any) -> Recording:
    """Return a backend that has one answer."""

    async def answer(*_: Any) -> MatrixResult:
        return MatrixResult(series=series, **notes)

    return Recording(answer)
