"""Stand-ins for the inventory from series: kernels, their series, and backends that have them."""

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
NODES = "backendai_device_utilization"


def id_of(number: int) -> str:
    """Return an id; ids are ordered like their numbers."""
    return str(UUID(int=number))


def kernel(number: int, **changes: Any) -> KernelRecord:
    """Return a kernel of a session of its own."""
    ids = {label: id_of(number * 10 + at) for at, label in enumerate(["kernel_id", "session_id", "user_id", "project_id"])}
    return KernelRecord(**{**ids, "agent_id": "i-1", **changes})


def session(*kernels: KernelRecord) -> SessionRecord:
    """Return the session of kernels."""
    return SessionRecord(session_id=str(kernels[0].session_id), kernels=kernels)


def scraped(*kernels: KernelRecord) -> MemoryMetrics:
    """Return a backend with one scrape of these kernels."""
    metrics = MemoryMetrics()
    metrics.append_scrape(container_samples(kernels), target="agents", time=NOW)
    return metrics


def scrape(metrics: MemoryMetrics, *kernels: KernelRecord, seconds: Iterable[int], target: str = "agents") -> None:
    """Scrape these kernels again at several seconds after `NOW`."""
    for second in seconds:
        metrics.append_scrape(container_samples(kernels), target=target, time=NOW + timedelta(seconds=second))


def inventory_at(metrics: Any, *, after_s: float = 0, **options: timedelta | str) -> SeriesInventory:
    """Return an inventory whose clock is some seconds after `NOW`."""
    return SeriesInventory(metrics, clock=lambda: NOW + timedelta(seconds=after_s), **options)


async def sessions(inventory: SeriesInventory) -> list[SessionRecord]:
    """Return all sessions, after checking that each is found as it is listed."""
    page = await inventory.list_sessions()
    assert page.items == await inventory.find_sessions([record.session_id for record in page.items])
    assert page.total_count == len(page.items)
    return list(page.items)


class Recording:
    """A backend that records queries, and how many ran at once."""

    def __init__(self, answer: Callable[..., Coroutine[Any, Any, MatrixResult]]) -> None:
        """Answer by this."""
        self.answer = answer
        self.queries: list[tuple[dict[str, Any], list[str], QueryTimeRange]] = []
        self.under_way = self.most = 0

    async def query_utilization(self, querier: Any, time_range: QueryTimeRange, /, **_options: Any) -> MatrixResult:
        """Answer after a few turns of the event loop."""
        assert querier.name() in {SERIES, NODES}
        self.queries.append((dict(querier.labels()), list(querier.group_by_labels()), time_range))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            return await self.answer(querier, time_range)
        finally:
            self.under_way -= 1

    def __getattr__(self, name: str) -> Any:
        """Refuse the rest of `MetricQuerierPort`, which type checkers take to be there."""
        raise AttributeError(name)

    def ids_per_query(self) -> list[int]:
        """Return how many sessions each query names."""
        named: list[LabelMatcher] = [labels["session_id"] for labels, *_ in self.queries if "session_id" in labels]
        return [len(matcher.alternatives) or 1 for matcher in named]


def answering(*series: Series, **notes: Any) -> Recording:
    """Return a backend that gives every query the same answer."""

    async def answer(*_: Any) -> MatrixResult:
        return MatrixResult(series=series, **notes)

    return Recording(answer)
