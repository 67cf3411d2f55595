"""What is in the wheel, and what works when it is installed where nothing else is."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.support.environments import ROOT, create_environment, run

STATIC = "statcore_web/static/"
BILL = "statcore-page.cdx.json"
PAGE = ROOT / "src/adapters/statcore_web/page"


def page_of(wheel: Path) -> dict[str, bytes]:
    """Return the files of the built page by their names in a wheel."""
    archive = zipfile.ZipFile(wheel)
    return {name: archive.read(name) for name in archive.namelist() if name.startswith(STATIC)}


def bills_of(wheel: Path) -> dict[str, str]:
    """Return the bills of materials of a wheel by their file names."""
    archive = zipfile.ZipFile(wheel)
    return {
        name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist() if ".dist-info/sboms/" in name
    }


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


def test_every_root_in_the_wheel_is_ours(wheel: Path) -> None:
    """The folder src/adapters is no package: nothing in the wheel is called `adapters`, `src` or `tests`."""
    roots = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    adapters = {
        f"statcore_{name}"
        for name in ("cli", "collector", "connection", "graphql", "memory", "prometheus", "valkey", "web")
    }
    assert {"statcore", *adapters} == {root for root in roots if not root.endswith(".dist-info")}
    assert {"statcore"} == {root.split("-")[0] for root in roots if root.endswith(".dist-info")}


def test_every_package_is_typed(wheel: Path) -> None:
    """Each import package carries its `py.typed`."""
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names if name.endswith("/__init__.py") and name.count("/") == 1}
    assert sorted(f"{root}/py.typed" for root in roots) == sorted(name for name in names if name.endswith("py.typed"))


def test_the_page_is_in_the_wheel(wheel: Path) -> None:
    """All files of the page are there as they were built, and its sources are not."""
    built = {f"{STATIC}{file.name}": file.read_bytes() for file in (ROOT / "src/adapters" / STATIC).iterdir()}
    assert {f"{STATIC}index.html", f"{STATIC}explorer.html"} <= built.keys()
    assert built == page_of(wheel)
    assert [] == [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("statcore_web/page/")]


def test_the_page_is_small_and_has_the_licenses_of_what_it_contains(wheel: Path) -> None:
    """What browsers load has at most 80 kB compressed, and each package whose code is in it has its license beside it."""
    files = page_of(wheel)
    licenses = files.pop(f"{STATIC}LICENSES.txt").decode()
    del files[f"{STATIC}{BILL}"]
    assert 80_000 >= sum(len(gzip.compress(body)) for body in files.values())
    packages = json.loads((PAGE / "package.json").read_text())["dependencies"].keys() - {"esbuild"}
    assert {"htm", "preact", "uplot"} <= packages
    assert [] == [name for name in packages if (PAGE / "node_modules" / name / "LICENSE").read_text() not in licenses]


def test_the_wheel_has_a_bill_of_the_packages_in_its_page(wheel: Path) -> None:
    """It is valid CycloneDX, and has version, license and hash of each package as the lock file has them."""
    bills = bills_of(wheel)
    assert [BILL] == list(bills)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bills[BILL]) is None
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    packages = {name: locked[f"node_modules/{name}"] for name in ("htm", "preact", "uplot")}
    assert {
        f"pkg:npm/{name}@{package['version']}": (
            name,
            package["version"],
            [{"expression": package["license"]}],
            [{"alg": "SHA-512", "content": base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()}],
        )
        for name, package in packages.items()
    } == {
        component["purl"]: (component["name"], component["version"], component["licenses"], component["hashes"])
        for component in json.loads(bills[BILL])["components"]
    }


def test_the_source_distribution_has_the_sources_of_the_page(source_distribution: Path) -> None:
    """It has them and what bundles them, and nothing that is built or installed."""
    with tarfile.open(source_distribution) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    page = "src/adapters/statcore_web/page"
    assert {"hatch_build.py", f"{page}/page.js", f"{page}/package-lock.json"} <= names
    assert [] == [name for name in names if "node_modules" in name or "statcore_web/static" in name]


@pytest.mark.timeout(600)
def test_a_machine_without_node_builds_and_installs_the_page(
    wheel: Path, source_distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build needs what `build-system.requires` names and no program but a shell; page and bill are the checkout's."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")  # npm runs scripts with it
    monkeypatch.setenv("PATH", str(programs))
    assert [None, None] == [shutil.which(name) for name in ("node", "npm")]
    built = tmp_path / "built"
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", built, source_distribution)
    assert 0 == done.returncode, done.stderr
    (path,) = built.iterdir()
    assert (page_of(wheel), bills_of(wheel)) == (page_of(path), bills_of(path))
    bin_ = create_environment(tmp_path / "installed", path)
    program = "from importlib.metadata import files; print(*(str(f) for f in files('statcore') if f.locate().is_file()))"
    assert page_of(path).keys() <= set(run(bin_ / "python", "-c", program).stdout.split())


def test_every_npm_package_has_a_hash() -> None:
    """A registry cannot replace what was locked."""
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    packages = {name: package for name, package in locked.items() if name}
    assert {"node_modules/preact", "node_modules/esbuild"} <= packages.keys()
    assert [] == [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")]


def test_no_file_of_the_page_names_a_registry() -> None:
    """The lock file has no addresses, so that each machine uses its own registry."""
    lock = json.loads((PAGE / "package-lock.json").read_text())
    assert [] == [name for name, package in lock["packages"].items() if "resolved" in package]
    assert "://" not in json.dumps(lock)


@pytest.mark.timeout(600)
def test_without_extras_the_core_works_and_names_what_is_missing(wheel: Path, tmp_path: Path) -> None:
    """`import statcore` needs attrs and pluggy alone, and each adapter that is opened names its extra."""
    bin_ = create_environment(tmp_path / "bare", str(wheel))
    program = """
