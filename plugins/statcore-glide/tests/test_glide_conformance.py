"""The store over glide, on a real server and on a real cluster, by URL and from a host's clients, keeps every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from glide import (
    GlideClient,
    GlideClientConfiguration,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    NodeAddress,
)
from tests.support.valkey_topologies import ValkeyCluster

from statcore.ports import StatisticsPort, StatisticsSinkPort
from statcore.testing.conformance import StatisticsConformance
from statcore.testing.servers import LOOPBACK, Server
from statcore_glide.stores import sink_from_clients, sink_from_url, statistics_from_clients, statistics_from_url
from statcore_valkey import ValkeyOptions

TIMEOUT_MS = 2_000
"""Longer than glide's own 250 ms: a test machine may be busy."""
ON_CLUSTER = ValkeyOptions(live_db=0)


class TestServer(StatisticsConformance):
    """One server, by URL."""

    port: int

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, valkey_server: Server) -> None:
        cls.port = valkey_server.port

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make clients."""
        url = f"glide://{LOOPBACK}:{self.port}"
        async with aclosing(await statistics_from_url(url)) as store, aclosing(await sink_from_url(url)) as sink:
            yield store, sink


class TestClients(TestServer):
    """One server, through a client of the host for each database."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make the clients of a host."""
        places = [NodeAddress(LOOPBACK, self.port)]
        configurations = [
            GlideClientConfiguration(places, database_id=number, request_timeout=TIMEOUT_MS) for number in (0, 2)
        ]
        async with (
            await GlideClient.create(configurations[0]) as statistics,
            await GlideClient.create(configurations[1]) as live,
        ):
            yield statistics_from_clients(statistics, live), sink_from_clients(statistics, live)


class TestCluster(StatisticsConformance):
    """A cluster of three primaries and three replicas, by URL."""

    ports: Sequence[int]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, calm_cluster: ValkeyCluster) -> None:
        cls.ports = [node.announced_port for node in calm_cluster.nodes]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make a client for the reader and for the writer."""
        url = f"glide+cluster://{','.join(f'{LOOPBACK}:{port}' for port in self.ports)}"
        async with (
            aclosing(await statistics_from_url(url, options=ON_CLUSTER)) as store,
            aclosing(await sink_from_url(url, options=ON_CLUSTER)) as sink,
        ):
            yield store, sink


class TestClusterClient(TestCluster):
    """The cluster, through one client of the host."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Make the client of a host."""
        places = [NodeAddress(LOOPBACK, port) for port in self.ports]
        async with await GlideClusterClient.create(
            GlideClusterClientConfiguration(places, request_timeout=TIMEOUT_MS)
        ) as client:
            yield statistics_from_clients(client, client), sink_from_clients(client, client)
