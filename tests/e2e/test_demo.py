"""`statcore demo` as a user runs it: a process with real children, and with `--servers` real servers."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import pytest
from aiohttp import ClientSession
from tests.e2e.program import environment, read_until, start, statcore
from tests.support.polling import until

from statcore_cli.demo.loads import LOADS

DEMO = [sys.executable, "-m", "statcore_cli", "demo"]
CONSTANT = 1


def _check_document(document: Mapping[str, Any]) -> None:
    kernel_of = {title: kernel_id for kernel_id, title in document["loads"].items()}
    assert {} == document["problems"]
    assert [] == document["failures"]
    assert kernel_of.keys() == {"busy 50%", "busy 15%", "memory", "traffic", "writer"}
    assert set(kernel_of.values()) == document["kernels"].keys()

    def values(metric: str, title: str) -> list[float]:
        (series,) = [
            series for series in document["utilization"][metric] if series["labels"]["kernel_id"] == kernel_of[title]
        ]
        assert len(series["values"]) == len(series["timestamps"])
        assert sorted(set(series["timestamps"])) == series["timestamps"]
        return list(series["values"])

    # Milliseconds of CPU time per second; a busy machine gives less than the load would use, never more.
    assert 0 < values("cpu_util", "busy 15%")[-1] < values("cpu_util", "busy 50%")[-1] < 600
    assert CONSTANT < len(set(values("cpu_util", "busy 50%")))
    assert CONSTANT < len(set(values("mem", "memory")))
    assert 120 << 20 <= max(values("mem", "memory"))
    assert CONSTANT < len(set(values("io_write", "writer")) | set(values("net_rx", "traffic")))
    assert 0 < float(document["kernels"][kernel_of["busy 50%"]]["cpu_util"]["pct"]) < 60


@pytest.mark.parametrize("load", LOADS)
def test_a_load_ends_when_standard_input_closes(load: str) -> None:
    """The exit code is 0, and nothing is printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "statcore_cli.demo.loads", load, "0.5"],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (0, b"", b"") == (ended.returncode, ended.stdout, ended.stderr)


def _descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_once_prints_one_document_with_real_numbers() -> None:
    """Every kernel has live statistics, and utilization that changes and fits its load."""
    answer = statcore("demo", "--once", "--format", "json")
    assert 0 == answer.returncode, answer.stderr
    assert "" == answer.stderr
    _check_document(json.loads(answer.stdout))


def test_once_as_text_in_a_pipe_is_aligned_columns() -> None:
    """A header and one line per load, without control sequences."""
    answer = statcore("demo", "--once")
    assert 0 == answer.returncode, answer.stderr
    header, *lines = answer.stdout.splitlines()
    assert header.startswith("LOAD")
    assert ["busy 50%", "busy 15%", "memory", "traffic", "writer"] == [
        line[: header.index("KERNEL")].strip() for line in lines
    ]
    assert "\x1b" not in answer.stdout


