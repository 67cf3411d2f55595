"""A real Valkey, through its reader and writer, keeps every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import pytest

from statcore.ports import StatisticsPort, StatisticsSinkPort
from statcore.testing.conformance import StatisticsConformance
from statcore.testing.servers import Server
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


class TestValkey(StatisticsConformance):
    """Reader and writer, each with connections of its own, on one server for all checks."""

    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _use(cls, valkey_server: Server) -> None:
        cls.url = valkey_server.url

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Connect."""
        store, sink = ValkeyStatistics.from_url(self.url), ValkeyStatisticsSink.from_url(self.url)
        async with aclosing(store), aclosing(sink):
            yield store, sink
