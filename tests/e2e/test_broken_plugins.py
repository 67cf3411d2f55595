"""Broken plugins, built and installed: the program reports them, and everything else works."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.plugin_projects import HEAD, offering, write_project
from tests.support.environments import build_wheels, create_environment, run

from statcore.testing.servers import Server

BROKEN: Final = {
    "acme-import-error": ("broken", "import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "statcore-raising": (
        "broken",
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): return 1 / 0",
        "site-packages/statcore_raising/__init__.py:",
    ),
    "acme-exiting": ("broken", "raise SystemExit('bye')", "SystemExit: bye"),
    "acme-hanging": ("broken", "import threading\nthreading.Event().wait()", "was not loaded within 5 s"),
    "acme-wrong-type": (
        "broken",
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): return 'racks'",
        "statcore_queriers returned str, not a list of QuerierSpec",
    ),
    "acme-old": ("rejected", offering("old").replace("API = 1", "API = 0"), "written for plugin API 0, this is 1"),
    "acme-misspelt": (
        "rejected",
        offering("misspelt").replace("def statcore_queriers", "def statcore_querier"),
        "it implements the unknown hook statcore_querier",
    ),
    "acme-gpus": (
        "rejected",
        offering("gpu"),
        "querier gpu is offered by 'acme-gpus' of acme-gpus 2.0 and 'acme-gpus-too'",
    ),
    "acme-gpus-too": ("rejected", offering("gpu"), "querier gpu is offered by 'acme-gpus' of acme-gpus 2.0 and"),
}
NAMESAKES: Final = ("acme-twins", "acme-other-twins")


@pytest.fixture(scope="module")
def statcore(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The program of an environment with all broken plugins and one that works."""
    folder = tmp_path_factory.mktemp("broken")
    projects = [
        *(write_project(folder, name, source, version="2.0") for name, (_, source, _) in BROKEN.items()),
        *(write_project(folder, name, offering(name[5]), version="2.0", name="twins") for name in NAMESAKES),
        write_project(folder, "acme-racks", offering("rack")),
    ]
    wheels = build_wheels(folder / "wheels", *projects)
    requirement = f"statcore[cli,prometheus] @ {wheel.as_uri()}"
    return create_environment(folder / "environment", requirement, *wheels) / "statcore"


@pytest.mark.timeout(300)
def test_each_is_reported_with_its_remedy(statcore: Path) -> None:
    """It exits with 1, and shows distribution, version, fault and remedy; working plugins are ok."""
    answer = run(statcore, "plugins", "--format", "json")

    assert 1 == answer.returncode
    reports: dict[str, Any] = {report["distribution"]: report for report in json.loads(answer.stdout)["plugins"]}
    for distribution, (status, _, error) in BROKEN.items():
        report = reports[distribution]
        assert (distribution, "2.0", status) == (report["name"], report["version"], report["status"])
        assert error in report["error"]
        assert f"STATCORE_DISABLE_PLUGINS={distribution}" in report["remedy"]
    for distribution in NAMESAKES:
        report = reports[distribution]
        assert ("twins", "2.0", "rejected") == (report["name"], report["version"], report["status"])
        assert all(name in report["error"] for name in NAMESAKES)
        assert f"uninstall {NAMESAKES[1]} or {NAMESAKES[0]}" == report["remedy"]
    assert ("ok", ["querier rack"]) == (reports["acme-racks"]["status"], reports["acme-racks"]["offers"])
    assert "Traceback" not in answer.stderr


@pytest.mark.timeout(300)
def test_the_others_keep_answering(statcore: Path, prometheus_holding: Callable[..., Any]) -> None:
    """A real Prometheus answers the container querier and the querier of the working plugin."""
    labels = 'container_metric_name="mem",value_type="current"'
    sample = f"backendai_container_utilization{{{labels}}} 4096 1795341600"
    with (
        prometheus_holding(f"# TYPE backendai_container_utilization gauge\n{sample}\n# EOF\n") as server,
        ThreadPoolExecutor() as pool,  # each program waits for the plugin that hangs
    ):
        container, rack = (pool.submit(_query, statcore, server, kind) for kind in ("container", "rack"))
        querying_gpu = pool.submit(run, statcore, "query", "gpu", "--metric-name", "mem", metrics_url=server.url)

    assert [4096.0, 4096.0] == [container.result(), rack.result()]
    gpu = querying_gpu.result()
    assert 1 == gpu.returncode
    assert "querier gpu is offered by 'acme-gpus' of acme-gpus 2.0 and 'acme-gpus-too' of acme-gpus-too 2.0" in gpu.stderr


def _query(statcore: Path, server: Server, kind: str) -> float:
    moment = ["--start", "1795341600", "--end", "1795341600", "--step", "1s"]
    answer = run(statcore, "query", kind, "--metric-name", "mem", *moment, "--format", "json", metrics_url=server.url)
    assert 0 == answer.returncode, answer.stderr
    (series,) = json.loads(answer.stdout)["series"]
    value: float = series["values"][0]
    return value


@pytest.mark.timeout(300)
def test_switched_off_they_are_out_of_the_way(statcore: Path) -> None:
    """After the remedies the program exits with 0 and reports no plugin."""
    names = ",".join([*BROKEN, "twins"])
    answer = run(statcore, "plugins", "--format", "json", disable_plugins=names)

    assert (0, "") == (answer.returncode, answer.stderr)
    statuses = {report["name"]: report["status"] for report in json.loads(answer.stdout)["plugins"]}
    assert dict.fromkeys([*BROKEN, "twins"], "blocked") == {name: statuses[name] for name in [*BROKEN, "twins"]}
