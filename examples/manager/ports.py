"""Opening what the manager reads from, and closing it again: the only place that knows where the data is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from manager.settings import ManagerSettings
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime, Settings, open_runtime


@asynccontextmanager
async def open_ports(settings: ManagerSettings, plugins: PluginRegistry) -> AsyncGenerator[Runtime]:
    """Open the store and the metric backend; neither has to answer yet."""
    chosen = Settings(
        statistics_url=settings.statistics_url,
        # Without a bound on its age an entry is believed until it expires, a day after its agent fell silent.
        statistics_options={"freshness_s": settings.freshness_s},
        metrics_url=settings.metrics_url,
        kernel_statistics=settings.kernel_statistics,
    )
    async with open_runtime(chosen, plugins) as runtime:
        yield runtime
