"""Measures reads of live statistics of 1, 1,000 and 10,000 kernels from a real Valkey."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack
from report import CPU_RATIO, STALL_MS, Contender, Goal, Report
from timing import idle_stall_s
from workload import Stored, kernel_ids, stored

SIZES: Final = (1, 1_000, 10_000)
FIELDS: Final = ("cpu_util.pct", "mem.current", "net_rx.current")
_STALLS_FROM: Final = 10_000


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
                stalls=size >= _STALLS_FROM,
                helpers=source.helpers,
            )


def one_kernel(source: Stored) -> list[Contender]:
    """Return the contenders for one kernel."""
    (id_,) = kernel_ids(1)

    async def redis_get() -> object:
        return await source.redis.get(id_)

    async def batch() -> object:
        return await source.repository.get_kernel_statistics_batch([id_])

    return [
        Contender(name="redis-py GET, not decoded", run=redis_get),
        Contender(name="statcore, batch of one", run=batch, goals={CPU_RATIO: Goal(1.25)}),
    ]


def many_kernels(source: Stored, size: int) -> list[Contender]:
    """Return the contenders for many kernels; those that return all fields, or the same three fields, return the same."""
    ids = kernel_ids(size)
    stalls = size >= _STALLS_FROM

    async def redis_msgpack() -> list[dict[str, dict[str, Any]]]:
        return [msgpack.unpackb(value) for value in await source.redis.mget(ids)]

    async def redis_three_fields() -> list[tuple[str, ...]]:
        return [_three(entry) for entry in await redis_msgpack()]

    async def redis_json() -> list[str]:
        return [json.dumps(entry) for entry in await redis_msgpack()]

    async def batch() -> object:
        return await source.repository.get_kernel_statistics_batch(ids)

    async def columns() -> list[tuple[str, ...]]:
        found = await source.repository.get_kernel_statistics_columns(ids, FIELDS)
        return list(zip(*(found[field] for field in FIELDS), strict=True))

    async def columns_of_batch() -> list[tuple[str, ...]]:
        found = await (await source.repository.get_kernel_statistics_batch(ids)).columns(*FIELDS)
        return list(zip(*(found[field] for field in FIELDS), strict=True))

    async def three_fields() -> list[tuple[str, ...]]:
        entries = await source.repository.get_kernel_statistics_batch(ids)
        return [_three(entry) async for entry in _found(entries)]

    async def every_field() -> list[dict[str, dict[str, Any]]]:
        entries = await source.repository.get_kernel_statistics_batch(ids)
        return [dict(entry.items()) async for entry in _found(entries)]

    async def all_as_json() -> bytes:
        return await (await source.repository.get_kernel_statistics_batch(ids)).encode_json()

    def goals(cpu_ratio: float, stall_ms: float | None = 16) -> dict[str, Goal]:
        return {CPU_RATIO: Goal(cpu_ratio)} | ({STALL_MS: Goal(stall_ms)} if stalls and stall_ms else {})

    return [
        Contender(name="redis-py MGET + msgpack", run=redis_msgpack),
        Contender(name="redis-py MGET + msgpack, three fields", run=redis_three_fields),
        Contender(name="redis-py MGET + msgpack + json", run=redis_json),
        Contender(name="statcore, batch", run=batch, goals=goals(0.30, 8)),
        Contender(name="statcore, three fields as columns", run=columns, goals=goals(0.28)),
        Contender(name="statcore, columns of a batch", run=columns_of_batch),
        Contender(name="statcore, three fields of each entry", run=three_fields, goals=goals(0.45)),
        Contender(name="statcore, every field of each entry", run=every_field, goals=goals(0.70)),
        Contender(name="statcore, all as JSON", run=all_as_json, goals=goals(0.55)),
    ]


def _three(entry: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry[metric][name] for metric, name in (field.split(".") for field in FIELDS))


async def _found(batch: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for entry in batch:
        if entry is not None:
            yield entry
