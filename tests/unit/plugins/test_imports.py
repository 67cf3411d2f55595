"""Modules that are not imported before they are used, and the error where one is missing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from statcore import MissingExtraError
from statcore.plugins import requires_extra

DRIVERS = {
    *("aiohttp", "click", "graphql", "hiredis", "msgspec", "prometheus_client", "promql_parser", "psutil", "pytest"),
    *("hypothesis", "redis", "rich", "strawberry", "asyncio"),
}

CLI = "from click.testing import CliRunner; from statcore_cli.app import cli; CliRunner().invoke"


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        ("import statcore", {*DRIVERS, "random", "attr", "pluggy"}),
        ("from statcore import *", {*DRIVERS, "random", "pluggy"}),
        ("from statcore.plugins import PluginRegistry; PluginRegistry.discover()", DRIVERS),
        ("from statcore.runtime import open_runtime", DRIVERS),
        ("from statcore_memory import MemoryMetrics, MemoryStatistics", DRIVERS),
        (f"{CLI}(cli, ['query', 'container', '--help'], catch_exceptions=False)", DRIVERS - {"click"}),
    ],
)
def test_drivers_and_asyncio_are_imported_when_they_are_used(program: str, unused: set[str]) -> None:
    """The interpreter is new; discovery finds statcore's own adapters."""
    # Measuring coverage imports modules before the program starts.
    new = "{name.split('.')[0] for name in set(sys.modules) - before}"
    source = f"import sys; before = set(sys.modules); {program}; print(*{new})"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    imported = set(done.stdout.split())
    assert "statcore" in imported
    assert set() == imported & unused


def test_the_memory_adapter_is_not_imported_to_be_found() -> None:
    """Importing it takes longer than the rest of discovery."""
    discover = "from statcore.plugins import PluginRegistry; PluginRegistry.discover()"
    source = f"import sys; {discover}; print(*(name for name in sys.modules if name.startswith('statcore_')))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    packages = ("statcore_memory", "statcore_prometheus", "statcore_valkey")
    assert {*packages, *(f"{package}.plugin" for package in packages)} == set(done.stdout.split())


def test_a_module_that_is_not_there_names_the_extra() -> None:
    """The error has the module and the command that installs it, too."""
    with (
        pytest.raises(MissingExtraError, match=r"'no_such_driver'.*pip install 'statcore\[valkey\]'") as caught,
        requires_extra("valkey"),
    ):
        importlib.import_module("no_such_driver")
    assert ("valkey", "no_such_driver") == (caught.value.extra, caught.value.module)


def test_a_module_that_is_broken_is_not_taken_for_missing() -> None:
    """Installing the extra would not help, so the error stays."""
    with pytest.raises(ImportError, match="cannot import name"), requires_extra("valkey"):
        raise ImportError("cannot import name 'x'")
