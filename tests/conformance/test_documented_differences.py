"""What the suite makes of a backend that says where it breaks a promise: it holds the backend to that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKEND = """
from contextlib import asynccontextmanager
from statcore.errors import (
    InputError, PluginError, ProtocolError, QueryRejectedError, TimedOutError, UnavailableError, UnsupportedError
)
from statcore.testing.conformance import MetricQuerierConformance
from statcore_memory import MemoryMetrics

class MyBackend(MemoryMetrics):
    async def ping(self):
        {ping}

class TestMyBackend(MetricQuerierConformance):
    differences = {differences}

    @asynccontextmanager
    async def open(self, dataset):
        yield MyBackend()
"""


@pytest.mark.parametrize(
    ("ping", "differences", "outcome", "said"),
    [
        ("raise AssertionError('no')", {"ping_returns": "It never does."}, "1 passed", ""),
        ("raise QueryRejectedError('no')", {"ping_returns": "It never does."}, "1 passed", ""),
        ("raise UnsupportedError('no')", {"ping_returns": "It never does."}, "1 passed", ""),
        ("raise InputError('bug')", {"ping_returns": "It never does."}, "1 failed", "InputError: bug"),
        ("raise ProtocolError('odd')", {"ping_returns": "It never does."}, "1 failed", "ProtocolError: odd"),
        ("raise PluginError('bug')", {"ping_returns": "It never does."}, "1 failed", "PluginError: bug"),
        ("raise QueryRejectedError('no')", {"values_are_exact": "They are not."}, "1 failed", "QueryRejectedError: no"),
        ("raise QueryRejectedError('no')", {}, "1 failed", "QueryRejectedError: no"),
        (
            "return None",
            {"ping_returns": "It never does."},
            "1 failed",
            "the promise is kept, so this difference does not exist any more: ping_returns: It never does.",
        ),
        ("raise UnavailableError('gone')", {"ping_returns": "It never does."}, "1 failed", "UnavailableError: gone"),
        ("raise TimedOutError('late', timeout_s=1)", {"ping_returns": "It never does."}, "1 failed", "TimedOutError: late"),
        ("raise ZeroDivisionError('bug')", {"ping_returns": "It never does."}, "1 failed", "ZeroDivisionError: bug"),
        ("return None", {}, "1 passed", ""),
    ],
)
def test_a_documented_difference_must_exist(
    tmp_path: Path, ping: str, differences: dict[str, str], outcome: str, said: str
) -> None:
    """A check that is named must fail, by an answer and not for want of one; all others must pass."""
    report = run(tmp_path, BACKEND.format(ping=ping, differences=differences), "-k", "ping_returns")
    assert f"{outcome}," in report
    assert said in report


def test_a_difference_from_no_promise_is_found(tmp_path: Path) -> None:
    """A check that is renamed or misspelt is told by name; where all are known nothing is said."""
    misspelt = {"ping_return": "It never does.", "values_are_exact": "They are not.", "check_ping_returns": "Nor so."}
    report = run(tmp_path, BACKEND.format(ping="pass", differences=misspelt), "-k", "differs")
    assert "differences from what is no check: check_ping_returns, ping_return\n" in report
    assert "1 failed," in report
    report = run(tmp_path, BACKEND.format(ping="pass", differences={"ping_returns": "It never does."}), "-k", "differs")
    assert "1 passed," in report


def run(folder: Path, source: str, *arguments: str) -> str:
    """Run pytest on a file by itself, and return what it prints."""
    (folder / "test_mine.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments, "test_mine.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr
