"""Starting and ending servers: what happens when a program is missing, dies, or does not end."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest
from tests.support.tcp import listening_addresses

from statcore.errors import InputError, UnavailableError
from statcore.testing import servers
from statcore.testing.servers import (
    Server,
    find_installations,
    find_program,
    free_port,
    plant_openmetrics,
    raw_query,
    running_prometheus,
    running_valkey,
    running_victoriametrics,
    start_program,
)

ANSWERS_PING = """
import signal, socket, sys
{first}
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall({reply!r})
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`program(name, source)` puts a Python program on an otherwise empty PATH; the cache folder is `tmp_path`, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def write(name: str, source: str) -> None:
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)

    return write


def is_running(pid: int) -> bool:
    """Say whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_first_program_that_is_installed_is_taken(program: Callable[[str, str], None], tmp_path: Path) -> None:
    """The order is that of the names given."""
    program("second", "")
    assert str(tmp_path / "bin" / "second") == find_program("first", "second", "third")
    program("first", "")
    assert str(tmp_path / "bin" / "first") == find_program("first", "second", "third")


def test_each_installation_of_a_program_is_found_with_its_version(
    program: Callable[[str, str], None], tmp_path: Path
) -> None:
    """First the one on PATH, which may not say its version, then the one in the cache folder."""
    assert [] == find_installations("prometheus")
    program("prometheus", "print('no version')")
    cached = tmp_path / "statcore" / "servers" / "prometheus"
    cached.parent.mkdir(parents=True)
    cached.write_text(f"#!{sys.executable}\nimport sys; sys.exit('prometheus, version 3.16.0 (branch: main)')")
    cached.chmod(0o755)
    on_path, current = find_installations("prometheus")
    assert (str(tmp_path / "bin" / "prometheus"), "", "prometheus-of-unknown-version") == (
        on_path.path,
        on_path.version,
        str(on_path),
    )
    assert (str(cached), "3.16.0", "prometheus-3.16.0") == (current.path, current.version, str(current))
    assert on_path.path == find_program("prometheus")
    Path(on_path.path).unlink()
    assert (current.path, [current]) == (find_program("prometheus"), find_installations("prometheus"))
    cached.write_bytes(b"\x7fnot a program")
    assert [""] == [broken.version for broken in find_installations("prometheus")]


@pytest.mark.usefixtures("program")
def test_a_missing_program_is_one_clear_line(tmp_path: Path) -> None:
    """It names all that would do."""
    with (
        pytest.raises(UnavailableError, match=r"^not found on PATH: valkey-server or redis-server$") as caught,
        running_valkey(tmp_path),
    ):
        pytest.fail("started nothing")
    assert "valkey-server" == caught.value.service
    with (
        pytest.raises(UnavailableError, match=r"^not found on PATH: prometheus$"),
        running_prometheus(tmp_path, targets={}),
    ):
        pytest.fail("started nothing")


def test_a_free_port_is_none_that_is_taken_and_none_of_an_outgoing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection of another process cannot take it before the server starts, or while it restarts."""
    assert free_port() in range(
        1_024, 32_768
    )  # Linux gives outgoing connections the next ports, unless it is told to use others
    with socket.create_server((servers.LOOPBACK, free_port())) as taken:
        port, free = taken.getsockname()[1], free_port()
        choices = iter([port, port, free])
        monkeypatch.setattr(servers.secrets, "choice", lambda _: next(choices))
        assert free == free_port()
        monkeypatch.setattr(servers.secrets, "choice", lambda _: port)
        with pytest.raises(OSError, match="no free port in 100 attempts"):
            free_port()


def test_a_program_that_dies_is_started_again_and_then_reported_with_its_output(
    program: Callable[[str, str], None], tmp_path: Path
) -> None:
    """Another process may have taken the port; three times it has not."""
    program("redis-server", "import sys; sys.exit('first line\\nbad configuration')")
    with pytest.raises(UnavailableError, match="redis-server did not start: bad configuration"), running_valkey(tmp_path):
        pytest.fail("started nothing")
    assert 3 == (tmp_path / "valkey.log").read_text().count("bad configuration")


