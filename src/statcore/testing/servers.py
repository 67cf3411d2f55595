"""Real servers for tests and demonstrations, on loopback and free ports, with their data in a folder of the caller."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs

from statcore.errors import InputError, UnavailableError

_START_S: Final = 30.0
_VERSION_S: Final = 10.0
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_STOP_S: Final = 10.0
_PLANT_S: Final = 100.0
_START_ATTEMPTS: Final = 3
_PORTS: Final = range(10_000, 32_768)  # below those of outgoing connections, so a server that restarts gets its port again
_PORT_ATTEMPTS: Final = 100
_QUERY_S: Final = 30.0
LOOPBACK: Final = "127.0.0.1"
# Becomes the program of its arguments. Its standard input is a pipe, which it opens again to have settings of its own: the
# kernel sends SIGKILL to the owner of the read end when nobody has the write end any more. A Linux that cannot do this runs
# the program all the same. Python ignores SIGPIPE, and the program would inherit that.
_BOUND_PROGRAM: Final = """
import fcntl, os, signal, sys
try:
    os.dup2(os.open("/proc/self/fd/0", os.O_RDONLY), 0)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
except OSError:
    pass
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


@attrs.frozen(kw_only=True)
class Server:
    """A running server: the address to give to an adapter, its port, and its process."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


@attrs.frozen
class Program:
    """An installed program: its name, its path, and its version, which is empty where it prints none."""

    name: str
    path: str
    version: str

    def __str__(self) -> str:
        """Return name and version."""
        return f"{self.name}-{self.version or 'of-unknown-version'}"


def find_program(*names: str) -> str:
    """Return the path of the first of several programs that is installed, on PATH or else in the cache folder.

    Raises:
        UnavailableError: none of them is installed; the message names them.
    """
    for path in (None, servers_folder()):
        for name in names:
            if program := shutil.which(name, path=path):
                return program
    raise UnavailableError(f"not found on PATH: {' or '.join(names)}", service=names[0])


def find_installations(name: str) -> list[Program]:
    """Return the installations of a program: on PATH, and in the folder that `make servers-current` builds into."""
    paths = dict.fromkeys(path for path in (shutil.which(name), shutil.which(name, path=servers_folder())) if path)
    return [Program(name, path, _version(path)) for path in paths]


def servers_folder() -> Path:
    """Return the folder that `make servers-current` builds into."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "statcore", "servers")


def _version(path: str) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = _VERSION.search(done.stdout + done.stderr)
    return match[0] if match else ""


def free_port() -> int:
    """Return a loopback port that was free a moment ago, and that Linux by default gives to no outgoing connection.

    Raises:
        OSError: no free port was found, or a socket cannot be opened.
    """
    for _ in range(_PORT_ATTEMPTS):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise OSError(errno.EADDRINUSE, f"no free port in {_PORT_ATTEMPTS} attempts from {_PORTS[0]} to {_PORTS[-1]}")


