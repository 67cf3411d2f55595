"""Checked by mypy and pyright, not run: every adapter is, to the type checkers, the port that it says it is."""

from __future__ import annotations

from typing import assert_type

from redis.asyncio import Redis

from statcore import (
    ContainerMetricQuerier,
    MatrixResult,
    MetricQuerierPort,
    PromQLPort,
    QueryTimeRange,
    StatisticsBatch,
    StatisticsPort,
    StatisticsRepositories,
    StatisticsRepository,
    StatisticsSinkPort,
)
from statcore.ports import ScrapeSinkPort
from statcore_memory import MemoryMetrics, MemoryStatistics
from statcore_prometheus import PrometheusClient
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


def stores(client: Redis) -> list[StatisticsPort]:
    """Stores that are read."""
    return [MemoryStatistics(), ValkeyStatistics.from_url("valkey://"), ValkeyStatistics.from_clients(client, client)]


def sinks(client: Redis) -> list[StatisticsSinkPort]:
    """Stores that are written."""
    own = ValkeyStatisticsSink.from_url("valkey://")
    return [MemoryStatistics(), own, ValkeyStatisticsSink.from_clients(client, client)]


def backends() -> list[MetricQuerierPort]:
    """Backends that answer queriers."""
    return [MemoryMetrics(), PrometheusClient("http://127.0.0.1")]


def other_roles() -> tuple[PromQLPort, ScrapeSinkPort]:
    """Roles that one backend has and the other has not."""
    return PrometheusClient("http://127.0.0.1"), MemoryMetrics()


async def answers(store: StatisticsPort, backend: MetricQuerierPort) -> None:
    """What comes back has one exact type."""
    repository = assert_type(StatisticsRepositories.create(store).repository, StatisticsRepository)
    assert_type(await repository.get_kernel_statistics_batch(["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"]), StatisticsBatch)
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current")
    time_range = QueryTimeRange(start="2026-11-22T10:00:00Z", end=1_795_345_200, step="1m")
    assert_type(await backend.query_utilization(querier, time_range), MatrixResult)
