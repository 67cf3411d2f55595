"""`statcore collect` as a user runs it, and the numbers that come back through real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from statcore.testing.servers import Server, free_port

STATCORE = [sys.executable, "-m", "statcore_cli"]


@contextmanager
def _child(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _statcore(*arguments: str, **environment: str) -> str:
    answer = subprocess.run(
        [*STATCORE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert 0 == answer.returncode, answer.stderr
    return answer.stdout


def _cpu_seconds(pid: int) -> float:
    """Return what /proc says: user and system time of the process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _share(history: list[tuple[float, float]], *, start: float, end: float) -> float:
    """Return the share of one core used between two moments, from (unix time, processor seconds) as recorded."""
    (started, before), (ended, after) = (min(history, key=lambda one: abs(one[0] - moment)) for moment in (start, end))
    return (after - before) / (ended - started)


def test_half_a_core_is_measured_as_proc_says(valkey: Server, start_prometheus: Callable[..., Server]) -> None:
    """A child with a duty cycle of 50%: `query container --metric-name cpu_util` is within 3% of what /proc says.

    What is scraped was collected up to a second before, and up to a second before that: /proc's share over one of the
    windows that these delays allow must be the one that was measured.
    """
    kernel_id, port, window_s, delay_s = str(uuid.uuid4()), free_port(), 8, 2.5
    with _child(sys.executable, "-m", "statcore_cli.demo.loads", "busy", "0.5") as load:
        collect = [*STATCORE, "collect", "--statistics-url", valkey.url, "--interval", "1s"]
        collect += ["--listen", f"127.0.0.1:{port}", "--kernel", f"pid={load.pid},kernel_id={kernel_id}"]
        with _child(*collect) as collector:
            assert collector.stderr is not None
            assert kernel_id in collector.stderr.readline()
            assert f"127.0.0.1:{port}/metrics" in collector.stderr.readline()
            prometheus = start_prometheus(targets={"statcore": f"127.0.0.1:{port}"})
            history: list[tuple[float, float]] = []
            until = time.time() + window_s + delay_s + 3  # the first scrape comes within two seconds
            while time.time() < until:
                history.append((time.time(), _cpu_seconds(load.pid)))
                time.sleep(0.05)
            query = ["query", "container", "--metric-name", "cpu_util", "--kernel-id", kernel_id, "--format", "json"]
            query += ["--metrics-url", prometheus.url, "--rate-interval", f"{window_s}s", "--last", "1s", "--step", "1s"]
            (series,) = json.loads(_statcore(*query, "--end", f"{until:.3f}"))["series"]
            live = json.loads(_statcore("kernels", kernel_id, "--statistics-url", valkey.url, "--format", "json"))
    end, measured = series["timestamps"][-1], series["values"][-1] / 1000
    delays = [number / 20 * delay_s for number in range(21)]
    shares = [_share(history, start=end - delay - window_s, end=end - delay) for delay in delays]
    assert min(shares) * 0.97 < measured < max(shares) * 1.03
    assert {kernel_id: "1000"} == {id_: entry["cpu_util"]["capacity"] for id_, entry in live["kernels"].items()}


def test_sigterm_ends_it_in_good_order(valkey: Server) -> None:
    """SIGTERM: exit 0, without a traceback."""
    with _child(*STATCORE, "collect", "--statistics-url", valkey.url, "--listen", "127.0.0.1:0") as collector:
        assert collector.stderr is not None
        assert "/metrics" in collector.stderr.readline()
        collector.terminate()
        assert "Traceback" not in collector.stderr.read()
        assert 0 == collector.wait(10)


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
def test_bad_usage_is_one_line_that_names_the_option(arguments: list[str], says: str) -> None:
    """Exit 2, and what was wrong with which option."""
    command = [*STATCORE, "collect", "--statistics-url", "valkey://127.0.0.1:1", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert 2 == answer.returncode, answer.stderr
    assert says in answer.stderr
    assert 1 == len(answer.stderr.splitlines())


def test_a_taken_port_is_one_line(valkey: Server) -> None:
    """Exit 1, and which address is taken."""
    taken = f"127.0.0.1:{valkey.port}"
    command = [*STATCORE, "collect", "--statistics-url", valkey.url, "--listen", taken]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert 1 == answer.returncode
    assert [f"statcore: cannot serve metrics on {taken}: Address already in use"] == answer.stderr.splitlines()


def test_children_of_these_tests_have_ended() -> None:
    """No load that a test of this file started is left over."""
    names = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    assert [] == [name for name in names if "statcore_cli.demo.loads" in name]
