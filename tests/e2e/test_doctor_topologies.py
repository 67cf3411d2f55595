"""`statcore doctor` on real clusters and sentinels, healthy and sick: servers, roles, faults, slots without owner."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.program import statcore
from tests.support.valkey_nodes import WATCHER, Security, ValkeyNode
from tests.support.valkey_topologies import ValkeyCluster, ValkeySentinels, running_sentinels


def doctor(folder: Path, url: str, **options: object) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit status, and the status and details of each check of a store."""
    file = folder / "statcore.toml"
    settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    file.write_text(f'statistics_url = "{url}"\n[statistics]\n{settings}')
    done = statcore("doctor", "--format", "json", config=str(file))
    checks = json.loads(done.stdout)["checks"]
    found = {
        f"{check['check']} {check['subject']}".rstrip(): (check["status"], check["detail"])
        for check in checks
        if check["check"].startswith("store")
    }
    return done.returncode, found


def states(checks: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return the status of each server, by its address."""
    prefix = "store server "
    return {check.removeprefix(prefix): status for check, (status, _) in checks.items() if check.startswith(prefix)}


def is_behind(details: str, primary: ValkeyNode) -> bool:
    """Return whether the details of a server are those of a replica; some bytes are always on their way."""
    return re.fullmatch(rf"replica of {primary}, \d+ bytes behind", details) is not None


def test_a_healthy_cluster_is_shown(cluster: ValkeyCluster, tmp_path: Path) -> None:
    """Primaries are shown with their slots, replicas with their primary and with how far they are behind."""
    status, checks = doctor(tmp_path, cluster.url, live_db=0)
    assert 0 == status, checks
    assert {str(node): "ok" for node in cluster.nodes} == states(checks)
    for node in cluster.nodes:
        assert ["ok"] * 4 == [checks[f"store {what} {node}"][0] for what in ("version", "clock", "reading", "writing")]
    for first, last, owner in cluster.ranges():
        assert f"primary of slots {first}-{last}" == checks[f"store server {owner}"][1]
        assert is_behind(checks[f"store server {cluster.replica_of(owner)}"][1], owner)


def test_a_stopped_node_is_found(primaries: ValkeyCluster, tmp_path: Path) -> None:
    """The node that does not answer is wrong, and no other."""
    sick = primaries.primaries[1]
    sick.stop()
    status, checks = doctor(tmp_path, primaries.url, live_db=0)
    assert 1 == status
    assert {str(node): "wrong" if node is sick else "ok" for node in primaries.nodes} == states(checks)


def test_permissions_are_those_of_each_node(primaries: ValkeyCluster, tmp_path: Path) -> None:
    """A node on which the user lacks a command is named, and no other; nothing is written."""
    narrow = primaries.primaries[0]
    narrow.command("ACL", "SETUSER", "default", "-asking", "-del")
    try:
        status, checks = doctor(tmp_path, primaries.url, live_db=0)
    finally:
        narrow.command("ACL", "SETUSER", "default", "+asking", "+del")
    assert 1 == status
    for node in primaries.nodes:
        expected = ("wrong", "warning") if node is narrow else ("ok", "ok")
        assert expected == (checks[f"store reading {node}"][0], checks[f"store writing {node}"][0])
        assert 0 == node.command("DBSIZE")
    assert checks[f"store reading {narrow}"][1].endswith(": ASKING (while slots move)")
    assert checks[f"store writing {narrow}"][1].endswith(": DEL")


def test_a_replica_without_data_is_found(cluster: ValkeyCluster, tmp_path: Path) -> None:
    """A replica whose link to its primary is down is wrong: its primary must not be lost now."""
    primary = cluster.primaries[0]
    replica = cluster.replica_of(primary)
    cluster.empty_replica(primary)
    status, checks = doctor(tmp_path, cluster.url, live_db=0)
    assert 1 == status
    assert {str(node): "wrong" if node is replica else "ok" for node in cluster.nodes} == states(checks)


@pytest.mark.parametrize("everyone_knows", [True, False])
def test_slots_without_an_owner_are_found(primaries: ValkeyCluster, tmp_path: Path, *, everyone_knows: bool) -> None:
    """Their numbers are shown, also where the others still know their former owner."""
    owner = primaries.primaries[0]
    for node in primaries.nodes if everyone_knows else [owner]:
        node.command("CLUSTER", "DELSLOTSRANGE", 10, 19)
    try:
        status, checks = doctor(tmp_path, primaries.url, live_db=0)
    finally:
        owner.command("CLUSTER", "ADDSLOTSRANGE", 10, 19)
        primaries.wait_until_whole()
    assert 1 == status
    assert ("wrong", "no server owns slots 10-19") == checks["store slots"]


def test_sentinels_are_shown(sentinels: ValkeySentinels, tmp_path: Path) -> None:
    """The primary, its replicas and the sentinels are shown; replicas without data and a dead sentinel are wrong."""
    primary, replicas = sentinels.primary, sentinels.replicas
    status, checks = doctor(tmp_path, sentinels.url)
    assert 0 == status, checks
    assert {str(node): "ok" for node in (*sentinels.servers, *sentinels.sentinels)} == states(checks)
    assert "primary" == checks[f"store server {primary}"][1]
    assert all(is_behind(checks[f"store server {replica}"][1], primary) for replica in replicas)
    sentinels.empty_replicas()
    sentinels.sentinels[0].kill()
    status, checks = doctor(tmp_path, sentinels.url)
    assert 1 == status
    assert {*map(str, [*replicas, sentinels.sentinels[0]])} == {
        address for address, state in states(checks).items() if state == "wrong"
    }


def test_servers_are_shown_though_none_answers(sentinels: ValkeySentinels, tmp_path: Path) -> None:
    """The sentinels still tell which primary does not answer."""
    for server in sentinels.servers:
        server.stop()
    status, checks = doctor(tmp_path, sentinels.url, timeout_s=4)
    assert 1 == status
    assert "wrong" == checks["store"][0]
    assert "wrong" == states(checks)[str(sentinels.primary)]
    assert {"ok"} == {states(checks)[str(sentinel)] for sentinel in sentinels.sentinels}


def test_sentinels_with_tls_and_users_are_shown(tmp_path: Path, security: Security) -> None:
    """Servers and sentinels are reached with users of their own; no password is shown."""
    password = tmp_path / "password"
    password.write_text(WATCHER.password)
    folder = tmp_path / "servers"
    folder.mkdir()
    with running_sentinels(folder, replicas=1, sentinels=1, security=security) as sentinels:
        status, checks = doctor(
            tmp_path,
            sentinels.url,
            tls_ca_file=str(security.ca_file),
            sentinel_username=WATCHER.name,
            sentinel_password_file=str(password),
        )
    assert 0 == status, checks
    assert 3 == len(states(checks))
    assert "-word" not in str(checks)
