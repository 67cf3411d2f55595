"""Real Valkey servers, clusters and sentinels, through reader and writer, keep every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import Sentinel
from tests.support.valkey_nodes import WATCHER, Security, running_server
from tests.support.valkey_topologies import MASTER, ValkeyCluster, ValkeySentinels, running_cluster, running_sentinels

from statcore.ports import StatisticsPort, StatisticsSinkPort
from statcore.testing.conformance import StatisticsConformance
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

ON_A_CLUSTER = ValkeyOptions(live_db=0)


def secured(security: Security, **options: object) -> ValkeyOptions:
    """Return options with which the certificate of the servers is trusted."""
    return ValkeyOptions.from_settings({"tls_ca_file": str(security.ca_file), **options})


class ByUrl(StatisticsConformance):
    """Reader and writer, each with connections of its own, on one topology for all checks."""

    url: str
    options: ValkeyOptions

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Connect."""
        store = ValkeyStatistics.from_url(self.url, options=self.options)
        sink = ValkeyStatisticsSink.from_url(self.url, options=self.options)
        async with aclosing(store), aclosing(sink):
            yield store, sink


class TestValkey(ByUrl):
    """One server."""

    options = ValkeyOptions()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, valkey_server: Server) -> None:
        cls.url = valkey_server.url


class TestSecured(ByUrl):
    """One server with TLS and users."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, tmp_path_factory: pytest.TempPathFactory, security: Security) -> Iterator[None]:
        cls.options = secured(security)
        with running_server(tmp_path_factory.mktemp("server"), security=security) as server:
            cls.url = server.url
            yield


class TestCluster(ByUrl):
    """Three primaries and three replicas."""

    options = ON_A_CLUSTER

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, calm_cluster: ValkeyCluster) -> None:
        cls.url = calm_cluster.url


class TestSecuredCluster(ByUrl):
    """Three primaries with TLS and users."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, tmp_path_factory: pytest.TempPathFactory, security: Security) -> Iterator[None]:
        cls.options = secured(security, live_db=0)
        with running_cluster(tmp_path_factory.mktemp("cluster"), replicas=0, security=security) as cluster:
            cls.url = cluster.url
            yield


class TestSentinels(ByUrl):
    """A primary, two replicas and three sentinels."""

    options = ValkeyOptions()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, calm_sentinels: ValkeySentinels) -> None:
        cls.url = calm_sentinels.url


class TestSecuredSentinels(ByUrl):
    """A primary and a sentinel, each with TLS and users of its own."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, tmp_path_factory: pytest.TempPathFactory, security: Security) -> Iterator[None]:
        folder: Path = tmp_path_factory.mktemp("sentinels")
        password = folder / "password"
        password.write_text(WATCHER.password)
        cls.options = secured(security, sentinel_username=WATCHER.name, sentinel_password_file=str(password))
        with running_sentinels(folder, replicas=0, sentinels=1, security=security) as sentinels:
            cls.url = sentinels.url
            yield


class TestHostsClusterClient(StatisticsConformance):
    """Reader and writer take nodes and settings from a client of the host."""

    cluster: ValkeyCluster

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, calm_cluster: ValkeyCluster) -> None:
        cls.cluster = calm_cluster

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make the client, and connect."""
        port = self.cluster.nodes[0].announced_port
        async with RedisCluster(host="127.0.0.1", port=port) as client:
            store = ValkeyStatistics.from_clients(client, client, options=ON_A_CLUSTER)
            sink = ValkeyStatisticsSink.from_clients(client, client, options=ON_A_CLUSTER)
            async with aclosing(store), aclosing(sink):
                yield store, sink


class TestHostsSentinelClients(StatisticsConformance):
    """Reader and writer go through the host's clients of a primary, which sentinels name."""

    sentinels: ValkeySentinels

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, calm_sentinels: ValkeySentinels) -> None:
        cls.sentinels = calm_sentinels

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make the clients, and connect."""
        sentinel = Sentinel([("127.0.0.1", node.announced_port) for node in self.sentinels.sentinels])  # type: ignore[no-untyped-call]
        try:
            async with sentinel.master_for(MASTER) as statistics, sentinel.master_for(MASTER, db=2) as live:
                store = ValkeyStatistics.from_clients(statistics, live)
                sink = ValkeyStatisticsSink.from_clients(statistics, live)
                async with aclosing(store), aclosing(sink):
                    yield store, sink
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