def test_servers_are_started_used_and_ended(require_program: Callable[..., str]) -> None:
    """A real Valkey and a real Prometheus give the same document, and do not run afterwards."""
    require_program("valkey-server", "redis-server")
    require_program("prometheus")
    with subprocess.Popen([*DEMO, "--once", "--servers", "--format", "json"], stdout=subprocess.PIPE, text=True) as process:
        started = psutil.Process(process.pid)
        seen: dict[int, psutil.Process] = {}
        while process.poll() is None and len(seen) < 7:
            seen |= {child.pid: child for child in started.children(recursive=True)}
        output, _ = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert 7 == len(seen), "two servers and five loads"
    assert [] == [child for child in seen.values() if child.is_running()]
    _check_document(json.loads(output))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo(number: signal.Signals, require_program: Callable[..., str]) -> None:
    """Ctrl-C or SIGTERM after the first state: exit code 0, without servers, loads or a folder left behind."""
    require_program("valkey-server", "redis-server")
    require_program("prometheus")
    with subprocess.Popen([*DEMO, "--servers", "--format", "json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "kernels" in json.loads(process.stdout.readline())
        children = _descendants(process)
        (valkey,) = [child for child in children if child.name() in {"valkey-server", "redis-server"}]
        folder = Path(valkey.cwd())
        assert folder.is_dir()
        process.send_signal(number)
        process.communicate(timeout=30)
    assert 0 == process.returncode
    assert [] == [child for child in children if child.is_running()]
    assert not folder.exists()


def test_an_interrupt_before_the_end_of_once_prints_nothing() -> None:
    """The exit code is 130."""
    with subprocess.Popen([*DEMO, "--once", "--format", "json"], stdout=subprocess.PIPE, text=True) as process:
        while len(_descendants(process)) < 5:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert 130 == process.returncode
    assert "" == output


async def test_serve_answers_queries_about_the_loads_without_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store, the metric backend, the collector and the service are one process, which counts in its memory."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    query = '{ compute_session_list(sort: "-cpu_pct") { items { kernels { kernel_id live_stat } } } health { healthy } }'
    with start("demo", "--serve") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        async with ClientSession(url) as client:

            async def all_are_shown() -> bool:
                async with client.post("/graphql", json={"query": query}) as response:
                    data = (await response.json(content_type=None))["data"]
                sessions = data["compute_session_list"]["items"]
                kernels = [kernel for session in sessions for kernel in session["kernels"]]
                healthy: bool = data["health"]["healthy"]
                return (
                    healthy
                    and [2, 3] == sorted(len(session["kernels"]) for session in sessions)
                    and all(kernel["live_stat"]["cpu_util"]["pct"] is not None for kernel in kernels if kernel["live_stat"])
                )

            await until(all_are_shown, "the sessions of the loads")
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=60)


@contextmanager
def in_terminal(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the demo in a terminal within the block, which ends the demo; also yield the other end of the terminal."""
    outer, inner = pty.openpty()
    env = environment() | {"COLUMNS": "300", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, *words], env=env, stdout=inner, stderr=inner) as process:
        os.close(inner)
        try:
            yield process, outer
        finally:
            process.terminate()
    os.close(outer)


def test_a_terminal_shows_the_address_of_the_page() -> None:
    """The page is at the address above the live view, and knows the loads with owner and start; Ctrl-C ends both."""
    query = "{ compute_session_list { items { user_id started_at } } endpoint_list { items { replicas { active } } } }"
    with in_terminal("-m", "statcore_cli", "demo") as (process, terminal):
        (address,) = set(re.findall(r"http://127\.0\.0\.1:\d+", read_until(terminal, "busy 50%")))
        with urlopen(address, timeout=30) as response:  # noqa: S310 - of the demo
            page = response.read().decode()
        with urlopen(f"{address}/graphql?{urlencode({'query': query})}", timeout=30) as response:  # noqa: S310
            data = json.load(response)["data"]
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=60)
    assert '<script type="module" src="static/page.js">' in page
    sessions = data["compute_session_list"]["items"]
    assert 2 == len(sessions)
    assert all(session["user_id"] and session["started_at"] for session in sessions)
    assert [{"replicas": [{"active": True}]}] == data["endpoint_list"]["items"]


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("import sys; sys.modules['aiohttp'] = None", "pip install 'statcore[web]'"),
        ("from pathlib import Path; import statcore_web.page as page; page._FOLDER = Path('/none')", "make page"),
    ],
    ids=["not installed", "not built"],
)
def test_without_the_page_a_terminal_shows_the_loads_and_why(fault: str, remedy: str) -> None:
    """The reason is above the live view, and is the error where the options need the page."""
    program = f"{fault}; from statcore_cli.main import main; main()"
    with in_terminal("-c", program, "demo") as (process, terminal):
        assert remedy in read_until(terminal, "busy 50%")
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=60)
    with in_terminal("-c", program, "demo", "--port", "0") as (process, terminal):
        assert remedy in read_until(terminal, "\n")
        assert 1 == process.wait(timeout=60)
    command = [sys.executable, "-c", program, "demo", "--serve"]
    served = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (1, "") == (served.returncode, served.stdout)
    assert 1 == len(served.stderr.splitlines())
    assert remedy in served.stderr


@pytest.mark.parametrize("options", [["--once", "--serve"], ["--once", "--port", "0"], ["--port", "0"]])
def test_options_of_the_page_need_a_page(options: Sequence[str]) -> None:
    """Neither `--once` nor a pipe has one."""
    answer = statcore("demo", *options)
    assert 2 == answer.returncode
    assert 1 == len(answer.stderr.splitlines())


def test_a_missing_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the program, and the exit code is 1."""
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = statcore("demo", "--servers", "--once")
    assert 1 == answer.returncode
    assert ["statcore: not found on PATH: valkey-server or redis-server"] == answer.stderr.splitlines()
