"""The composition root: opens what a `Settings` value names, and closes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs

from statcore.errors import InputError
from statcore.plugins.registry import PluginRegistry
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.statistics.repositories import StatisticsRepositories
from statcore.statistics.repository import StatisticsRepository


@attrs.frozen(kw_only=True)
class Settings:
    """Which store and which backend, and their own options by name; the URL's scheme chooses the adapter."""

    statistics_url: str
    metrics_url: str
    statistics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    metrics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)


@attrs.frozen(kw_only=True)
class Runtime:
    """What is open: the store, the repository over it, and the metric backend."""

    statistics: StatisticsPort
    repository: StatisticsRepository
    metrics: MetricQuerierPort


def _scheme(url: str, setting: str) -> str:
    scheme, colon, _ = url.partition(":")
    if not colon or not urlsplit(f"{scheme}://").scheme:
        raise InputError(f"{setting} has no scheme such as valkey:// or http://")
    return scheme.lower()


@asynccontextmanager
async def open_statistics(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[StatisticsPort]:
    """Open the store that `settings.statistics_url` names for reading."""
    spec = registry.statistics_store(_scheme(settings.statistics_url, "statistics_url"))
    async with AsyncExitStack() as stack:
        store = await spec.open(settings.statistics_url, settings.statistics_options)
        stack.push_async_callback(store.aclose)
        yield store


@asynccontextmanager
async def open_metrics(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[MetricQuerierPort]:
    """Open the backend that `settings.metrics_url` names."""
    spec = registry.metric_backend(_scheme(settings.metrics_url, "metrics_url"))
    async with AsyncExitStack() as stack:
        backend = await spec.open(settings.metrics_url, settings.metrics_options)
        stack.push_async_callback(backend.aclose)
        yield backend


@asynccontextmanager
async def open_sink(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[StatisticsSinkPort]:
    """Open the store that `settings.statistics_url` names for writing.

    Raises:
        InputError: the store is read only.
    """
    spec = registry.statistics_store(_scheme(settings.statistics_url, "statistics_url"))
    if spec.open_sink is None:
        raise InputError(f"statistics_url names a store that can only be read: {spec.name}")
    async with AsyncExitStack() as stack:
        sink = await spec.open_sink(settings.statistics_url, settings.statistics_options)
        stack.push_async_callback(sink.aclose)
        yield sink


@asynccontextmanager
async def open_runtime(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[Runtime]:
    """Open everything that a manager reads with."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_statistics(settings, registry))
        metrics = await stack.enter_async_context(open_metrics(settings, registry))
        yield Runtime(statistics=store, repository=StatisticsRepositories.create(store).repository, metrics=metrics)
