"""The wheels of this repository's plugins in an environment of their own, over real exporters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from tests.support.environments import ROOT, build_wheels, create_environment, install, pip, run

from statcore.testing.servers import Server, free_port, running_prometheus, running_victoriametrics

PLUGINS: Final = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
AGENT: Final = "agent-under-test"
OFFERS: Final = {
    "statcore-agent": ["querier agent-device", "querier process"],
    "statcore-glide": [f"statistics store {scheme}:" for scheme in ("glide+cluster", "glide", "glides+cluster", "glides")],
    "statcore-node": ["querier node"],
    "statcore-victoriametrics": ["metric backend victoriametrics+https:", "metric backend victoriametrics:"],
    "statcore-vllm": ["querier inference"],
}
SELECTORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "container": {"metric_name": "cpu_util"},
    "node": {"metric_name": "cpu_usage"},
    "agent-device": {"metric_name": "mem", "value_type": "current", "agent_id": AGENT},
    "process": {"metric_name": "cpu_util", "value_type": "current"},
    "inference": {"metric_name": "time_to_first_token", "quantile": 0.5},
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the plugins, by distribution."""
    built = build_wheels(tmp_path_factory.mktemp("plugins"), *PLUGINS)
    return {path.name.split("-")[0].replace("_", "-"): path for path in built}


@pytest.fixture(scope="module")
def bin_(tmp_path_factory: pytest.TempPathFactory, wheel: Path, wheels: dict[str, Path]) -> Path:
    """The folder of programs of an environment with statcore, these plugins, and their dependencies."""
    requirement = f"statcore[cli,prometheus,graphql] @ {wheel.as_uri()}"
    return create_environment(tmp_path_factory.mktemp("host") / "environment", requirement, *wheels.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the configuration and data of Prometheus."""
    return tmp_path_factory.mktemp("prometheus")


@pytest.fixture(scope="module")
def prometheus(folder: Path, valkey_server: Server, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Prometheus that scrapes a node exporter, a collector of a busy child, and a stand-in for a model server."""
    require_program("prometheus")
    exporter = require_program("prometheus-node-exporter")
    with ExitStack() as stack:
        targets = {"node": f"127.0.0.1:{free_port()}", "statcore": f"127.0.0.1:{free_port()}", "vllm": _model_server(stack)}
        _start(stack, exporter, f"--web.listen-address={targets['node']}")
        load = _start(stack, sys.executable, "-m", "statcore_cli.demo.loads", "busy", "0.2")
        collect = ["collect", "--statistics-url", valkey_server.url, "--interval", "1s", "--agent-id", AGENT]
        kernel = ["--kernel", f"pid={load.pid},kernel_id={uuid4()}"]
        _start(stack, sys.executable, "-m", "statcore_cli", *collect, "--listen", targets["statcore"], *kernel)
        yield stack.enter_context(running_prometheus(folder, targets=targets))


def _start(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    process = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    )
    stack.callback(process.terminate)
    return process


def _model_server(stack: ExitStack) -> str:
    """Serve the metrics of a vLLM server, and end a request with each scrape: a real server needs a GPU."""
    registry = CollectorRegistry()
    labels = {"model_name": "m", "engine": "0"}
    seconds = Histogram("vllm:time_to_first_token_seconds", "seconds", labels, registry=registry).labels(**labels)

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seconds.observe(0.1)
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.end_headers()
            self.wfile.write(generate_latest(registry))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Exporter))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    return f"127.0.0.1:{server.server_port}"


def _ask_host(bin_: Path, metrics_url: str, selectors: Mapping[str, Any]) -> dict[str, Any]:
    program = Path(__file__).parent / "plugin_host.py"
    answer = run(bin_ / "python", "-W", "error", program, metrics_url, json.dumps(selectors))
    assert 0 == answer.returncode, answer.stderr
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


@pytest.mark.timeout(400)
def test_each_is_found_by_its_own_entry_point(bin_: Path) -> None:
    """Discovery lists its offers, and imports no driver."""
    listed = run(bin_ / "statcore", "plugins", "--format", "json")
    assert 0 == listed.returncode, listed.stderr
    reports = json.loads(listed.stdout)["plugins"]
    assert OFFERS == {
        report["distribution"]: report["offers"] for report in reports if report["distribution"] != "statcore"
    }

    program = "import sys; from statcore.plugins import PluginRegistry; PluginRegistry.discover(); print(*sys.modules)"
    imported = {name.partition(".")[0] for name in run(bin_ / "python", "-c", program).stdout.split()}
    assert {name.replace("-", "_") for name in OFFERS} < imported
    assert set() == imported & {
        "aiohttp",
        "glide",
        "msgspec",
        "redis",
        "graphql",
        "strawberry",
        "click",
        "rich",
        "promql_parser",
    }


