"""`statcore collect` as a user runs it, and the numbers that are read back from real servers."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis
from tests.e2e.program import statcore
from tests.support.tcp import listening_addresses

from statcore.testing.servers import Server, find_program, free_port, raw_query, start_program

STATCORE = [sys.executable, "-m", "statcore_cli"]


@contextmanager
def _child(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _json(*arguments: str, **settings: str) -> Any:
    answer = statcore(*arguments, "--format", "json", **settings)
    assert 0 == answer.returncode, answer.stderr
    return json.loads(answer.stdout)


def _cpu_seconds(pid: int) -> float:
    """Return the user and system time of the process from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _shares(history: list[tuple[float, float]], *, window_s: float, end: float, delay_s: float) -> Iterator[float]:
    """Yield the share of one core that was used in windows of about `window_s`.

    Args:
        history: pairs of unix time and processor seconds.
        window_s: the length of the window of the query.
        end: its end, in unix seconds.
        delay_s: by how much each end of a window may be earlier.
    """
    ends = [pair for pair in history if end - delay_s <= pair[0] <= end]
    starts = [pair for pair in history if end - delay_s <= pair[0] + window_s <= end]
    return ((after - before) / (ended - started) for ended, after in ends for started, before in starts)


def test_half_a_core_is_measured_as_proc_says(valkey: Server, start_prometheus: Callable[..., Server]) -> None:
    """A child with a duty cycle of 50%: `query container --metric-name cpu_util` is within 3% of the share in /proc.

    The samples at both ends of the window were scraped and collected up to `delay_s` earlier. So the measured share lies
    between the smallest and the greatest share that /proc has for windows with such ends.
    """
    kernel_id, port, window_s, delay_s = str(uuid.uuid4()), free_port(), 5, 1.5
    with _child(sys.executable, "-m", "statcore_cli.demo.loads", "busy", "0.5") as load:
        collect = [*STATCORE, "collect", "--statistics-url", valkey.url, "--interval", "200ms"]
        collect += ["--listen", f"127.0.0.1:{port}", "--kernel", f"pid={load.pid},kernel_id={kernel_id}"]
        with _child(*collect) as collector:
            assert collector.stderr is not None
            assert kernel_id in collector.stderr.readline()
            assert f"127.0.0.1:{port}/metrics" in collector.stderr.readline()
            prometheus = start_prometheus(targets={"statcore": f"127.0.0.1:{port}"}, scrape_interval="500ms")
            history: list[tuple[float, float]] = []
            until = math.inf
            while time.time() < until:
                history.append((time.time(), _cpu_seconds(load.pid)))
                if until == math.inf and raw_query(prometheus, "up", time.time()):
                    until = time.time() + window_s + delay_s
                time.sleep(0.05)
            query = ["query", "container", "--metric-name", "cpu_util", "--kernel-id", kernel_id, "--end", f"{until:.3f}"]
            query += ["--rate-interval", f"{window_s}s", "--last", "1s", "--step", "1s"]
            (series,) = _json(*query, metrics_url=prometheus.url)["series"]
            live = _json("kernels", kernel_id, statistics_url=valkey.url)
    end, measured = series["timestamps"][-1], series["values"][-1] / 1000
    shares = list(_shares(history, window_s=window_s, end=end, delay_s=delay_s))
    assert min(shares) * 0.97 < measured < max(shares) * 1.03
    assert {kernel_id: "1000"} == {id_: entry["cpu_util"]["capacity"] for id_, entry in live["kernels"].items()}