import asyncio, importlib.metadata, statcore
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_metrics, open_statistics

registry = PluginRegistry.discover()
assert all(report.status == "ok" for report in registry.reports), registry.reports
settings = Settings(statistics_url="valkey://127.0.0.1:1", metrics_url="http://127.0.0.1:1")

async def ask(opened):
    try:
        async with opened:
            print("opened")
    except statcore.MissingExtraError as error:
        print(error.extra)

asyncio.run(ask(open_statistics(settings, registry)))
asyncio.run(ask(open_metrics(settings, registry)))
print(*sorted(d.name for d in importlib.metadata.distributions()))
"""
    answer = run(bin_ / "python", "-W", "error", "-c", program)
    assert ["valkey", "prometheus", "attrs pluggy statcore"] == answer.stdout.splitlines(), answer.stderr
    command = run(bin_ / "statcore", "--help")
    assert 1 == command.returncode
    assert "pip install 'statcore[cli]'" in command.stderr


@pytest.mark.timeout(600)
def test_with_the_command_line_alone_the_missing_extra_is_named(wheel: Path, tmp_path: Path) -> None:
    """What needs the collector or the service says so in one line."""
    bin_ = create_environment(tmp_path / "cli", f"statcore[cli] @ {wheel.as_uri()}")
    for command, extra in {"demo": "collector", "collect": "collector", "serve": "web"}.items():
        answer = run(bin_ / "statcore", command)
        assert 1 == answer.returncode
        assert [f"pip install 'statcore[{extra}]'"] == [line.rpartition(": ")[2] for line in answer.stderr.splitlines()]


@pytest.mark.timeout(600)
def test_with_all_extras_the_demo_runs(wheel: Path, tmp_path: Path) -> None:
    """The built wheel with `[all]`, in an empty environment, runs the demo to a JSON document."""
    bin_ = create_environment(tmp_path / "all", f"statcore[all] @ {wheel.as_uri()}")
    answer = run(bin_ / "statcore", "demo", "--once", "--format", "json", timeout_s=120)
    assert 0 == answer.returncode, answer.stderr
    document = json.loads(answer.stdout)
    assert {"kernels", "utilization"} <= document.keys()


@pytest.mark.timeout(600)
def test_a_host_on_graphene_uses_the_helpers(wheel: Path, tmp_path: Path) -> None:
    """A host on aiodataloader, without Strawberry, needs one read for all items, and places errors itself."""
    bin_ = create_environment(tmp_path / "graphene", str(wheel), "graphene>=3.4", "aiodataloader>=0.4")
    answer = run(bin_ / "python", Path(__file__).parent / "graphene_host.py")
    assert 0 == answer.returncode, answer.stderr
    served, damaged, imported = json.loads(answer.stdout)
    # graphene's own JSON type quotes what it answers.
    expected = [{"inference_metrics": f'{{"requests": {number}, "last_response_ms": 1}}'} for number in range(20)]
    assert {"items": expected, "errors": [], "reads": [20]} == served
    assert {5: '{"mem": {"current": "1"}}'} == {
        n: one["live_stat"] for n, one in enumerate(damaged["items"]) if any(one.values())
    }
    assert [[["compute_session_list", "items", 3, "live_stat"], "MalformedEntryError"]] == damaged["errors"]
    assert {"strawberry": False} == imported
