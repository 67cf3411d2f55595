"""Fault 48: a plugin that writes to standard output, or closes it; the answer in the pipe stays whole."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientSession
from tests.e2e.program import ID_1, environment, read_all
from tests.support.service import serving_in
from tests.support.tcp import listening

PLUGIN: Final = """
import ctypes, io, os, subprocess, sys, threading
from dataclasses import dataclass
from statcore import QueryStrategy, UtilizationMetricQuerier
from statcore.model import StatisticsBatch
from statcore.plugins import StatisticsStoreSpec, hookimpl

STATCORE_PLUGIN_API = 1

def write_from_c():
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)

def write_from_a_thread():
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()

def print_all():
    print("printed")
    print("to the first stream", file=sys.__stdout__)
    os.write(1, b"written\\n")

WAYS = {
    "print": print_all,
    "no line": lambda: print("no end", end=""),
    "buffer": lambda: (sys.stdout.buffer.write(b"\\xff"), sys.stdout.buffer.flush()),
    "subprocess": lambda: subprocess.run(["echo", "from a child"]),
    "C": write_from_c,
    "thread": write_from_a_thread,
    "close": lambda: sys.stdout.close(),
    "close descriptor": lambda: os.close(1),
    "take descriptor": lambda: (os.close(1), os.open(os.devnull, os.O_RDONLY)),
    "close first": lambda: close_first_and_print_later(),
    "replace": lambda: setattr(sys, "stdout", io.TextIOWrapper(sys.stdout.buffer)),
    "silent": lambda: None,
}
def close_first_and_print_later():
    if os.environ.pop("CLOSED", None) is None:
        os.environ["CLOSED"] = "yes"
        os.close(1)
    else:
        print("printed later")

MOMENT, WAY = os.environ["MOMENT"], os.environ["WAY"]

def at(moment):
    if moment == MOMENT:
        WAYS[WAY]()

class Store:
    async def fetch_kernel_statistics(self, ids, /):
        at("fetch")
        return StatisticsBatch([{"mem": {"current": "1"}} for _ in ids])
    fetch_inference_metrics = fetch_endpoint_statistics = fetch_kernel_statistics
    fetch_replica_statistics = fetch_agent_statistics = fetch_kernel_statistics
    async def ping(self): at("ping")
    async def aclose(self): at("close")

async def open_store(url, options):
    at("open")
    return Store()

@dataclass(frozen=True, kw_only=True)
class RackQuerier(UtilizationMetricQuerier):
    "Racks."
    rack_id: str | None = None
    def __post_init__(self): at("build")
    def name(self):
        at("name")
        return "rack"
    def labels(self): return {}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.GAUGE

@hookimpl
def statcore_queriers():
    at("hook")
    return [RackQuerier]

@hookimpl
def statcore_statistics_stores():
    return [StatisticsStoreSpec(name="loud", summary="s", schemes=("loud",), open=open_store)]

at("import")
"""
CULPRIT: Final = "the plugin 'loud' of acme-loud 1.0"
KERNELS: Final = ("kernels", ID_1, "--format", "json")
KERNELS_ANSWER: Final = {"kernels": {ID_1: {"mem": {"current": "1"}}}, "ages_s": {ID_1: None}, "problems": {}}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for `PYTHONPATH` with the plugin, and one with a silent plugin."""
    for name, source in {"loud": PLUGIN, "zeta": "STATCORE_PLUGIN_API = 0"}.items():
        info = tmp_path / f"acme_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[statcore]\n{name} = acme_{name}\n")
        (tmp_path / f"acme_{name}.py").write_text(source)
    return tmp_path


def variables(site: Path, moment: str, way: str, **settings: str) -> dict[str, str]:
    """Return the environment of the program."""
    added = {"PYTHONPATH": str(site), "MOMENT": moment, "WAY": way}
    return environment(statistics_url="loud:", disable_plugins="zeta", **settings) | added


