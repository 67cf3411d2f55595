"""A real Valkey, its clusters and sentinels, and statcore's reader and writer of it.

A pytest plugin, for the tests of `tests/compat`, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import pytest
from redis import Redis
from tests.support.certificates import Authority
from tests.support.valkey_nodes import Security
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels, running_cluster, running_sentinels

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


@pytest.fixture(scope="session")
def security(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Security:
    """TLS, and ACL users alone."""
    authority = Authority.new(require_program("openssl"), tmp_path_factory.mktemp("certificates"), "authority")
    return Security(users=True, ca_file=authority.certificate, pair=authority.issue("server"))


@pytest.fixture(scope="session")
def calm_cluster(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[ValkeyCluster]:
    """A cluster of three primaries and three replicas for the whole run; no test harms its nodes or moves its slots."""
    require_program("valkey-server", "redis-server")
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def calm_sentinels(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[ValkeySentinels]:
    """A primary, two replicas and three sentinels for the whole run; no test harms them."""
    require_program("valkey-server", "redis-server")
    with running_sentinels(tmp_path_factory.mktemp("sentinels")) as sentinels:
        yield sentinels


@pytest.fixture(scope="module")
def proxied_cluster(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[ValkeyCluster]:
    """A cluster for the tests of a module, which harm it one after the other: see `cluster`."""
    require_program("valkey-server", "redis-server")
    with running_cluster(tmp_path_factory.mktemp("cluster"), proxied=True) as cluster:
        yield cluster


@pytest.fixture
def cluster(proxied_cluster: ValkeyCluster) -> ValkeyCluster:
    """A cluster of three primaries with a replica each, healed and emptied; its nodes can be harmed and isolated."""
    proxied_cluster.heal()
    proxied_cluster.wait_until_replicated()
    proxied_cluster.flush()
    return proxied_cluster


@pytest.fixture(scope="module")
def proxied_primaries(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[ValkeyCluster]:
    """A cluster without replicas for the tests of a module, which harm it one after the other: see `primaries`."""
    require_program("valkey-server", "redis-server")
    with running_cluster(tmp_path_factory.mktemp("cluster"), replicas=0, proxied=True) as cluster:
        yield cluster


@pytest.fixture
def primaries(proxied_primaries: ValkeyCluster) -> ValkeyCluster:
    """A cluster of three primaries, healed and emptied; nobody replaces a primary that is harmed."""
    proxied_primaries.heal()
    proxied_primaries.flush()
    return proxied_primaries


@pytest.fixture(scope="module")
def proxied_sentinels(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Iterator[ValkeySentinels]:
    """A primary, two replicas and three sentinels for the tests of a module, which harm them: see `sentinels`."""
    require_program("valkey-server", "redis-server")
    with running_sentinels(tmp_path_factory.mktemp("sentinels"), proxied=True) as topology:
        yield topology


@pytest.fixture
def sentinels(proxied_sentinels: ValkeySentinels) -> ValkeySentinels:
    """A primary, two replicas and three sentinels, healed and emptied; they can be harmed and isolated."""
    proxied_sentinels.heal()
    proxied_sentinels.flush()
    return proxied_sentinels
