"""The version of statcore is written in one place, and the plugins of this repository admit it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from tests.support.environments import ROOT

PLUGINS: Final = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
READERS: Final = [
    *(ROOT / "src").rglob("*.py"),
    *ROOT.glob("plugins/*/src/**/*.py"),
    *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *(path for path in ROOT.glob("docs/*.md") if path.name != "releasing.md"),
    *(path for path in ROOT.glob("scripts/*") if path.is_file()),
    ROOT / "Makefile",
]


def _project(path: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return project


def test_the_version_is_in_pyproject_alone() -> None:
    """The installed distribution has it from there, and no code, script or document repeats it."""
    written = _project(ROOT / "pyproject.toml")["version"]
    assert written == version("statcore")
    number = re.compile(rf"(?<![\d.]){re.escape(written)}(?![\d.])")
    assert [] == [path for path in READERS if number.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugin_admits_the_version(path: Path) -> None:
    """Its dependency on statcore holds for the version beside it, which is the version that its tests run on."""
    requirements = map(Requirement, _project(path)["dependencies"])
    (statcore,) = (requirement for requirement in requirements if requirement.name == "statcore")
    assert version("statcore") in statcore.specifier
