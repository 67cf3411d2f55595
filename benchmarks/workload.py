"""What the benchmarks read: kernels and sessions with statistics in a real Valkey."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import msgpack
from redis.asyncio import BlockingConnectionPool, Redis

from statcore.model.store_keys import activity_keys
from statcore.statistics import StatisticsRepositories, StatisticsRepository
from statcore.testing.servers import LOOPBACK, Server, running_valkey
from statcore_valkey import ValkeyStatistics
from statcore_valkey.options import DEFAULTS

METRICS: Final = ("cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx", "io_scratch_size")
STATS: Final = ("min", "max", "sum", "avg", "diff", "rate")
_WRITES: Final = 10_000


@attrs.frozen(kw_only=True)
class Stored:
    """A real Valkey with statistics, and the clients that read it.

    Args:
        server: the server.
        version: its name and version.
        redis: redis-py, whose pool has as many connections as statcore's.
        unbounded_redis: redis-py, whose pool makes a connection for each call at once.
        store: statcore's reader.
        repository: statcore's repository over that reader.
    """

    server: Server
    version: str
    redis: Redis
    unbounded_redis: Redis
    store: ValkeyStatistics
    repository: StatisticsRepository

    @property
    def helpers(self) -> list[int]:
        """The process of the server."""
        return [self.server.process.pid]


def kernel_ids(count: int) -> list[str]:
    """Return the ids of kernels."""
    return [str(uuid.UUID(int=2 << 64 | number)) for number in range(count)]


def session_ids(count: int) -> list[str]:
    """Return the ids of sessions; the kernel with the same number is the session's only kernel."""
    return [str(uuid.UUID(int=1 << 64 | number)) for number in range(count)]


def payload(number: int) -> bytes:
    """Pack 8 metrics of 11 fields, about 1.4 kB, as an agent does."""
    value, pct = f"{number % 1000}.125", f"{number % 1000 / 10:05.2f}"
    metric = {"current": value, "capacity": "1000", "pct": pct, "unit_hint": "bytes", "stats.version": 2}
    metric |= {f"stats.{name}": value for name in STATS}
    return bytes(msgpack.packb(dict.fromkeys(METRICS, metric)))


@asynccontextmanager
async def stored(scratch: Path, *, kernels: int, sessions: int = 0) -> AsyncGenerator[Stored]:
    """Run a Valkey with the statistics of kernels, and with the activity of sessions."""
    with running_valkey(scratch) as server:
        pool = BlockingConnectionPool(max_connections=DEFAULTS.pool_size, timeout=None, host=LOOPBACK, port=server.port)
        async with (
            Redis.from_pool(pool) as redis,
            Redis(host=LOOPBACK, port=server.port) as unbounded_redis,
            Redis(host=LOOPBACK, port=server.port, db=DEFAULTS.live_db) as live,
        ):
            await _write(redis, {id_: payload(number) for number, id_ in enumerate(kernel_ids(kernels))})
            activity = zip(map(activity_keys, session_ids(sessions)), range(sessions), strict=True)
            await _write(live, {key: number for keys, number in activity for key in keys})
            async with aclosing(ValkeyStatistics.from_url(server.url)) as store:
                yield Stored(
                    server=server,
                    version=await version_of(redis),
                    redis=redis,
                    unbounded_redis=unbounded_redis,
                    store=store,
                    repository=StatisticsRepositories.create(store).repository,
                )


async def _write(redis: Redis, values: Mapping[str, bytes | int]) -> None:
    keys: Sequence[str] = list(values)
    for start in range(0, len(keys), _WRITES):
        await redis.mset({key: values[key] for key in keys[start : start + _WRITES]})


async def version_of(redis: Redis) -> str:
    """Return the name and the version of a server."""
    server = await redis.info("server")
    return f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {server['redis_version']}"
