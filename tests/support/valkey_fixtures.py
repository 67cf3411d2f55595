"""A real Valkey, and statcore's reader and writer of it; a pytest plugin, for the tests of `tests/compat`, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from redis import Redis

from statcore.testing.servers import Server, running_valkey
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Valkey for the whole run."""
    require_program("valkey-server", "redis-server")
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Server) -> Server:
    """The run's Valkey, emptied."""
    with Redis(host="127.0.0.1", port=valkey_server.port) as client:
        client.flushall()
    return valkey_server


@pytest.fixture
async def sink(valkey: Server) -> AsyncIterator[ValkeyStatisticsSink]:
    """A writer with the default options."""
    async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink:
        yield sink


@pytest.fixture
async def store(valkey: Server) -> AsyncIterator[ValkeyStatistics]:
    """A reader with the default options: it reads no ages."""
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store:
        yield store
