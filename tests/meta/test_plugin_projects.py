"""The plugins of this repository are projects of their own, and pass their own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.support.environments import ROOT

PLUGINS: Final = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_passes_its_own_tests(project: Path) -> None:
    """Each runs with its own settings of pytest; where CI=true, skips are only for VictoriaMetrics' cluster edition."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=280, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    if os.environ.get("CI") == "true":
        skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
        assert [] == [line for line in skipped if ": not found: vmstorage" not in line]


def test_every_folder_of_plugins_is_a_project() -> None:
    """Every folder with a project is tested."""
    assert [path.name for path in PLUGINS] == sorted(path.name for path in (ROOT / "plugins").iterdir())
