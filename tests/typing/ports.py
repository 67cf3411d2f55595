"""Checked by mypy and pyright, not run: every adapter is, to the type checkers, the port that it says it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, assert_type

import attrs
from redis.asyncio import Redis

from statcore import (
    ContainerMetricQuerier,
    InventoryPort,
    MatrixResult,
    MetricQuerierPort,
    PromQLPort,
    QueryStrategy,
    QueryTimeRange,
    StatisticsBatch,
    StatisticsPort,
    StatisticsRepositories,
    StatisticsRepository,
    StatisticsSinkPort,
    StatisticsStatefulSource,
)
from statcore.model.inventory import EndpointRecord, Page, SessionRecord
from statcore.ports import DatedStatisticsPort, InventorySinkPort, ScrapeSinkPort
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    Matching,
    Number,
    RangeSelector,
    Selector,
)
from statcore.queriers import MetricQuery, PercentOfCapacity, Strategy
from statcore.services import SeriesInventory
from statcore.statistics import ClientStatistics
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics
from statcore_prometheus import PrometheusClient
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


def stores(client: Redis) -> list[StatisticsPort]:
    """Stores that are read."""
    return [MemoryStatistics(), ValkeyStatistics.from_url("valkey://"), ValkeyStatistics.from_clients(client, client)]


def dated_stores() -> list[DatedStatisticsPort]:
    """Stores that tell ages without a freshness bound."""
    return [ValkeyStatistics.from_url("valkey://")]


class StatClient:
    """A manager's client of statistics, as released: more methods than statcore needs, in its own types."""

    async def get_session_statistics_batch(self, session_ids: list[str]) -> list[dict[str, Any] | None]:
        """Return statistics."""
        return [None for _ in session_ids]


class LiveClient:
    """A manager's client of live sessions."""

    async def get_session_statistics_batch(self, session_ids: list[str]) -> list[dict[str, int] | None]:
        """Return numbers."""
        return [{"requests": len(id_), "last_response_ms": 0} for id_ in session_ids]


def through_clients(stat: StatClient, live: LiveClient) -> list[object]:
    """What takes the two clients of a manager, or a store."""
    store: StatisticsPort = ClientStatistics(valkey_stat=stat, valkey_live=live, timeout_s=5)
    return [
        assert_type(StatisticsRepository(valkey_stat=stat, valkey_live=live), StatisticsRepository),
        assert_type(StatisticsStatefulSource(valkey_stat=stat, valkey_live=live), StatisticsStatefulSource),
        assert_type(StatisticsRepositories.create(valkey_stat=stat, valkey_live=live), StatisticsRepositories),
        assert_type(StatisticsStatefulSource(store, chunk_size=10), StatisticsStatefulSource),
        StatisticsRepository(valkey_stat=stat),  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        StatisticsStatefulSource(),  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ]


def sinks(client: Redis) -> list[StatisticsSinkPort]:
    """Stores that are written."""
    own = ValkeyStatisticsSink.from_url("valkey://")
    return [MemoryStatistics(), own, ValkeyStatisticsSink.from_clients(client, client)]


def backends() -> list[MetricQuerierPort]:
    """Backends that answer queriers."""
    return [MemoryMetrics(), PrometheusClient("http://127.0.0.1")]


def inventories(backend: MetricQuerierPort) -> list[InventoryPort]:
    """Inventories to read from."""
    return [MemoryInventory(), SeriesInventory(backend, clock=lambda: datetime.now(UTC), lookback="1m")]


def inventory_sinks() -> list[InventorySinkPort]:
    """Inventories to write to."""
    return [MemoryInventory()]


def promql_backends() -> list[PromQLPort]:
    """Backends that evaluate PromQL."""
    return [MemoryMetrics(), PrometheusClient("http://127.0.0.1")]


def scrape_sinks() -> list[ScrapeSinkPort]:
    """Backends that are filled by scrapes."""
    return [MemoryMetrics()]


async def answers(store: StatisticsPort, backend: MetricQuerierPort) -> None:
    """What comes back has one exact type."""
    repository = assert_type(StatisticsRepositories.create(store).repository, StatisticsRepository)
    assert_type(await repository.get_kernel_statistics_batch(["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"]), StatisticsBatch)
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current")
    time_range = QueryTimeRange(start="2026-11-22T10:00:00Z", end=1_795_345_200, step="1m")
    assert_type(await backend.query_utilization(querier, time_range), MatrixResult)


async def pages(inventory: InventoryPort) -> None:
    """A page is one of a kind of record."""
    assert_type(await inventory.list_sessions(limit=10), Page[SessionRecord])
    assert_type(await inventory.list_endpoints(offset=10), Page[EndpointRecord])
    assert_type(await inventory.list_agents(), Page[str])
    assert_type(Page.cut(["i-1"], limit=None, offset=0), Page[str])


@attrs.frozen
class Largest:
    """A strategy with a parameter."""

    operator: Literal["max", "min"]

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Take the largest of each group."""
        del window
        return Aggregation(self.operator, Selector(query.name, query.matchers), query.group_by)


def changed(query: MetricQuery, window: str) -> Expression:
    """Return how much a value changed: a strategy that is a function."""
    change = Call("delta", RangeSelector(Selector(query.name, query.matchers), window))
    return Aggregation("sum", change, query.group_by)


@attrs.frozen
class OfLimit:
    """A strategy of two series, of which one lacks a label."""

    replaces: ClassVar = ("phase",)

    def __call__(self, query: MetricQuery, window: str, /) -> Expression:
        """Divide by what is above zero, partner by partner, and say what it is."""
        del window
        limited = BinaryOperation(">", Selector("limit", {"rack": "r1"}), Number(0))
        share = BinaryOperation("/", Selector(query.name, query.matchers), limited, matching=Matching.on("rack"))
        return ConstantLabel(Aggregation("sum", share, query.group_by), "kind", "share")


def strategies() -> list[Strategy]:
    """What `query_strategy` may return."""
    return [QueryStrategy.GAUGE, PercentOfCapacity(is_counter=True), Largest("max"), OfLimit(), changed]
