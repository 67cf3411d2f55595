"""The conformance suites as a third party runs them: a few lines of pytest, and nothing else to install or configure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from statcore.testing import metrics, querier_checks, statistics

STORE = """
from contextlib import asynccontextmanager
from statcore.testing.conformance import StatisticsConformance
from statcore_memory import MemoryStatistics as MyStore

class TestMyStore(StatisticsConformance):
    @asynccontextmanager
    async def open(self):
        yield (store := MyStore()), store
"""


FORGETFUL = '''
from contextlib import asynccontextmanager
from statcore.testing.conformance import StatisticsConformance
from statcore_memory import MemoryStatistics

class Forgetful(MemoryStatistics):
    async def store_container_count(self, agent_id, count):
        raise ValueError("no counts here")
    async def store_kernel_statistics(self, entries):
        """Forget."""

class TestForgetful(StatisticsConformance):
    @asynccontextmanager
    async def open(self):
        yield (store := Forgetful()), store
'''


BACKEND = """
from contextlib import asynccontextmanager
from statcore.testing.conformance import MetricQuerierConformance
from statcore_memory import MemoryMetrics

class MyBackend(MemoryMetrics):
    def __init__(self, series):
        super().__init__()
        for number, (name, labels, samples) in enumerate(series):
            for time, value in samples[-1:]:
                self.append_scrape([(name, labels, value)], target=str(number), time=time)

class TestMyBackend(MetricQuerierConformance):
    @asynccontextmanager
    async def open(self, dataset):
        yield MyBackend(series for series in dataset.series if series.labels.get("case") == "owners")
"""


QUERIER = '''
from dataclasses import dataclass
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier
from statcore.testing.conformance import QuerierConformance

@dataclass(frozen=True, kw_only=True)
class RackMetricQuerier(UtilizationMetricQuerier):
    """Racks.

    Args:
        rack: which one.
    """
    rack: str
    def name(self): return "rack_power"
    def labels(self): return {"rack": self.rack.strip()}
    def group_by_labels(self): return ["rack"]
    def query_strategy(self): return QueryStrategy.GAUGE

class TestMyRack(QuerierConformance):
    def queriers(self):
        return [RackMetricQuerier(rack=name) for name in ("r1", "r2")]
'''

BACKEND_WITH_DIFFERENCES = """
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


def run(folder: Path, source: str, *arguments: str) -> str:
    """Run pytest on a file by itself, without any other plugin, and return what it prints."""
    (folder / "test_mine.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments, "test_mine.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


def promise_of(check: Callable[..., object]) -> str:
    """Return the first line of a check's promise as a report shows it."""
    return f"The promise: {(check.__doc__ or '').splitlines()[0]}"


def test_four_lines_run_every_check(tmp_path: Path) -> None:
    """One test per check, named after it."""
    assert f"{len(statistics.CHECKS)} passed" in run(tmp_path, STORE)
    assert "TestMyStore::test_keeps_promise[order_is_kept]" in run(tmp_path, STORE, "--collect-only")


def test_a_broken_promise_is_told_in_words(tmp_path: Path) -> None:
    """The report shows what was expected and the promise itself; an exception of the store is shown as it is."""
    report = run(tmp_path, FORGETFUL, "-k", "order_is_kept or container_counts or ping_returns")
    assert "AssertionError: kernels: expected [{'mem': {'current': '3'," in report
    assert promise_of(statistics.check_order_is_kept) in report
    assert "ValueError: no counts here" in report
    assert "2 failed, 1 passed" in report


def test_a_backend_is_given_the_series_to_hold(tmp_path: Path) -> None:
    """The data set is the same for all checks of the class."""
    report = run(tmp_path, BACKEND, "-k", "now_is_the_present or label_values_of_all or ping_returns")
    assert f"1 failed, 2 passed, {len(metrics.CHECKS) - 2} deselected" in report  # one test is of the class itself
    assert "the planted shapes among all" in report


def test_queriers_are_checked_in_three_lines(tmp_path: Path) -> None:
    """One test per check; what a caller typed and the class changed is shown, and the promise beside it."""
    report = run(tmp_path, QUERIER)
    assert f"1 failed, {len(querier_checks.CHECKS) - 1} passed" in report
    assert r"the expression with rack='\n': expected" in report
    assert promise_of(querier_checks.check_hostile_text_stays_in_its_place) in report


def test_the_package_imports_neither_pytest_nor_hypothesis() -> None:
    """The package, the checks as plain functions and the servers import neither of the two."""
    checks = ", ".join(f"statcore.testing.{part}" for part in ("inventory", "metrics", "querier_checks", "statistics"))
    modules = f"statcore.testing, {checks}, statcore.testing.servers"
    source = f"import sys, {modules}; print(sorted({{'pytest', 'hypothesis'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("ping", "differences", "outcome", "message"),
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
    tmp_path: Path, ping: str, differences: dict[str, str], outcome: str, message: str
) -> None:
    """A check that is named must fail, by an answer and not for want of one; all others must pass."""
    report = run(tmp_path, BACKEND_WITH_DIFFERENCES.format(ping=ping, differences=differences), "-k", "ping_returns")
    assert f"{outcome}," in report
    assert message in report


def test_a_difference_from_no_promise_is_found(tmp_path: Path) -> None:
    """A check that is renamed or misspelt is told by name; where all are known nothing is said."""
    misspelt = {"ping_return": "It never does.", "values_are_exact": "They are not.", "check_ping_returns": "Nor so."}
    report = run(tmp_path, BACKEND_WITH_DIFFERENCES.format(ping="pass", differences=misspelt), "-k", "differs")
    assert "differences that are not named like a check: check_ping_returns, ping_return\n" in report
    assert "1 failed," in report
    report = run(
        tmp_path,
        BACKEND_WITH_DIFFERENCES.format(ping="pass", differences={"ping_returns": "It never does."}),
        "-k",
        "differs",
    )
    assert "1 passed," in report
