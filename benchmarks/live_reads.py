"""Measures reads of live statistics of 1, 1,000 and 10,000 kernels from a real Valkey."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgpack
from redis.asyncio import Redis
from report import Row, print_rows
from rich.console import Console
from timing import idle_stall, interleave

from statcore.statistics import StatisticsRepositories, StatisticsRepository
from statcore.testing.servers import running_valkey
from statcore_valkey import ValkeyStatistics

SIZES = (1, 1_000, 10_000)
METRICS = ("cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx", "io_scratch_size")
READ_FIELDS = ("cpu_util", "mem", "net_rx")
STATS = ("min", "max", "sum", "avg", "diff", "rate")
_BASELINE = "redis-py MGET + msgpack"


def _payload(number: int) -> bytes:
    """Pack 8 metrics of 11 fields, about 1.4 kB, as an agent does."""
    value = f"{number % 1000}.125"
    metric = {"current": value, "capacity": "1000", "pct": "12.35", "unit_hint": "bytes", "stats.version": 2}
    metric |= {f"stats.{name}": value for name in STATS}
    return bytes(msgpack.packb(dict.fromkeys(METRICS, metric)))


async def measure(console: Console, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table per size."""
    with running_valkey(scratch) as server:
        redis = Redis(host="127.0.0.1", port=server.port)
        store = ValkeyStatistics.from_url(server.url)
        repository = StatisticsRepositories.create(store).repository
        try:
            version = (await redis.info("server")).get("valkey_version", "not Valkey")
            console.print(f"Valkey {version}; a ticker alone sees {await idle_stall() * 1e3:.2f} ms")
            ids = [str(uuid.UUID(int=number)) for number in range(1, max(SIZES) + 1)]
            await redis.mset({id_: _payload(number) for number, id_ in enumerate(ids)})
            for size in SIZES:
                await _measure_size(console, redis, repository, ids[:size], repeats=repeats)
        finally:
            await store.aclose()
            await redis.aclose()


async def _measure_size(
    console: Console, redis: Redis, repository: StatisticsRepository, ids: list[str], *, repeats: int
) -> None:
    async def baseline() -> list[dict[str, dict[str, str]]]:
        return [msgpack.unpackb(value) for value in await redis.mget(ids)]

    async def plain_get() -> object:
        return await redis.get(ids[0])

    async def batch() -> object:
        return await repository.get_kernel_statistics_batch(ids)

    async def three_fields() -> list[list[str]]:
        entries = await repository.get_kernel_statistics_batch(ids)
        return [[entry[metric]["current"] for metric in READ_FIELDS] for entry in entries if entry is not None]

    async def every_field() -> list[dict[str, dict[str, str]]]:
        entries = await repository.get_kernel_statistics_batch(ids)
        return [dict(entry.items()) for entry in entries if entry is not None]

    assert await baseline() == await every_field()
    contenders: dict[str, tuple[Callable[[], Awaitable[object]], float | None]] = {
        _BASELINE: (baseline, None),
        "statcore, batch": (batch, 0.30),
        "statcore, three fields of each": (three_fields, 0.45),
        "statcore, every field of each": (every_field, 0.65),
    }
    name = _BASELINE
    if len(ids) == 1:
        name = "redis-py GET, not decoded"
        contenders = {name: (plain_get, None), "statcore, batch of one": (batch, 1.25)}
    measured = await interleave({contender: run for contender, (run, _) in contenders.items()}, repeats=repeats)
    rows = [
        Row(
            contender=contender,
            median_s=measured[contender].median_s,
            ratio=measured[contender].median_s / measured[name].median_s,
            goal=goal,
            stall_s=measured[contender].stall_s,
        )
        for contender, (_, goal) in contenders.items()
    ]
    print_rows(console, f"live statistics of {len(ids):,} kernels", rows, baseline=name)