@contextmanager
def running_valkey(folder: Path, *, arguments: Sequence[str] = ()) -> Generator[Server]:
    """Run `valkey-server`, or else `redis-server`, with no persistence, and yield it once it answers."""
    program = find_program("valkey-server", "redis-server")

    def command(port: int) -> list[str]:
        fixed = ["--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        return [program, *fixed, *arguments]

    with _running(command, folder / "valkey.log", ready=_valkey_answers, url=f"valkey://{LOOPBACK}") as server:
        yield server


def plant_openmetrics(folder: Path, text: str, *, program: str | None = None) -> None:
    """Put samples where `running_prometheus` with the same folder finds them.

    Args:
        folder: where; it exists.
        text: OpenMetrics text with timestamps in seconds.
        program: the path of `promtool`, by default the one that `find_program` finds.

    Raises:
        UnavailableError: `promtool`, which comes with Prometheus, is not installed.
        InputError: it refuses the text.
    """
    program = program or find_program("promtool")
    source = folder / "planted.txt"
    source.write_text(text, encoding="utf-8", newline="\n")
    command = [program, "tsdb", "create-blocks-from", "openmetrics", str(source), str(folder / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PLANT_S, check=False)  # noqa: S603 - promtool
    if done.returncode:
        raise InputError(f"promtool refuses the samples: {done.stderr.strip()}")


@contextmanager
def running_prometheus(
    folder: Path,
    *,
    targets: Mapping[str, str],
    scrape_interval: str = "1s",
    remote_read: Sequence[str] = (),
    rule_files: Sequence[Path] = (),
    arguments: Sequence[str] = (),
    program: str | None = None,
) -> Generator[Server]:
    """Run `prometheus` with its data in `folder`, and yield it once ready.

    Args:
        folder: where; it exists.
        targets: what it scrapes, job name to host:port.
        scrape_interval: how often it scrapes, and evaluates the rules of `rule_files`.
        remote_read: URLs of other Prometheus servers, whose samples its answers include.
        rule_files: the files of its rules.
        arguments: more of the command line.
        program: the path of `prometheus`, by default the one that `find_program` finds.

    Raises:
        UnavailableError: it is not installed, or does not start.
    """
    program = program or find_program("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(_prometheus_config(targets, scrape_interval, remote_read, rule_files))

    def command(port: int) -> list[str]:
        return [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            *arguments,
        ]

    with running_http(command, folder / "prometheus.log") as server:
        yield server


@contextmanager
def running_victoriametrics(
    folder: Path, *, arguments: Sequence[str] = (), program: str | None = None
) -> Generator[Server]:
    """Run a single-node `victoria-metrics` with its data in `folder`, and yield it once ready.

    Args:
        folder: where; it exists.
        arguments: more of the command line.
        program: the path of `victoria-metrics`, by default the one that `find_program` finds.

    Raises:
        UnavailableError: it is not installed, or does not start.
    """
    program = program or find_program("victoria-metrics")

    def command(port: int) -> list[str]:
        fixed = [f"-storageDataPath={folder / 'data'}", f"-httpListenAddr={LOOPBACK}:{port}"]
        return [program, *fixed, *arguments]

    with running_http(command, folder / "victoria-metrics.log") as server:
        yield server


@contextmanager
def running_http(command: Callable[[int], list[str]], log: Path) -> Generator[Server]:
    """Run a server that answers `/-/ready`, as Prometheus, VictoriaMetrics and their relatives do, and yield it once ready.

    Args:
        command: returns the command line, program first, for the port on which the server is to listen.
        log: the file that gets the server's output; its folder exists.

    Raises:
        UnavailableError: the server does not start.
    """
    with _running(command, log, ready=_http_ready, url=f"http://{LOOPBACK}") as server:
        yield server


def raw_query(server: Server, promql: str, time: float) -> list[dict[str, Any]]:
    """Query a server that speaks the API of Prometheus without any of statcore, to compare answers with.

    Args:
        server: the server.
        promql: an expression; a range such as `up[5m]` returns the samples as they are stored.
        time: the instant, in unix seconds.

    Returns:
        The series as the server says them: `metric`, its labels, with `value` or `values`.

    Raises:
        OSError: the server cannot be reached, or refuses the query.
    """
    url = f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': promql, 'time': time})}"
    with urllib.request.urlopen(url, timeout=_QUERY_S) as answer:  # noqa: S310 - a server of the test's own
        series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return series


def _prometheus_config(
    targets: Mapping[str, str], scrape_interval: str, remote_read: Sequence[str], rule_files: Sequence[Path]
) -> str:
    lines = ["global:", f"  scrape_interval: {scrape_interval}", f"  scrape_timeout: {scrape_interval}"]
    if rule_files:  # the interval is also the step of subqueries without one, so other servers keep their default
        lines += [f"  evaluation_interval: {scrape_interval}", f"rule_files: {json.dumps([*map(str, rule_files)])}"]
    lines += ["scrape_configs:"] if targets else []
    for job, address in targets.items():
        lines += [f"  - job_name: '{job}'", "    static_configs:", f"      - targets: ['{address}']"]
    lines += ["remote_read:"] if remote_read else []
    for url in remote_read:
        lines += [f"  - url: '{url}/api/v1/read'", "    read_recent: true"]
    return "\n".join(lines) + "\n"


def start_program(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that runs until it is ended; on Linux the kernel kills it when this process ends, even by SIGKILL.

    Args:
        command: the command line, program first.
        log: the file to which its output is appended; its folder exists.
    """
    lifeline: int = subprocess.DEVNULL
    if sys.platform == "linux":
        lifeline, _ = _lifeline()
        command = [sys.executable, "-I", "-S", "-c", _BOUND_PROGRAM, str(os.getpid()), *command]
    with log.open("ab") as output:
        # A session of its own: an interrupt typed at the terminal is ours to handle, not the program's.
        return subprocess.Popen(command, stdin=lifeline, stdout=output, stderr=output, start_new_session=True)  # noqa: S603


@cache
def _lifeline() -> tuple[int, int]:
    """Return a pipe whose write end this process keeps open, alone, until it ends."""
    return os.pipe()


@contextmanager
def _running(
    command: Callable[[int], list[str]], log: Path, *, ready: Callable[[int], bool], url: str
) -> Generator[Server]:
    process, port = _start(command, log, ready)
    try:
        yield Server(url=f"{url}:{port}", port=port, process=process)
    finally:
        _end(process)


def _start(
    command: Callable[[int], list[str]], log: Path, ready: Callable[[int], bool]
) -> tuple[subprocess.Popen[bytes], int]:
    words: list[str] = []
    for _ in range(_START_ATTEMPTS):  # another process may take the port first
        port = free_port()
        words = command(port)
        process = start_program(words, log)
        try:
            if _wait_until_ready(process, port, ready):
                return process, port
        except BaseException:
            _end(process)
            raise
        _end(process)
    last_words = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise UnavailableError(f"{words[0]} did not start: {' '.join(last_words)}", service=words[0])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, ready: Callable[[int], bool]) -> bool:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        if ready(port):
            return True
        time.sleep(0.02)  # no server tells its parent when it is ready
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _valkey_answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            # With ACLs or a password the refusal, too, is the answer of a server that is up.
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _http_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False
