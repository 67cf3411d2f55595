"""What a store tells about the servers of a cluster and of sentinels, and how hosts hand in their clients."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import Sentinel
from tests.support.polling import until
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels

from statcore.errors import InputError, UnsupportedError
from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

ON_A_CLUSTER = ValkeyOptions(live_db=0)
KERNELS = [f"kernel-{number}" for number in range(50)]


async def test_the_servers_of_a_cluster(calm_cluster: ValkeyCluster) -> None:
    """Primaries with their slots, and replicas that are not behind once nothing is on its way to them."""
    async with aclosing(ValkeyStatistics.from_url(calm_cluster.url, options=ON_A_CLUSTER)) as store:

        async def is_level() -> bool:
            found = await store.topology()
            return found is not None and {0, None} == {server.lag_bytes for server in found.servers}

        await until(is_level, "replicas that are not behind")
        topology = await store.topology()
    assert topology is not None
    assert ["primary", "replica"] * 3 == [server.role.split()[0] for server in topology.servers]
    assert {str(node) for node in calm_cluster.nodes} == {server.address for server in topology.servers}
    assert [None] * 6 == [server.fault for server in topology.servers]
    assert [False, True] * 3 == [isinstance(server.lag_bytes, int) for server in topology.servers]
    assert ["0-5460", "", "5461-10921", "", "10922-16383", ""] == [server.slots for server in topology.servers]
    assert "" == topology.unowned_slots


async def test_a_sick_server_is_shown(cluster: ValkeyCluster) -> None:
    """A primary that does not answer has a fault, and the replica of another that is gone is not listed."""
    primary, other, _ = cluster.primaries
    options = ValkeyOptions(live_db=0, timeout_s=4)
    async with aclosing(ValkeyStatistics.from_url(cluster.url, options=options)) as store:
        await store.ping()
        cluster.replica_of(primary).stop()
        primary.stop()
        topology = await store.topology()
    assert topology is not None
    faults = {server.address: server.fault for server in topology.servers}
    assert f"{primary}, a node of a cluster" in str(faults[str(primary)])
    assert None is faults[str(other)]


async def test_the_servers_of_sentinels(calm_sentinels: ValkeySentinels) -> None:
    """The primary, its replicas, and the sentinels."""
    async with aclosing(ValkeyStatistics.from_url(calm_sentinels.url)) as store:
        topology = await store.topology()
    assert topology is not None
    roles = {server.address: server.role for server in topology.servers}
    assert "primary" == roles[str(calm_sentinels.primary)]
    assert {f"replica of {calm_sentinels.primary}"} == {roles[str(server)] for server in calm_sentinels.replicas}
    assert {"sentinel"} == {roles[str(sentinel)] for sentinel in calm_sentinels.sentinels}
    assert {None} == {server.fault for server in topology.servers}


async def test_a_wrong_kind_of_url_is_an_error_that_says_so(calm_cluster: ValkeyCluster, valkey: Server) -> None:
    """A cluster behind valkey://, one server behind valkey+cluster://, and a master that sentinels do not know."""
    url = f"valkey://{calm_cluster.nodes[0]}"
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        for call in (store.fetch_kernel_statistics(KERNELS), store.fetch_inference_metrics(KERNELS), store.ping()):
            with pytest.raises(UnsupportedError, match=r"part of a cluster; expected .* valkey\+cluster://"):
                await call
    url = f"valkey+cluster://127.0.0.1:{valkey.port}"
    async with aclosing(ValkeyStatistics.from_url(url, options=ON_A_CLUSTER)) as store:
        with pytest.raises(UnsupportedError, match=r"not part of a cluster; expected .* valkey://"):
            await store.ping()


async def test_a_master_that_sentinels_do_not_know(calm_sentinels: ValkeySentinels) -> None:
    """The error is raised at once."""
    url = calm_sentinels.url.replace("mymaster", "other")
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=600))) as store:
        with pytest.raises(InputError, match=r"does not know the master .* valkey\+sentinel://"):
            await store.fetch_kernel_statistics(KERNELS)


@pytest.mark.parametrize("topology", ["calm_cluster", "calm_sentinels"])
async def test_replicas_are_read(topology: str, request: pytest.FixtureRequest) -> None:
    """What was written is read; ages come from the replica as well."""
    servers: ValkeyCluster | ValkeySentinels = request.getfixturevalue(topology)
    options = ValkeyOptions(live_db=0, read_from_replicas=True, freshness_s=600)
    async with (
        aclosing(ValkeyStatistics.from_url(servers.url, options=options)) as store,
        aclosing(ValkeyStatisticsSink.from_url(servers.url, options=options)) as sink,
    ):
        await sink.store_kernel_statistics({kernel: {"mem": MetricValue(current="1")} for kernel in KERNELS})
        batch = await store.fetch_kernel_statistics([*KERNELS, "unknown"])
        assert ["1"] * 50 == [entry["mem"]["current"] for entry in batch if entry is not None]
        assert ({}, 50) == (dict(batch.problems), len(batch.ages_s))
        assert any(is_replica for _, is_replica in store._databases.statistics._nodes)
        await sink.remove(KERNELS)
        assert [None] * 50 == list(await store.fetch_kernel_statistics(KERNELS))


async def test_a_missing_id_after_a_fail_over_of_a_hosts_master(sentinels: ValkeySentinels) -> None:
    """Before, it is unknown; after, the new master may not have had all data."""
    watchers = Sentinel([("127.0.0.1", node.announced_port) for node in sentinels.sentinels])  # type: ignore[no-untyped-call]
    try:
        async with watchers.master_for("mymaster") as client:
            store = ValkeyStatistics.from_clients(client, client, options=ValkeyOptions(timeout_s=60))
            assert {} == dict((await store.fetch_kernel_statistics(KERNELS)).problems)
            sentinels.fail_over()
            sentinels.wait_until_whole()
            await client.connection_pool.disconnect()
            problems = (await store.fetch_kernel_statistics(KERNELS)).problems
            assert {ProblemKind.INCOMPLETE} == {problem.kind for problem in problems.values()}
    finally:
        for watcher in watchers.sentinels:
            await watcher.aclose()


async def test_a_cluster_client_stays_usable_and_open(calm_cluster: ValkeyCluster) -> None:
    """The store makes connections of its own with the client's settings, and closes them alone."""
    async with RedisCluster(host="127.0.0.1", port=calm_cluster.nodes[0].announced_port, decode_responses=True) as client:
        async with (
            aclosing(ValkeyStatistics.from_clients(client, client)) as store,
            aclosing(ValkeyStatisticsSink.from_clients(client, client)) as sink,
        ):
            await sink.store_kernel_statistics({KERNELS[0]: {"mem": MetricValue(current="1")}})
            await sink.store_session_activity(KERNELS[0], requests=1, last_response_ms=2)
            assert 1 == len(await store.fetch_kernel_statistics(KERNELS[:1]))
            assert [{"requests": 1, "last_response_ms": 2}] == list(await store.fetch_inference_metrics(KERNELS[:1]))
        assert await client.ping()
