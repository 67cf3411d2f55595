"""Measures reads of live statistics of 1, 1,000 and 10,000 kernels from a real Valkey."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import msgpack
from report import CPU_RATIO, STALL_MS, Contender, Goal, Report
from timing import idle_stall_s
from workload import Stored, kernel_ids, stored

from statcore.model import StatisticsBatch, StatisticsColumns

SIZES: Final = (1, 1_000, 10_000)
FIELDS: Final = ("cpu_util.pct", "mem.current", "net_rx.current")
_PATHS: Final = tuple(field.split(".") for field in FIELDS)
_STALLS_AT: Final = 10_000


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table per size."""
    async with stored(scratch, kernels=max(SIZES)) as source:
        report.progress(f"{source.version}; a ticker alone sees {await idle_stall_s() * 1e3:.2f} ms")
        for size in SIZES:
            contenders = one_kernel(source) if size == 1 else many_kernels(source, size)
            await report.compare(
                f"live statistics of {size:,} kernel{'s' if size > 1 else ''}, {source.version}",
                contenders,
                repeats=repeats,
                stalls=size == _STALLS_AT,
                helpers=source.helpers,
            )


@attrs.frozen
class KernelReads:
    """Ways to read kernels, each a coroutine function that fetches and returns what its name says.

    Args:
        source: what is read.
        ids: the kernels.
    """

    source: Stored
    ids: list[str]

    async def redis_msgpack(self) -> list[dict[str, Any]]:
        """Every field as dicts, in one step, as users do."""
        return [msgpack.unpackb(value) for value in await self.source.redis.mget(self.ids)]

    async def redis_three_fields(self) -> list[tuple[str, ...]]:
        """Three fields of these dicts."""
        return [_three(entry) for entry in await self.redis_msgpack()]

    async def redis_json(self) -> str:
        """These dicts as JSON."""
        return json.dumps(await self.redis_msgpack())

    async def redis_get(self) -> object:
        """The first kernel, not decoded."""
        return await self.source.redis.get(self.ids[0])

    async def batch(self) -> StatisticsBatch:
        """A batch whose entries are not read."""
        return await self.source.repository.get_kernel_statistics_batch(self.ids)

    async def columns(self) -> StatisticsColumns:
        """Three fields as columns, without entries."""
        return await self.source.repository.get_kernel_statistics_columns(self.ids, FIELDS)

    async def columns_of_batch(self) -> StatisticsColumns:
        """Three fields as columns of a batch, which could serve for more."""
        return await (await self.batch()).columns(*FIELDS)

    async def three_fields(self) -> list[tuple[str, ...]]:
        """Three fields of each entry."""
        return [_three(entry) async for entry in await self.batch() if entry is not None]

    async def every_field(self) -> list[dict[str, Any]]:
        """Every field of each entry."""
        return [dict(entry.items()) async for entry in await self.batch() if entry is not None]

    async def all_as_json(self) -> bytes:
        """The batch as JSON."""
        return await (await self.batch()).encode_json()


def one_kernel(source: Stored) -> list[Contender]:
    """Return the contenders for one kernel."""
    reads = KernelReads(source, kernel_ids(1))
    return [
        Contender(name="redis-py GET, not decoded", run=reads.redis_get),
        Contender(name="statcore, batch of one", run=reads.batch, goals={CPU_RATIO: Goal(1.25)}),
    ]


def many_kernels(source: Stored, size: int) -> list[Contender]:
    """Return the contenders for many kernels."""
    reads = KernelReads(source, kernel_ids(size))

    def goals(cpu_ratio: float, *, stall_ms: float = 16) -> dict[str, Goal]:
        return {CPU_RATIO: Goal(cpu_ratio)} | ({STALL_MS: Goal(stall_ms)} if size == _STALLS_AT else {})

    return [
        Contender(name="redis-py MGET + msgpack", run=reads.redis_msgpack, grows=True),
        Contender(name="redis-py MGET + msgpack, three fields", run=reads.redis_three_fields),
        Contender(name="redis-py MGET + msgpack + json", run=reads.redis_json),
        Contender(name="statcore, batch", run=reads.batch, goals=goals(0.30, stall_ms=8), grows=True),
        Contender(name="statcore, three fields as columns", run=reads.columns, goals=goals(0.28), grows=True),
        Contender(name="statcore, columns of a batch", run=reads.columns_of_batch),
        Contender(name="statcore, three fields of each entry", run=reads.three_fields, goals=goals(0.45), grows=True),
        Contender(name="statcore, every field of each entry", run=reads.every_field, goals=goals(0.70)),
        Contender(name="statcore, all as JSON", run=reads.all_as_json, goals=goals(0.55), grows=True),
    ]


def _three(entry: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry[metric][name] for metric, name in _PATHS)
