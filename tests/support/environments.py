"""Wheels, and environments that hold nothing but what is installed into them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


def run(*words: object, timeout_s: float = 300, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a program with these settings of statcore, and nothing of this process's Python in its environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STATCORE_", "PYTHON"))}
    return subprocess.run(
        list(map(str, words)),
        env=inherited | {f"STATCORE_{name.upper()}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def build_wheels(folder: Path, *projects: Path) -> list[Path]:
    """Build a wheel of each project into a new folder."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    built = run(sys.executable, "-m", "pip", "wheel", *options, *projects)
    assert 0 == built.returncode, built.stderr
    return sorted(folder.glob("*.whl"))


def pip(bin_: Path, *words: str | Path) -> None:
    """Run the pip of the tests' own environment on another environment, which has no pip."""
    done = run(sys.executable, "-m", "pip", "--quiet", "--python", bin_ / "python", *words)
    assert 0 == done.returncode, done.stderr


def install(bin_: Path, *requirements: str | Path) -> None:
    """Install into an environment, uncompiled: a test imports only a small part of what is installed."""
    pip(bin_, "install", "--no-compile", *requirements)


def create_environment(folder: Path, *requirements: str | Path) -> Path:
    """Make an environment that holds these, and return where its programs are."""
    venv.create(folder)
    install(folder / "bin", *requirements)
    return folder / "bin"
