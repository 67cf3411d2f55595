"""Opens and closes the store and the metric backend; no other module knows where the data is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from manager.settings import ManagerSettings
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime, Settings, open_runtime


@asynccontextmanager
async def open_ports(settings: ManagerSettings, plugins: PluginRegistry) -> AsyncGenerator[Runtime]:
    """Open the store and the metric backend within the block; neither needs to be running yet.

    Raises:
        InputError: a setting cannot be used.
    """
    chosen = Settings(
        statistics_url=settings.statistics_url,
        # Without this limit an entry counts until it expires, a day after its agent stopped writing.
        statistics_options={"freshness_s": settings.freshness_s},
        metrics_url=settings.metrics_url,
        kernel_statistics=settings.kernel_statistics,
    )
    async with open_runtime(chosen, plugins) as runtime:
        yield runtime
