"""Where the demo's data goes through: in this process, or through a real Valkey and a real Prometheus."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs

from statcore.plugins.registry import PluginRegistry
from statcore.ports import MetricQuerierPort
from statcore.runtime import Settings, open_runtime, open_sink
from statcore.statistics.repository import StatisticsRepository
from statcore.testing.servers import running_prometheus, running_valkey
from statcore_collector import Collector, start_exporter

INTERVAL_S: Final = 1.0
AGENT_ID: Final = "demo"


@attrs.frozen(kw_only=True)
class Stage:
    """The collector, and what its data is read back through."""

    collector: Collector
    repository: StatisticsRepository
    metrics: MetricQuerierPort


@asynccontextmanager
async def embedded_stage(registry: PluginRegistry) -> AsyncGenerator[Stage]:
    """Open the store and the backend that live in this process: no server at all."""
    settings = Settings(statistics_url="memory://", metrics_url="memory://")
    async with open_runtime(settings, registry) as runtime, open_sink(settings, registry) as sink:
        collector = Collector(sink, agent_id=AGENT_ID, interval_s=INTERVAL_S)
        yield Stage(collector=collector, repository=runtime.repository, metrics=runtime.metrics)


@asynccontextmanager
async def server_stage(registry: PluginRegistry) -> AsyncGenerator[Stage]:
    """Start a Valkey that is written to and a Prometheus that scrapes the collector, and end both whatever happens.

    Raises:
        UnavailableError: a program is not installed, or does not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="statcore-demo-")))
        # Starting blocks the loop, on which nothing else runs yet.
        valkey = stack.enter_context(running_valkey(folder))
        sink = await stack.enter_async_context(open_sink(Settings(statistics_url=valkey.url), registry))
        collector = Collector(sink, agent_id=AGENT_ID, interval_s=INTERVAL_S)
        exporter = start_exporter(collector)
        stack.callback(exporter.close)
        targets = {"statcore": exporter.address}
        prometheus = stack.enter_context(running_prometheus(folder, targets=targets, scrape_interval=f"{INTERVAL_S:.0f}s"))
        settings = Settings(statistics_url=valkey.url, metrics_url=prometheus.url)
        runtime = await stack.enter_async_context(open_runtime(settings, registry))
        yield Stage(collector=collector, repository=runtime.repository, metrics=runtime.metrics)
