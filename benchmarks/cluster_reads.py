"""Measures reads of 10,000 kernels from a Valkey cluster of three primaries and three replicas, and from one server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
from redis.asyncio import RedisCluster
from report import STALL_MS, WALL_RATIO, Contender, Goal, Report
from tests.support.valkey_topologies import running_cluster
from workload import Stored, kernel_ids, payload, stored

from statcore.model import StatisticsBatch
from statcore.statistics import StatisticsRepositories, StatisticsRepository
from statcore.testing.servers import LOOPBACK
from statcore_valkey import ValkeyOptions, ValkeyStatistics

KERNELS: Final = 10_000


@attrs.frozen(kw_only=True)
class ClusterReads:
    """Ways to read the same kernels, each a coroutine function.

    Args:
        server: one server that holds the kernels.
        redis: redis-py's client of a cluster that holds them, too.
        repository: statcore's repository over that cluster.
        helpers: the processes of all servers.
        ids: the kernels.
    """

    server: Stored
    redis: RedisCluster
    repository: StatisticsRepository
    helpers: list[int]
    ids: list[str]

    async def from_server(self) -> StatisticsBatch:
        """A batch from one server."""
        return await self.server.repository.get_kernel_statistics_batch(self.ids)

    async def from_cluster(self) -> StatisticsBatch:
        """A batch from the cluster."""
        return await self.repository.get_kernel_statistics_batch(self.ids)

    async def redis_from_server(self) -> list[Any]:
        """The payloads from one server, not decoded."""
        return await self.server.redis.mget(self.ids)

    async def redis_from_cluster(self) -> list[Any]:
        """The payloads from the cluster, not decoded, as users read many keys of a cluster."""
        return await self.redis.mget_nonatomic(self.ids)


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    async with stored_in_cluster(scratch, kernels=KERNELS) as reads:
        title = f"{KERNELS:,} kernels of a cluster of 3 primaries and 3 replicas, {reads.server.version}"
        await report.compare(title, contenders(reads), repeats=repeats, stalls=True, helpers=reads.helpers)


def contenders(reads: ClusterReads) -> list[Contender]:
    """Return the ways to read them."""
    return [
        Contender(name="statcore, batch, one server", run=reads.from_server),
        Contender(
            name="statcore, batch, cluster", run=reads.from_cluster, goals={WALL_RATIO: Goal(1.5), STALL_MS: Goal(24)}
        ),
        Contender(name="redis-py MGET, one server, not decoded", run=reads.redis_from_server),
        Contender(name="redis-py mget_nonatomic, cluster, not decoded", run=reads.redis_from_cluster),
    ]


@asynccontextmanager
async def stored_in_cluster(scratch: Path, *, kernels: int) -> AsyncGenerator[ClusterReads]:
    """Run a Valkey and a cluster with the statistics of the same kernels."""
    ids = kernel_ids(kernels)
    folder = scratch / "cluster"
    folder.mkdir()
    async with stored(scratch, kernels=kernels) as server:
        with running_cluster(folder) as cluster:
            cluster.store({id_: payload(number) for number, id_ in enumerate(ids)})
            async with (
                RedisCluster(host=LOOPBACK, port=cluster.nodes[0].port) as redis,
                aclosing(ValkeyStatistics.from_url(cluster.url, options=ValkeyOptions(live_db=0))) as store,
            ):
                yield ClusterReads(
                    server=server,
                    redis=redis,
                    repository=StatisticsRepositories.create(store).repository,
                    helpers=[*server.helpers, *(node.pid for node in cluster.nodes)],
                    ids=ids,
                )