@contextmanager
def _collector(url: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `statcore collect` without kernels, and yield it with its address."""
    command = [*STATCORE, "collect", "--statistics-url", url, "--listen", "127.0.0.1:0", "--interval", "200ms"]
    with _child(*command, *arguments) as collector:
        assert collector.stderr is not None
        yield collector, next(line for line in collector.stderr if "serving" in line).split()[2].removesuffix("/metrics")


def _wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not reached():  # neither Valkey nor the collector has an event for it
        assert time.monotonic() < until
        time.sleep(0.02)


def _health(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:  # noqa: S310 - our own child
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_removes_what_was_written(valkey: Server, number: signal.Signals) -> None:
    """Exit code 0 without a traceback; nothing remains of kernel, session, agent and count, and other entries stay."""
    kernel_id, session_id = str(uuid.uuid4()), str(uuid.uuid4())
    kernel = f"pid={os.getpid()},kernel_id={kernel_id},session_id={session_id}"
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set("i-2", b"\x80")
        with _collector(valkey.url, "--agent-id", "i-1", "--kernel", kernel) as (collector, _):
            written = {kernel_id, session_id, "i-1", "container_count.i-1", "i-2"}
            _wait_until(lambda: written == {key.decode() for key in client.scan_iter()})
            collector.send_signal(number)
            assert collector.stderr is not None
            assert "" == collector.stderr.read()
            assert 0 == collector.wait(10)
        assert [b"i-2"] == list(client.scan_iter())


def test_the_collector_listens_where_it_is_told_alone(valkey: Server) -> None:
    """With the default host, loopback, no other machine can reach it."""
    with _collector(valkey.url) as (collector, _):
        assert ["127.0.0.1"] == listening_addresses(psutil.Process(collector.pid))


def test_a_store_that_is_down_at_first_is_logged_once_and_so_is_its_return(tmp_path: Path) -> None:
    """The collector starts, logs the failure, is unhealthy, and recovers by itself."""
    port = free_port()
    server = [find_program("valkey-server", "redis-server"), "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with _collector(f"valkey://127.0.0.1:{port}") as (collector, address):
        assert collector.stderr is not None
        failing = collector.stderr.readline()
        assert re.fullmatch(r"statcore: failing since 2\S+Z: the store: Valkey at .*\n", failing)
        assert 503 == _health(address)[0]
        with start_program([*server, "--bind", "127.0.0.1"], tmp_path / "valkey.log") as valkey:
            try:
                recovered = collector.stderr.readline()
                assert re.fullmatch(
                    r"statcore: no longer failing since 2\S+Z: the store; it had failed since 2\S+Z\n", recovered
                )
                _wait_until(lambda: (200, "ok") == _health(address))
                collector.terminate()
                assert "" == collector.stderr.read()
            finally:
                valkey.terminate()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kernel", "pid=x"], "--kernel: pid must be a number, not 'x'"),
        (["--kernel", "pid=1,colour=red"], "--kernel: cannot read 'colour=red'"),
        (["--kernel", "pid=1,pid=2"], "--kernel: cannot read 'pid=2'"),
        (["--kernel", f"pid={2**22 + 1}"], "no process has the pid"),
        (["--interval", "0s"], "--interval: duration out of range: '0s'"),
        (["--listen", "9256"], "--listen: expected HOST:PORT such as 127.0.0.1:9256, not '9256'"),
        (["--listen", "127.0.0.1:99999"], "--listen"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(arguments: list[str], says: str) -> None:
    """The exit code is 2."""
    answer = statcore("collect", *arguments, statistics_url="valkey://127.0.0.1:1")
    assert 2 == answer.returncode, answer.stderr
    assert says in answer.stderr
    assert 1 == len(answer.stderr.splitlines())


def test_a_taken_port_is_one_line(valkey: Server) -> None:
    """The exit code is 1, and the line names the address."""
    taken = f"127.0.0.1:{valkey.port}"
    answer = statcore("collect", "--listen", taken, statistics_url=valkey.url)
    assert 1 == answer.returncode
    assert [f"statcore: cannot serve metrics on {taken}: Address already in use"] == answer.stderr.splitlines()


def test_children_of_these_tests_have_ended() -> None:
    """No load that a test of this file started still runs."""
    names = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    assert [] == [name for name in names if "statcore_cli.demo.loads" in name]
