"""Scrapes for the metric backend in memory, by seconds since the first one."""

from __future__ import annotations

from datetime import UTC, datetime

from statcore.model import QueryTimeRange
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics

NOW = 1_795_000_000.0


UP = FixedQuerier("up", group_by=["job"])


def at(seconds: float) -> datetime:
    """Return the time `seconds` after the first scrape."""
    return datetime.fromtimestamp(NOW + seconds, UTC)


def scrape(metrics: MemoryMetrics, seconds: float, /, *jobs: str, target: str = "t", value: float = 1.0) -> None:
    """Append a scrape with `up` for some jobs, `seconds` after the first."""
    metrics.append_scrape([("up", {"job": job}, value) for job in jobs], target=target, time=NOW + seconds)


async def values(metrics: MemoryMetrics, seconds: float) -> dict[str, float]:
    """Return the value of each job, `seconds` after the first scrape."""
    result = await metrics.query_utilization_now(UP, time=at(seconds))
    return {sample.labels.get("job", ""): sample.value for sample in result.samples}


async def points(metrics: MemoryMetrics, querier: FixedQuerier = UP, *, end: float, step: str = "1s") -> dict[float, float]:
    """Return the only series of a range from the first scrape on, by seconds since then."""
    result = await metrics.query_utilization(querier, QueryTimeRange(start=at(0), end=at(end), step=step))
    (series,) = result.series
    return {time - NOW: value for time, value in zip(series.timestamps, series.values, strict=True)}