def run(site: Path, moment: str, way: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a pipe; its plugin does something at a moment."""
    command = [sys.executable, "-m", "statcore_cli", *arguments]
    environ = variables(site, moment, way)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("way", "shown"),
    [
        ("print", "printed\n"),
        ("print", "to the first stream\n"),
        ("print", "written\n"),
        ("no line", "no end\n"),
        ("buffer", "\ufffd\n"),
        ("subprocess", "from a child\n"),
        ("C", "from C\n"),
        ("thread", "from a thread\n"),
    ],
)
@pytest.mark.parametrize("moment", ["import", "fetch"])
def test_output_of_a_plugin_is_on_standard_error_with_its_name(site: Path, moment: str, way: str, shown: str) -> None:
    """The plugin writes in every way; the answer is complete, and nothing else is in the pipe."""
    done = run(site, moment, way, *KERNELS)

    assert (0, KERNELS_ANSWER) == (done.returncode, json.loads(done.stdout))
    assert shown in done.stderr
    assert f"statcore: {CULPRIT} wrote " in done.stderr


@pytest.mark.parametrize("way", ["close", "close descriptor"])
@pytest.mark.parametrize("moment", ["import", "open", "close"])
def test_closing_standard_output_costs_no_answer(site: Path, moment: str, way: str) -> None:
    """It closes the stream or the descriptor; the error names the plugin."""
    done = run(site, moment, way, *KERNELS)

    assert (0, KERNELS_ANSWER) == (done.returncode, json.loads(done.stdout))
    assert f"statcore: {CULPRIT} closed standard output; the answer is complete all the same\n" == done.stderr


def test_a_plugin_that_is_loaded_later_is_not_named(site: Path) -> None:
    """A file of the first one keeps the number of standard output."""
    environ = {**variables(site, "import", "take descriptor"), "STATCORE_DISABLE_PLUGINS": ""}
    command = [sys.executable, "-m", "statcore_cli", *KERNELS]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert (0, KERNELS_ANSWER) == (done.returncode, json.loads(done.stdout))
    assert [f"statcore: {CULPRIT} closed standard output; the answer is complete all the same"] == [
        line for line in done.stderr.splitlines() if "standard output" in line
    ]


@pytest.mark.parametrize("moment", ["import", "fetch"])
def test_replacing_standard_output_costs_no_answer(site: Path, moment: str) -> None:
    """Modules that need another encoding replace it."""
    done = run(site, moment, "replace", *KERNELS)

    assert (0, KERNELS_ANSWER) == (done.returncode, json.loads(done.stdout))
    assert f"statcore: {CULPRIT} replaced standard output; " in done.stderr


@pytest.mark.parametrize("moment", ["hook", "build", "name"])
@pytest.mark.parametrize("way", ["print", "close", "replace"])
def test_output_of_a_querier_is_not_in_the_answer(site: Path, moment: str, way: str) -> None:
    """The queriers are called in the main thread, too."""
    done = run(site, moment, way, "promql", "rack")

    assert (0, "sum(rack)\n") == (done.returncode, done.stdout)
    assert f"statcore: {CULPRIT} " in done.stderr


@pytest.mark.parametrize("arguments", [["query", "--help"], ["query", "rack", "--help"], ["plugins"]])
def test_help_and_listings_are_complete(site: Path, arguments: list[str]) -> None:
    """They are the same as with a silent plugin."""
    loud, silent = (run(site, "import", way, *arguments) for way in ("print", "silent"))

    assert silent.stdout == loud.stdout
    assert (silent.returncode, "") == (loud.returncode, silent.stderr)


def test_the_answer_on_a_terminal_is_complete(site: Path) -> None:
    """On a terminal users see what the plugin writes; closing is still reported."""
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "statcore_cli", "promql", "rack"]
    process = subprocess.Popen(
        command, env=variables(site, "import", "close"), stdout=inner, stderr=subprocess.PIPE, text=True
    )
    os.close(inner)
    shown = read_all(outer)
    _, errors = process.communicate(timeout=60)

    assert (0, "sum(rack)\r\n") == (process.returncode, shown)
    assert CULPRIT in errors


def test_no_plugin_is_named_where_standard_output_was_closed_beforehand(site: Path) -> None:
    """A shell does this with `>&-`."""
    command = ["sh", "-c", f"{sys.executable} -m statcore_cli promql rack >&-"]
    done = subprocess.run(
        command, env=variables(site, "import", "silent"), capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("workers", "moment", "way", "action"),
    [
        ("1", "open", "print", "wrote to"),
        ("1", "open", "replace", "replaced"),
        ("1", "ping", "close", "closed"),
        ("2", "open", "replace", "replaced"),
        ("2", "open", "close descriptor", "closed"),
        ("2", "ping", "C", "wrote to"),
        ("2", "ping", "replace", "replaced"),
    ],
)
async def test_the_service_prints_its_url_alone(
    site: Path, tmp_path: Path, workers: str, moment: str, way: str, action: str
) -> None:
    """The URL is there in time, requests are answered, and the log names the plugin."""
    environ = variables(site, moment, way, metrics_url="http://127.0.0.1:9")
    with serving_in(tmp_path, environ, "--workers", workers) as service:
        async with ClientSession(service.url) as client, client.get("/readyz") as response:
            assert {"statistics", "metrics"} == set((await response.json())["ports"])
        assert 0 == service.stop()
        assert service.process.stdout is not None
        assert "" == service.process.stdout.read()
        assert f"statcore: {CULPRIT} {action} standard output" in service.log
        assert "Traceback" not in service.log


async def test_no_client_reads_what_a_plugin_writes_in_place_of_standard_output(site: Path, tmp_path: Path) -> None:
    """The plugin closes the descriptor, the next connection gets its number, and then the plugin prints."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with listening(refuse) as port:
        environ = variables(site, "ping", "close first", metrics_url=f"http://127.0.0.1:{port}")
        with serving_in(tmp_path, environ) as service:
            async with ClientSession(service.url) as first, ClientSession(service.url) as second:

                async def ready(client: ClientSession) -> str:
                    async with client.get("/readyz") as response:
                        return await response.text()

                answer = await ready(first)
                await second.get("/healthz")
                while "printed later" not in service.log:
                    assert answer == await ready(second)
            assert 0 == service.stop()
            assert f"statcore: {CULPRIT} closed standard output" in service.log
