"""The clusters and sentinels of the tests: they form, heal, move slots and fail over as real ones do."""

from __future__ import annotations

import asyncio
import socket
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import AskError
from tests.support import valkey_nodes, valkey_topologies
from tests.support.polling import until
from tests.support.valkey_nodes import OPEN, READER, WATCHER, Security, new_node
from tests.support.valkey_topologies import MASTER, ValkeyCluster, ValkeySentinels, running_cluster, running_sentinels

from statcore.testing.servers import LOOPBACK, free_port

KEYS = [f"key-{number}" for number in range(300)]


def fill(cluster: ValkeyCluster) -> None:
    """Set every key to its own name, and wait until the replicas have them."""
    cluster.store({key: key.encode() for key in KEYS})


def values(cluster: ValkeyCluster) -> list[Any]:
    """Return the value of every key at the node that owns it."""
    return [owner.command("GET", key) for key, owner in cluster.owners(KEYS).items()]


def test_a_cluster_replaces_a_primary_and_heals(cluster: ValkeyCluster) -> None:
    """The replica takes the slots with the data; the primary comes back as its replica."""
    fill(cluster)
    primary = cluster.primaries[0]
    replica = cluster.replica_of(primary)
    primary.isolate()
    cluster.wait_until_failed_over(primary)
    assert replica in cluster.primaries
    assert [key.encode() for key in KEYS] == values(cluster)
    cluster.heal()
    assert primary is cluster.replica_of(replica)
    assert 6 == len(cluster.well)


def test_slots_move_with_their_keys(cluster: ValkeyCluster) -> None:
    """The source sends clients to the target, which has the keys."""
    fill(cluster)
    source, target, _ = cluster.primaries
    slots = cluster.move_slots(100, source, target)
    assert 100 == len(slots)
    moved = [key for key in KEYS if key_slot(key.encode()) in slots]
    assert moved
    cluster.wait_until_whole()  # the node that tells the owners may be one that neither gave nor took slots
    assert {target} == set(cluster.owners(moved).values())
    assert [key.encode() for key in KEYS] == values(cluster)


def test_keys_of_an_open_slot_are_on_both_sides(cluster: ValkeyCluster) -> None:
    """The source sends clients to the target for a key that has moved, and the target answers after ASKING only."""
    fill(cluster)
    source, target, _ = cluster.primaries
    key, *_ = [key for key, owner in cluster.owners(KEYS).items() if owner is source]
    slot = key_slot(key.encode())
    cluster.begin_move([slot], source, target)
    cluster.move_keys([key], source, target)
    with pytest.raises(AskError, match=f"{slot} {target}"):
        source.command("GET", key)
    assert [True, key.encode()] == target.pipelined([("ASKING",), ("GET", key)])
    cluster.end_move([slot], source, target)
    assert key.encode() == target.command("GET", key)


def test_a_node_is_found_at_another_port(cluster: ValkeyCluster) -> None:
    """All nodes tell clients the new port."""
    node = cluster.primaries[0]
    own_port = node.announced_port
    cluster.announce(node, node.port)
    assert {node.port} == {owner.announced_port for _, _, owner in cluster.ranges() if owner is node}
    cluster.announce(node, own_port)


def test_a_cluster_with_tls_and_users(tmp_path: Path, security: Security) -> None:
    """Nodes, replication and clients use TLS and passwords; slots move; no other user is known."""
    with running_cluster(tmp_path, primaries=2, security=security) as cluster:
        fill(cluster)
        source, target = cluster.primaries
        cluster.move_slots(10, source, target)
        assert [key.encode() for key in KEYS] == values(cluster)


def test_sentinels_promote_a_replica(sentinels: ValkeySentinels) -> None:
    """The replica has the data; the primary comes back as a replica."""
    primary = sentinels.primary
    primary.store({"a": b"1"})
    primary.isolate()
    sentinels.wait_until_failed_over(primary)
    assert b"1" == sentinels.primary.command("GET", "a")
    sentinels.heal()
    assert primary in sentinels.replicas


async def test_a_fail_over_that_was_given_up_is_asked_for_again(tmp_path: Path) -> None:
    """A sentinel gives up where no replica obeys in time; once they are well, they are promoted all the same."""
    with running_sentinels(tmp_path) as sentinels:
        primary, replicas = sentinels.primary, sentinels.replicas
        for replica in replicas:
            replica.stop()
        change = asyncio.create_task(asyncio.to_thread(sentinels.fail_over))
        await until(lambda: "-failover-abort" in "".join(sentinels.sentinels[0].log_tail(10)), "an end of the fail-over")
        for replica in replicas:
            replica.recover()
        await change
        assert sentinels.primary in replicas
        assert primary is not sentinels.primary


def test_a_sentinel_that_starts_again_is_as_quick_as_before(sentinels: ValkeySentinels) -> None:
    """It looks at the servers as often, and replaces primaries as soon after it had no processor."""
    sentinel, other, _ = sentinels.sentinels
    sentinel.kill()
    sentinels.heal()
    assert other.command("SENTINEL", "DEBUG") == sentinel.command("SENTINEL", "DEBUG")


def test_a_change_that_does_not_come_is_described(
    sentinels: ValkeySentinels, cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has what each server says, and the end of its log."""
    monkeypatch.setattr(valkey_topologies, "_CHANGE_S", 0.1)
    node = sentinels.primary
    with pytest.raises(TimeoutError, match=rf"a fail-over of {node}\n(?s:.*){MASTER} is master; .* is slave\n  \d+:X "):
        sentinels.wait_until_failed_over(node)
    node = cluster.nodes[0]
    with pytest.raises(TimeoutError, match=rf"a fail-over of {node}\n(?s:.*)myself,(?s:.*)\n  \d+:[MS] "):
        cluster.wait_until_failed_over(node)


def test_sentinels_with_tls_and_users(tmp_path: Path, security: Security) -> None:
    """Servers and sentinels have users of their own; a fail-over works, and clients find the new primary."""
    with running_sentinels(tmp_path, security=security) as sentinels:
        primary = sentinels.primary
        sentinels.fail_over()
        with sentinels.sentinels[0].client(WATCHER) as client:
            address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        assert str(sentinels.primary) == ":".join(word.decode() for word in address)
        assert primary is not sentinels.primary
        with sentinels.primary.client(READER) as client:
            assert client.set("a", "1")


@pytest.mark.parametrize("kind", [{}, {"sentinel": True}, {"cluster": True}], ids=["data", "sentinel", "cluster"])
def test_a_server_whose_port_is_taken_starts_on_another(
    kind: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take a port after it was chosen; a server that has started once keeps its port."""
    with socket.create_server((LOOPBACK, free_port())) as other:
        ports = chain([other.getsockname()[1]], iter(free_port, None))
        monkeypatch.setattr(valkey_nodes, "free_port", lambda: next(ports))
        settings = (("cluster-enabled", "yes"),) if "cluster" in kind else ()
        node = new_node(tmp_path, settings=settings, security=OPEN, users=(), **kind)
        try:
            node.start()
            port = node.port
            node.kill()
            node.recover()
            assert (True, port) == (node.is_well, node.port)
        finally:
            node.kill()
