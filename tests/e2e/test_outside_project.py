"""A third party's project, frozen when it was written, passes its own tests beside the wheel of this checkout."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from tests.support.environments import build_wheels, create_environment, run

PROJECT: Final = Path(__file__).parent / "outside_project"
TESTS: Final = 498
"""How many tests ran when the project was frozen; a new check of a conformance suite adds one."""


@pytest.mark.timeout(400)
def test_code_written_against_the_old_names_still_works(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wheels in an empty environment, without the sources; every test runs, and none fails or is skipped."""
    monkeypatch.setenv("PIP_NO_COMPILE", "1")  # most of what the extras bring is never imported
    project = shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    built = build_wheels(tmp_path / "built", project)
    bin_ = create_environment(tmp_path / "environment", f"statcore[all] @ {wheel.as_uri()}", *built)
    shutil.rmtree(project / "src")

    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    tested = run("env", f"--chdir={project}", bin_ / "python", "-m", "pytest", *options)

    assert 0 == tested.returncode, tested.stdout + tested.stderr
    (suite,) = ET.parse(report).getroot()  # noqa: S314 - written by the program above
    assert ["0", "0", "0"] == [suite.get(outcome) for outcome in ("failures", "errors", "skipped")], tested.stdout
    ran = Counter(case.get("classname", "").split(".")[1] for case in suite.iter("testcase"))
    assert {path.stem for path in PROJECT.glob("tests/test_*.py")} == ran.keys()
    assert ran.total() >= TESTS
