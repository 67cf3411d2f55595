"""Measures a request's loader of 1,000 kernels over the explicit batch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from report import CPU_RATIO, Contender, Goal, Report
from workload import Stored, kernel_ids, stored

from statcore.plugins import PluginRegistry
from statcore_graphql import GraphQueryContext
from statcore_memory import MemoryInventory, MemoryMetrics

KEYS: Final = 1_000
_LOADER: Final = "KernelStatistics.by_kernel"


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    async with stored(scratch, kernels=KEYS) as source:
        title = f"loader of {KEYS:,} keys, {source.version}"
        await report.compare(title, contenders(source, KEYS), repeats=repeats, helpers=source.helpers)


def contenders(source: Stored, keys: int) -> list[Contender]:
    """Return the ways to load the same entries; a context, as a request has it, is made for each run."""
    ids, plugins = kernel_ids(keys), PluginRegistry.discover()

    def context() -> GraphQueryContext:
        return GraphQueryContext(
            statistics_repository=source.repository,
            inventory=MemoryInventory(),
            metrics=MemoryMetrics(),
            plugins=plugins,
        )

    async def batch() -> object:
        return list(await source.repository.get_kernel_statistics_batch(ids))

    async def load_many() -> object:
        ctx = context()
        return await ctx.dataloader_manager.get_loader(ctx, _LOADER).load_many(ids)

    async def coroutine_for_each_key() -> object:
        ctx = context()

        async def load(key: str) -> object:
            return await ctx.dataloader_manager.get_loader(ctx, _LOADER).load(key)

        return await asyncio.gather(*map(load, ids))

    return [
        Contender(name="statcore, explicit batch", run=batch),
        Contender(name="statcore, load_many", run=load_many, goals={CPU_RATIO: Goal(1.4)}),
        Contender(name="statcore, a coroutine for each key", run=coroutine_for_each_key, goals={CPU_RATIO: Goal(2.5)}),
    ]
