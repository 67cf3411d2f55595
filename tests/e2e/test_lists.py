"""Lists of what exists, and the live view, with a real Valkey and a real Prometheus."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from redis import Redis
from tests.e2e.program import ID_1, ID_2, ID_3, environment, read_all, read_until, start, statcore
from tests.support.planted_server import planted_server

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, running_valkey

CPU = {"current": "500", "capacity": "1000", "pct": "50.00", "unit_hint": "millicores"}


def planted() -> Iterator[PlantedSeries]:
    """Yield half a core of a kernel and a quarter of another, from ten minutes ago until in twenty minutes."""
    now = int(time.time())
    for kernel, rate in ((ID_1, 250), (ID_2, 500)):
        labels = {"container_metric_name": "cpu_util", "value_type": "current", "kernel_id": kernel, "session_id": ID_3}
        owners = {"agent_id": "i-1", "user_id": "undefined", "project_id": ID_3}
        samples = [(at, float((at - now + 600) * rate)) for at in range(now - 600, now + 1200, 5)]
        yield PlantedSeries("backendai_container_utilization", labels | owners, samples)


cluster = planted_server(planted)


def write_entries(server: Server) -> None:
    """Write the statistics of the second kernel."""
    with Redis(host="127.0.0.1", port=server.port) as client:
        client.set(ID_2, msgpack.packb({"cpu_util": CPU}), ex=86400)


def test_what_exists_is_listed_without_an_id(cluster: Server, valkey: Server) -> None:
    """A session has its kernels and their statistics, and a kernel its owners."""
    write_entries(valkey)
    urls = {"statistics_url": valkey.url, "metrics_url": cluster.url}

    sessions = statcore("sessions", "--format", "json", **urls)
    kernels = statcore("kernels", "--sort", "-cpu_pct", "--filter", f"project_id={ID_3}", **urls)
    agents = statcore("agents", "--format", "json", **urls)

    (session,) = json.loads(sessions.stdout)["sessions"]
    assert (ID_3, [ID_1, ID_2], 50.0) == (session["id"], session["kernel_id"], session["cpu_pct"])
    assert f"kernel {ID_1} has no statistics" == session["problem"]
    _, first, second = kernels.stdout.splitlines()
    assert ([ID_2, "50.0", "%"], ID_1) == (first.split()[:3], second.split()[0])
    assert ["i-1"] == [agent["id"] for agent in json.loads(agents.stdout)["agents"]]


def test_top_has_the_busiest_kernels_and_their_course(cluster: Server, valkey: Server) -> None:
    """The order is that of the store's figures; the course of CPU use comes from the backend, for each kernel."""
    write_entries(valkey)

    done = statcore("top", "--once", "--format", "json", statistics_url=valkey.url, metrics_url=cluster.url)

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert [ID_2, ID_1] == list(document["kernels"])
    assert {ID_1: ID_3, ID_2: ID_3} == document["sessions"]
    assert "50.00" == document["kernels"][ID_2]["cpu_util"]["pct"]
    courses = {series["labels"]["kernel_id"]: series["values"] for series in document["utilization"]["cpu_util"]}
    assert pytest.approx(250) == courses[ID_1][-1]
    assert pytest.approx(500) == courses[ID_2][-1]
    assert [] == document["failures"]


def test_watching_goes_on_while_the_store_is_away(cluster: Server, tmp_path: Path) -> None:
    """The list stays, with a problem beside each kernel; SIGINT ends it without a traceback."""
    with running_valkey(tmp_path) as valkey:
        write_entries(valkey)
        process = start("kernels", "--watch", "--format", "json", statistics_url=valkey.url, metrics_url=cluster.url)
        with process:
            assert [50.0, None] == figures(process)[::-1]
            valkey.process.terminate()
            while not all(problems := documents(process, "problem")):
                pass
            assert "UnavailableError" in problems[0]
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert (0, "") == (process.returncode, err)


def documents(process: subprocess.Popen[str], name: str) -> list[Any]:
    """Return a value of each kernel of the next document."""
    assert process.stdout is not None
    return [kernel[name] for kernel in json.loads(process.stdout.readline())["kernels"]]


def figures(process: subprocess.Popen[str]) -> list[Any]:
    """Return the CPU of each kernel of the next document."""
    return documents(process, "cpu_pct")


@contextmanager
def on_terminal(*arguments: str, **settings: str) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Start the program on a terminal of 100 columns; yield it, and the descriptor that what it shows is read from."""
    outer, inner = pty.openpty()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program inherits an ignored signal
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "statcore_cli", *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment(**settings) | {"COLUMNS": "100", "TERM": "xterm"},
        )
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(inner)
    with process:
        yield process, outer


@pytest.mark.parametrize("command", [("kernels", "--watch"), ("top",)])
def test_a_terminal_shows_what_is_there_until_ctrl_c(cluster: Server, valkey: Server, command: tuple[str, ...]) -> None:
    """The screen is restored at the end, and nothing else is printed."""
    write_entries(valkey)
    with on_terminal(*command, statistics_url=valkey.url, metrics_url=cluster.url) as (process, terminal):
        shown = read_until(terminal, ID_2[:8], "50.0")
        process.send_signal(signal.SIGINT)
        shown += read_all(terminal)

    assert 0 == process.returncode
    assert not [text for text in ("Traceback", "statcore:") if text in shown]
    assert re.search(r"\x1b\[\?1049h.*\x1b\[\?1049l", shown, re.DOTALL)


def test_the_screen_keeps_the_list_while_the_backend_is_away(
    prometheus_holding: Callable[..., AbstractContextManager[Server]], valkey: Server
) -> None:
    """A line with the error stands above the list, which keeps its figures."""
    write_entries(valkey)
    with prometheus_holding(openmetrics_text(planted())) as prometheus:
        settings = {"statistics_url": valkey.url, "metrics_url": prometheus.url}
        with on_terminal("sessions", "--watch", **settings) as (process, terminal):
            read_until(terminal, ID_3, "50.0")
            prometheus.process.terminate()
            read_until(terminal, "not answered at", ID_3, "50.0")
            process.send_signal(signal.SIGINT)
            read_all(terminal)
    assert 0 == process.returncode


def test_a_reader_that_closes_the_pipe_ends_watching(cluster: Server, valkey: Server) -> None:
    """The exit code is that of a shell, without a traceback."""
    with start("kernels", "--watch", statistics_url=valkey.url, metrics_url=cluster.url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (141, "") == (process.returncode, err)
