"""`statcore doctor` on real servers: versions, clocks, permissions, certificates, wrong servers, and an HA pair."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
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
    """A check of `statcore doctor`, with the keys of its JSON."""

    check: str
    subject: str
    status: str
    detail: str
    remedy: str


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, Check]:
    """Return the checks by name, and subject if it has one."""
    assert not done.stderr
    found = [Check(**check) for check in json.loads(done.stdout)["checks"]]
    assert all(check.remedy for check in found if check.status != "ok")
    by_name = {f"{check.check} {check.subject}".rstrip(): check for check in found}
    assert len(found) == len(by_name)
    return by_name


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
    parts = {f"store {part}" for part in ("version", "clock", "reading", "writing")}
    assert {"settings", "plugins", "store", "backend", "backend version", "backend clock", "backend reading", *parts} == {
        *found
    }


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
    assert ("ok", "wrong") == (found["store"].status, found["store reading"].status)
    _, _, refused = found["store reading"].detail.partition(": ")
    assert "MGET of endpoints, MGET of replicas, EXISTS, STRLEN (large entries)" == refused


def test_the_activity_of_sessions_is_checked_too(valkey: Server, tmp_path: Path) -> None:
    """It is in a database of its own."""
    url = allow(valkey, "blind", "resetkeys ~00000000* ~inference.* -@all +@read +select +ping")

    _, found = doctor(tmp_path, statistics_url=url)

    assert found["store reading"].detail.endswith(": MGET of the activity of sessions")


def test_a_user_who_may_not_even_ping_is_told_the_rest(valkey: Server, tmp_path: Path) -> None:
    """The store is wrong, and the permissions say why."""
    url = allow(valkey, "mute", "allkeys -@all +@read +select")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 1 == status
    assert "wrong" == found["store"].status
    assert found["store reading"].detail.endswith(": PING")


def test_the_documented_permissions_are_enough(valkey: Server, tmp_path: Path) -> None:
    """A user with only this permission learns no version and no clock and cannot write. The doctor reports no fault."""
    url = allow(valkey, "reader", "allkeys -@all +@read +select +ping")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 0 == status, found
    assert {"reading": "ok", "writing": "off", "version": "off", "clock": "off"} == {
        part: found[f"store {part}"].status for part in ("reading", "writing", "version", "clock")
    }


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("allkeys +set +del", ""),
        ("allkeys +set", ": DEL"),
        ("~????????-* ~inference.* +set +del", ": SET of container counts, SET of the activity of sessions"),
    ],
)
def test_what_the_collector_may_not_write_is_a_warning(valkey: Server, tmp_path: Path, rules: str, refused: str) -> None:
    """Each command and kind of key is named, and trying them leaves no key behind."""
    url = allow(valkey, "writer", f"resetkeys %R~* -@all +@read +select +ping {rules.replace('~', '%W~')}")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 0 == status, found
    assert ("warning" if refused else "ok", True) == (
        found["store writing"].status,
        found["store writing"].detail.endswith(refused),
    )
    for database in (0, 2):
        with Redis(host="127.0.0.1", port=valkey.port, db=database) as admin:
            assert 0 == admin.dbsize()


def test_a_wrong_password_is_one_finding(valkey: Server, tmp_path: Path) -> None:
    """What the user could do with the right one is not known, and not shown."""
    url = allow(valkey, "reader", "allkeys +@all").replace("a-word", "another-word")

    status, found = doctor(tmp_path, statistics_url=url)

    assert 1 == status
    assert ["store"] == [name for name in found if name.startswith("store")]
    assert "invalid username-password pair" in found["store"].detail
    assert found["store"].remedy.startswith("correct the credentials")
    assert "another-word" not in found["store"].detail


@contextmanager
def forwarding(server: Server, refusals: Mapping[str, int]) -> Iterator[str]:
    """Yield the URL of a proxy that refuses the paths that end so, each with a status."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            if status := next((status for end, status in refusals.items() if path.endswith(end)), None):
                self.send_error(status)
                return
            url = f"{server.url}{path}?{query or body.decode()}"
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a server of the test's own
                content = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - the name is that of http.server

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def test_requests_that_a_proxy_refuses_are_found(start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """Each is named; a hidden version is no fault."""
    refusals = {"/query_range": 403, "/values": 401, "/series": 404, "/buildinfo": 403}
    with forwarding(start_prometheus(), refusals) as url:
        status, found = doctor(tmp_path, metrics_url=url)

    assert 1 == status
    assert ("ok", "wrong", "off") == tuple(found[name].status for name in ("backend", "backend reading", "backend version"))
    assert found["backend reading"].detail.endswith(": query_range, series, label values")


def test_requests_without_an_answer_are_not_known(start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """They are neither allowed nor refused."""
    with forwarding(start_prometheus(), {"/series": 503}) as url:
        status, found = doctor(tmp_path, metrics_url=url)

    check = found["backend reading"]
    assert (1, "wrong", "it is not known whether the user may do this: series") == (status, check.status, check.detail)


def test_a_backend_that_refuses_every_query_is_one_finding(start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """A missing credential is named, and nothing else is tried."""
    with forwarding(start_prometheus(), {"": 401}) as url:
        status, found = doctor(tmp_path, metrics_url=url)

    assert (1, ["backend"]) == (status, [name for name in found if name.startswith("backend")])
    assert "a credential is missing" in found["backend"].detail


def test_another_program_than_expected_is_found(
    valkey: Server, start_prometheus: Callable[..., Server], tmp_path: Path
) -> None:
    """The remedy is to correct the address, since a server does run there."""
    prometheus = start_prometheus()
    store = f"valkey://127.0.0.1:{prometheus.port}"
    with forwarding(prometheus, {"": 404}) as backend:
        status, found = doctor(tmp_path, statistics_url=store, metrics_url=backend)

    assert 1 == status
    for name in ("store", "backend"):
        assert "wrong" == found[name].status
        assert found[name].remedy.startswith("another program may listen there")
    _, found = doctor(tmp_path, metrics_url=f"http://127.0.0.1:{valkey.port}")
    assert "wrong" == found["backend"].status


@pytest.mark.parametrize(("days", "status"), [(20, "warning"), (40, "ok")])
def test_the_end_of_a_certificate_is_shown(
    tmp_path: Path,
    new_authority: Callable[[str], Authority],
    start_tls_valkey: Callable[..., tuple[Server, str]],
    days: int,
    status: str,
) -> None:
    """It is a warning if the certificate expires within 30 days."""
    authority = new_authority("authority")
    server: Pair = authority.issue("server", days=days)
    client = authority.issue("client")
    _, url = start_tls_valkey(authority.certificate, server)
    files = {"ca": authority.certificate, "cert": client.certificate, "key": client.key}
    options = {f"tls_{name}_file": str(file) for name, file in files.items()}

    code, found = doctor(tmp_path, statistics_url=url, statistics=options)

    check = found["store certificate"]
    assert (0, status) == (code, check.status)
    assert check.detail.startswith((f"expires in {days} days", f"expires in {days - 1} days"))


def test_an_expired_certificate_is_wrong(
    tmp_path: Path, new_authority: Callable[[str], Authority], start_tls_valkey: Callable[..., tuple[Server, str]]
) -> None:
    """The remedy is another one than for a server that cannot be reached."""
    authority = new_authority("authority")
    _, url = start_tls_valkey(authority.certificate, authority.issue_expired("server"), "--tls-auth-clients", "no")

    status, found = doctor(tmp_path, statistics_url=url, statistics={"tls_ca_file": str(authority.certificate)})

    assert 1 == status
    assert "certificate has expired; renew it on the server" in found["store"].detail
    assert found["store"].remedy.startswith("replace the certificate")


def test_both_members_of_a_pair_are_checked(start_prometheus: Callable[..., Server], tmp_path: Path) -> None:
    """Queries still succeed if one is down, so that nothing else reports it."""
    url, dead = start_prometheus().url, f"http://127.0.0.1:{free_port()}"

    status, found = doctor(tmp_path, metrics_url=url, metrics={"fallback_urls": [dead]})

    assert 1 == status
    parts = {f"backend {part} {url}": "ok" for part in ("version", "clock", "reading")}
    assert {f"backend server {dead}": "wrong", "backend": "ok", **parts} == {
        name: check.status for name, check in found.items() if name.startswith("backend")
    }