def test_a_program_that_never_answers_is_ended(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded, and nothing is left running."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        started.append(start_program(command, log))
        return started[-1]

    monkeypatch.setattr(servers, "start_program", start)
    monkeypatch.setattr(servers, "_START_S", 0.2)
    program("valkey-server", "import time; time.sleep(60)")
    with pytest.raises(UnavailableError, match="valkey-server did not start"), running_valkey(tmp_path):
        pytest.fail("started nothing")
    assert 3 == len(started)
    assert [] == [process.pid for process in started if process.poll() is None]


def test_an_interrupt_while_waiting_ends_the_program(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program ends after any exception."""
    program("valkey-server", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    log = tmp_path / "valkey.log"

    def interrupt(_: int) -> bool:
        if log.read_text():
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(servers, "_valkey_answers", interrupt)
    with pytest.raises(KeyboardInterrupt), running_valkey(tmp_path):
        pytest.fail("started nothing")
    assert not is_running(int(log.read_text()))


def test_servers_listen_on_loopback_alone(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """No other machine can reach the servers of tests and of `statcore demo --servers`."""
    require_program("valkey-server", "redis-server")
    require_program("prometheus")
    with running_valkey(tmp_path) as valkey, running_prometheus(tmp_path, targets={}) as prometheus:
        for server in (valkey, prometheus):
            assert {"127.0.0.1"} == set(listening_addresses(psutil.Process(server.process.pid)))


@pytest.mark.parametrize("reply", [b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_a_server_that_answers_is_up(program: Callable[[str, str], None], tmp_path: Path, reply: bytes) -> None:
    """A refusal for want of a password is an answer, too; at the end the process is gone."""
    program("valkey-server", ANSWERS_PING.format(first="", reply=reply))
    with running_valkey(tmp_path) as server:
        assert (f"valkey://127.0.0.1:{server.port}", None) == (server.url, server.process.poll())
    assert -signal.SIGTERM == server.process.returncode


def test_a_server_that_does_not_end_is_killed(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded wait."""
    monkeypatch.setattr(servers, "_STOP_S", 0.2)
    program("valkey-server", ANSWERS_PING.format(first="signal.signal(signal.SIGTERM, signal.SIG_IGN)", reply=b"+PONG\r\n"))
    with running_valkey(tmp_path) as server:
        assert is_running(server.process.pid)
    assert -signal.SIGKILL == server.process.returncode


STARTS_A_SERVER = """
import sys, threading
from pathlib import Path
from statcore.testing.servers import running_valkey

def start():
    with running_valkey(Path(sys.argv[1])) as server:
        print(server.process.pid, flush=True)
        threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the servers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("start", ["start()", "threading.Thread(target=start).start()"], ids=["main", "thread"])
def test_a_server_ends_with_a_process_that_is_killed(
    program: Callable[[str, str], None], tmp_path: Path, number: signal.Signals, start: str
) -> None:
    """It ends although the process that started it can end nothing, and although the server itself is stopped."""
    program("valkey-server", ANSWERS_PING.format(first="", reply=b"+PONG\r\n"))
    command = [sys.executable, "-c", f"{STARTS_A_SERVER}\n{start}", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        ends = os.pidfd_open(int(parent.stdout.readline()))
        try:
            signal.pidfd_send_signal(ends, signal.SIGSTOP)
            parent.send_signal(number)
            assert select.select([ends], [], [], 30)[0]
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(ends, signal.SIGKILL)
            os.close(ends)


def test_victoriametrics_keeps_to_its_folder(
    program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens on loopback and gets the given arguments."""
    program("victoria-metrics", "import sys, time; print(*sys.argv[1:], flush=True); time.sleep(60)")
    log = tmp_path / "victoria-metrics.log"
    monkeypatch.setattr(servers, "_http_ready", lambda _: bool(log.read_text()))
    with running_victoriametrics(tmp_path, arguments=["-search.disableCache"]) as server:
        fixed = [f"-storageDataPath={tmp_path / 'data'}", f"-httpListenAddr=127.0.0.1:{server.port}"]
        assert [*fixed, "-search.disableCache"] == log.read_text().split()
    assert f"http://127.0.0.1:{server.port}" == server.url


def test_samples_that_cannot_be_read_are_refused(tmp_path: Path, require_program: Callable[..., str]) -> None:
    """The error has the tool's message; no server without data is started."""
    require_program("promtool")
    with pytest.raises(InputError, match=r"^promtool refuses the samples: .+"):
        plant_openmetrics(tmp_path, "half a line")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_program_is_a_skip_or_a_failure_on_ci(
    require_program: Callable[..., str],
    program: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    outcome: type[BaseException],
) -> None:
    """An installed one is found by any of its names."""
    monkeypatch.setenv("CI", ci)
    program("second", "")
    assert "second" == Path(require_program("first", "second")).name
    with pytest.raises(outcome, match="not found on PATH: first or third"):
        require_program("first", "third")


def test_a_raw_query_returns_the_samples_as_they_are_stored(
    prometheus_holding: Callable[..., AbstractContextManager[Server]],
) -> None:
    """An instant has a value, a range has values."""
    text = '# TYPE up unknown\nup{a="b"} 1 1700000000\nup{a="b"} 2 1700000015\n# EOF\n'
    with prometheus_holding(text) as server:
        (instant,) = raw_query(server, "up", 1_700_000_020)
        (stored,) = raw_query(server, "up[1m]", 1_700_000_020)
    labels = {"__name__": "up", "a": "b"}
    assert {"metric": labels, "value": [1_700_000_020, "2"]} == instant
    assert {"metric": labels, "values": [[1_700_000_000, "1"], [1_700_000_015, "2"]]} == stored