@pytest.mark.timeout(400)
def test_every_querier_answers_by_python_and_graphql(bin_: Path, prometheus: Server) -> None:
    """Every installed kind answers from series that were really scraped."""
    answers = _ask_host(bin_, prometheus.url, SELECTORS)

    assert sorted(SELECTORS) == [querier["name"] for querier in answers["queriers"]["data"]["queriers"]]
    for kind in SELECTORS:
        assert any(value == value for series in answers["python"][kind] for value in series), kind  # noqa: PLR0124 - no NaN
        assert [] == answers["graphql"][kind]["errors"]
        assert answers["graphql"][kind]["data"]["utilization"]["series"]


@pytest.mark.timeout(400)
def test_every_querier_answers_on_the_command_line(bin_: Path, prometheus: Server, wheels: dict[str, Path]) -> None:
    """The options are the fields of the class; `--help` shows the origin of a kind."""
    _ask_host(bin_, prometheus.url, SELECTORS)  # until there is something to be seen
    listing = "".join(run(bin_ / "statcore", "query", "--help").stdout.split())
    for kind, selector in SELECTORS.items():
        assert kind in listing
        options = [word for name, value in selector.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        answer = run(
            *(bin_ / "statcore", "query", kind, *options, "--last", "5s", "--format", "json"),
            metrics_url=prometheus.url,
            rate_interval="10s",
        )
        assert 0 == answer.returncode, answer.stderr
        assert json.loads(answer.stdout)["series"], kind
        text = run(bin_ / "statcore", "promql", kind, *options)
        assert 0 == text.returncode, text.stderr
        metrics = run(bin_ / "statcore", "metrics", kind, "--format", "json", metrics_url=prometheus.url)
        assert selector["metric_name"] in json.loads(metrics.stdout)["metrics"], metrics.stderr
    for name in ("statcore-node", "statcore-agent", "statcore-vllm"):
        version = wheels[name].name.split("-")[1]
        assert f"[{name}{version}]" in listing


@pytest.mark.timeout(400)
def test_uninstalled_it_is_gone(bin_: Path, prometheus: Server, wheels: dict[str, Path]) -> None:
    """Its kinds are gone from the command line, GraphQL and Python; the others work, and a new installation restores it."""
    others = {kind: selector for kind, selector in SELECTORS.items() if kind != "node"}
    pip(bin_, "uninstall", "--yes", "statcore-node")
    try:
        answers = _ask_host(bin_, prometheus.url, others)
        refused = run(bin_ / "statcore", "query", "node", "--metric-name", "load1", metrics_url=prometheus.url)
    finally:
        install(bin_, "--no-deps", wheels["statcore-node"])

    assert sorted(others) == [querier["name"] for querier in answers["queriers"]["data"]["queriers"]]
    assert 2 == refused.returncode
    assert "there is no querier node; known are: agent-device, container, inference, process" in refused.stderr
    assert 0 == run(bin_ / "statcore", "query", "node", "--help").returncode


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("prometheus")
def test_a_backend_of_another_make_is_chosen_by_its_scheme(
    bin_: Path, folder: Path, tmp_path: Path, require_program: Callable[..., str]
) -> None:
    """The same queries are answered by a VictoriaMetrics that scrapes the same exporters."""
    require_program("victoria-metrics")
    # Otherwise it answers nothing of the last half minute.
    arguments = [f"-promscrape.config={folder / 'prometheus.yml'}", "-search.latencyOffset=0s"]
    with running_victoriametrics(tmp_path, arguments=arguments) as server:
        answers = _ask_host(bin_, f"victoriametrics://127.0.0.1:{server.port}", SELECTORS)

    assert {kind: [] for kind in SELECTORS} == {kind: answers["graphql"][kind]["errors"] for kind in SELECTORS}
    assert all(answers["python"].values())


def test_nothing_of_ours_names_a_plugin() -> None:
    """No file of statcore has the name of a plugin's distribution, package or classes."""
    sources = "".join(path.read_text() for plugin in PLUGINS for path in plugin.glob("src/**/*.py"))
    words = {*re.findall(r"^class (\w+)", sources, re.MULTILINE), *(path.name.replace("-", "[-_]") for path in PLUGINS)}
    naming = re.compile(rf"\b({'|'.join(words)})\b")
    others = {"__pycache__", "node_modules", "static"}
    texts = [path for path in (ROOT / "src").rglob("*") if path.is_file() and others.isdisjoint(path.parts)]

    assert {"NodeMetricQuerier", "InferenceMetricQuerier", "statcore[-_]node"} < words
    assert [] == [(str(path), found[0]) for path in texts if (found := naming.search(path.read_text(encoding="utf-8")))]
