"""`statcore doctor` on real servers: versions, clocks, permissions, certificates, and the members of an HA pair."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import pytest
from redis import Redis
from tests.e2e.program import environment, statcore
from tests.support.certificates import Authority, Pair

from statcore.testing.servers import Server, free_port

AHEAD: Final = """
import time
now = time.time
time.time = lambda: now() + 60
from statcore_cli.main import main
main()
"""
"""Runs the program on a machine whose clock is a minute ahead."""


@attrs.frozen
class Check:
    """A check of `statcore doctor`."""

    check: str
    status: str
    detail: str
    remedy: str


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, Check]:
    """Return the checks by name."""
    assert not done.stderr
    return {check["check"]: Check(**check) for check in json.loads(done.stdout)["checks"]}


def doctor(folder: Path, **settings: object) -> tuple[int, dict[str, Check]]:
    """Return the exit status and the checks, with a file of settings; those of the adapters are tables."""
    file = folder / "statcore.toml"
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if name not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{option} = {json.dumps(value)}" for option, value in table.items())]
    file.write_text("\n".join(lines))
    done = statcore("doctor", "--format", "json", config=str(file))
    return done.returncode, checks(done)


@pytest.fixture
def valkey(start_valkey: Callable[..., Server]) -> Server:
    """A Valkey of the test's own."""
    return start_valkey()


def allow(server: Server, name: str, rules: str) -> str:
    """Make a user with these rules, and return the URL for the user."""
    with Redis(host="127.0.0.1", port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", name, "on", ">a-word", *rules.split())
    return f"valkey://{name}:a-word@127.0.0.1:{server.port}"


def test_versions_and_clocks_are_shown(valkey: Server, start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """All is well where both servers run on this machine."""
    status, found = doctor(tmp_path, statistics_url=valkey.url, metrics_url=start_prometheus().url)

    assert 0 == status, found
    assert {"ok"} == {check.status for check in found.values()}
    assert found["store version"].detail.startswith(("Valkey ", "Redis "))
    assert found["backend version"].detail.startswith("Prometheus ")
    assert {"store clock", "backend clock"} < {*found}


def test_a_clock_that_is_wrong_is_found(valkey: Server, start_prometheus: Callable[..., Server]) -> None:
    """The difference is shown for each server, and says which clock is behind."""
    done = subprocess.run(
        [sys.executable, "-c", AHEAD, "doctor", "--format", "json"],
        env=environment(statistics_url=valkey.url, metrics_url=start_prometheus().url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    found = checks(done)
    assert 1 == done.returncode
    assert {"store clock", "backend clock"} == {name for name, check in found.items() if check.status == "wrong"}
    for name in ("store clock", "backend clock"):
        offset_s, _, direction = found[name].detail.partition(" s ")
        assert 55 < float(offset_s) < 65
        assert direction.startswith("behind")
        assert found[name].remedy


def test_missing_permissions_are_found(valkey: Server, tmp_path: Path) -> None:
    """Each command and kind of key that the user may not use is named, and others are not."""
    url = allow(valkey, "narrow", "resetkeys ~00000000* ~session.* -@all +select +ping +mget +pttl +type +info +time")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 1 == status
    assert ("ok", "wrong") == (found["store"].status, found["store permissions"].status)
    _, _, refused = found["store permissions"].detail.partition(": ")
    assert "MGET of endpoints, MGET of replicas, EXISTS" == refused


def test_the_activity_of_sessions_is_checked_too(valkey: Server, tmp_path: Path) -> None:
    """It is in a database of its own."""
    url = allow(valkey, "blind", "resetkeys ~00000000* ~inference.* -@all +@read +select +ping")

    _, found = doctor(tmp_path, statistics_url=url)

    assert found["store permissions"].detail.endswith(": MGET of the activity of sessions")


def test_a_user_who_may_not_even_ping_is_told_the_rest(valkey: Server, tmp_path: Path) -> None:
    """The store is wrong, and the permissions say why."""
    url = allow(valkey, "mute", "allkeys -@all +@read +select")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 1 == status
    assert "wrong" == found["store"].status
    assert found["store permissions"].detail.endswith(": PING")


def test_the_documented_permissions_are_enough(valkey: Server, tmp_path: Path) -> None:
    """Without more, the version and the clock are not known, which is no fault."""
    url = allow(valkey, "reader", "allkeys -@all +@read +select +ping")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 0 == status, found
    assert "store permissions" not in found
    assert "store version" not in found
    assert ("off", True) == (found["store clock"].status, bool(found["store clock"].remedy))


@pytest.mark.parametrize(("days", "status"), [(2, "wrong"), (40, "ok")])
def test_the_end_of_a_certificate_is_shown(
    tmp_path: Path,
    new_authority: Callable[[str], Authority],
    start_tls_valkey: Callable[..., tuple[Server, str]],
    days: int,
    status: str,
) -> None:
    """It is wrong if the certificate expires soon."""
    authority = new_authority("authority")
    server: Pair = authority.issue("server", days=days)
    client = authority.issue("client")
    _, url = start_tls_valkey(authority.certificate, server)
    files = {"ca": authority.certificate, "cert": client.certificate, "key": client.key}
    options = {f"tls_{name}_file": str(file) for name, file in files.items()}

    code, found = doctor(tmp_path, statistics_url=url, statistics=options)

    check = found["store certificate"]
    assert (int(status == "wrong"), status) == (code, check.status)
    assert check.detail.startswith((f"expires in {days} days", f"expires in {days - 1} days"))


def test_both_members_of_a_pair_are_checked(start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """Queries still succeed if one is down, so that nothing else reports it."""
    url, dead = start_prometheus().url, f"http://127.0.0.1:{free_port()}"

    status, found = doctor(tmp_path, metrics_url=url, metrics={"fallback_urls": [dead]})

    assert 1 == status
    assert {f"backend {dead}": "wrong", f"backend {url} version": "ok", f"backend {url} clock": "ok", "backend": "ok"} == {
        name: check.status for name, check in found.items() if name.startswith("backend")
    }
