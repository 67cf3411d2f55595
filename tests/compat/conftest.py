"""Real servers for the tests with the released packages; `make compat` runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from redis import Redis

from statcore.testing.servers import Server, running_valkey
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for the whole run."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Server) -> Server:
    """The run's Valkey, emptied."""
    with Redis(host="127.0.0.1", port=valkey_server.port) as client:
        client.flushall()
    return valkey_server


@pytest.fixture
async def store(valkey: Server) -> AsyncIterator[ValkeyStatistics]:
    """Statcore's reader."""
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as opened:
        yield opened


@pytest.fixture
async def sink(valkey: Server) -> AsyncIterator[ValkeyStatisticsSink]:
    """Statcore's writer."""
    async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as opened:
        yield opened
