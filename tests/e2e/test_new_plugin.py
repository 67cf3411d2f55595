"""Projects that `statcore plugins new` writes are built, installed and used in an empty environment."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.e2e.program import END_S, ID_1
from tests.support.environments import build_wheels, create_environment, install, run

WRITE = """
import asyncio, sys
from statcore import MetricValue
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_sink

async def write():
    async with open_sink(Settings(statistics_url=sys.argv[1]), PluginRegistry.discover()) as sink:
        await sink.store_kernel_statistics({sys.argv[2]: {"mem": MetricValue(current="4096")}})

asyncio.run(write())
"""


@pytest.mark.timeout(400)
def test_a_new_plugin_passes_its_own_tests_and_answers(wheel: Path, tmp_path: Path) -> None:
    """Its wheel is installed with that of statcore; its tests pass there without its sources."""
    bin_ = create_environment(tmp_path / "environment", f"statcore[cli,testing] @ {wheel.as_uri()}")
    written = run("env", f"--chdir={tmp_path}", bin_ / "statcore", "plugins", "new", "tape-library")
    assert 0 == written.returncode, written.stderr
    project = tmp_path / "statcore-tape-library"

    before = run(bin_ / "python", "-m", "pytest", "-q", "-W", "error", project)
    assert 0 == before.returncode, before.stdout
    (built,) = build_wheels(tmp_path / "built", project)
    install(bin_, built)
    shutil.rmtree(project / "src")
    after = run(bin_ / "python", "-m", "pytest", "-q", "-W", "error", project)

    assert before.stdout.splitlines()[-1].split(" in ")[0] == after.stdout.splitlines()[-1].split(" in ")[0]
    assert 0 == after.returncode, after.stdout
    assert 0 == run(bin_ / "statcore", "plugins").returncode
    listing = "".join(run(bin_ / "statcore", "query", "--help").stdout.split())  # it is folded, at hyphens, too
    assert "tape-libraryEverytapelibrary,oronebyitsid[statcore-tape-library0.1.0]" in listing
    assert "--tape-library-id TEXT" in run(bin_ / "statcore", "query", "tape-library", "--help").stdout
    text = run(bin_ / "statcore", "promql", "tape-library", "--metric-name", "energy", "--tape-library-id", 't"1').stdout
    assert 'sum by (tape_library_id)(rate(tape_library_energy{tape_library_id="t\\"1"}[5m]))\n' == text
    again = run("env", f"--chdir={tmp_path}", bin_ / "statcore", "plugins", "new", "tape-library")
    assert "the querier tape-library exists already" in again.stderr


@pytest.mark.timeout(400)
def test_a_new_store_and_a_new_backend_pass_their_conformance_and_answer(wheel: Path, tmp_path: Path) -> None:
    """Each is installed as a wheel beside statcore, and the program reads what was written."""
    bin_ = create_environment(tmp_path / "environment", f"statcore[cli,testing] @ {wheel.as_uri()}")
    projects = [tmp_path / "statcore-attic", tmp_path / "statcore-tape-library"]
    for part, project in zip(("--store", "--backend"), projects, strict=True):
        name = project.name.removeprefix("statcore-")
        written = run("env", f"--chdir={tmp_path}", bin_ / "statcore", "plugins", "new", part, name)
        assert 0 == written.returncode, written.stderr
    wheels = build_wheels(tmp_path / "built", *projects)
    install(bin_, *wheels)
    for project in projects:
        shutil.rmtree(project / "src")
        tested = run(bin_ / "python", "-m", "pytest", "-q", "-W", "error", project)
        assert 0 == tested.returncode, tested.stdout
        assert " skipped" not in tested.stdout

    listed = run(bin_ / "statcore", "plugins")
    assert (0, "") == (listed.returncode, listed.stderr)
    store = f"attic://{tmp_path}/statistics.db"
    assert 0 == run(bin_ / "python", "-c", WRITE, store, ID_1).returncode
    shown = run(bin_ / "statcore", "kernels", ID_1, "--format", "json", statistics_url=store)
    assert "4096" == json.loads(shown.stdout)["kernels"][ID_1]["mem"]["current"]
    labels = {"container_metric_name": "mem", "value_type": "current"}
    sample = {"time": END_S, "name": "backendai_container_utilization", "labels": labels, "value": 4096}
    (tmp_path / "samples").write_text(json.dumps(sample))
    moment = ("--start", str(END_S), "--end", str(END_S), "--step", "1s", "--format", "json")
    backend = f"tape-library://{tmp_path}/samples"
    shown = run(bin_ / "statcore", "query", "container", "--metric-name", "mem", *moment, metrics_url=backend)
    assert [4096.0] == json.loads(shown.stdout)["series"][0]["values"]


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of mypy that the new plugins share."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("part", [(), ("--store",), ("--backend",)], ids=["querier", "store", "backend"])
@pytest.mark.parametrize("kind", ["rack", "tape-library"])
def test_a_new_plugin_is_clean(tmp_path: Path, mypy_cache: Path, kind: str, part: tuple[str, ...]) -> None:
    """Ruff with its default rules and mypy --strict find no fault, its tests included."""
    written = run("env", f"--chdir={tmp_path}", sys.executable, "-m", "statcore_cli", "plugins", "new", *part, kind)
    assert 0 == written.returncode, written.stderr
    project = tmp_path / f"statcore-{kind}"

    inside = ("env", f"--chdir={project}", "MYPYPATH=src", sys.executable, "-m")
    linted = run(*inside, "ruff", "check", "--isolated", "--no-cache", ".")
    assert (0, "All checks passed!\n") == (linted.returncode, linted.stdout)
    typed = run(*inside, "mypy", "--strict", f"--cache-dir={mypy_cache}", "src", "tests")
    assert (0, "Success: no issues found in 2 source files\n") == (typed.returncode, typed.stdout), typed.stderr
