"""What is imported, and what is not until somebody uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

DRIVERS = {
    *("aiohttp", "click", "graphql", "hiredis", "msgspec", "prometheus_client", "promql_parser", "psutil", "pytest"),
    *("hypothesis", "redis", "rich", "strawberry"),
}


@pytest.mark.parametrize(
    "program",
    [
        "import statcore",
        "from statcore.plugins import PluginRegistry; PluginRegistry.discover()",
        "from statcore.runtime import open_runtime",
        "from statcore_memory import MemoryMetrics, MemoryStatistics",
    ],
)
def test_no_driver_is_imported_before_it_is_used(program: str) -> None:
    """In a new interpreter; our own adapters are among what is discovered."""
    source = f"import sys; {program}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    imported = set(done.stdout.split())
    assert {"statcore", "attrs"} <= imported
    assert set() == imported & DRIVERS


def test_the_memory_adapter_is_not_imported_to_be_found() -> None:
    """Its modules take longer than all the rest of discovery."""
    discover = "from statcore.plugins import PluginRegistry; PluginRegistry.discover()"
    source = f"import sys; {discover}; print(*(name for name in sys.modules if name.startswith('statcore_')))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    packages = ("statcore_memory", "statcore_prometheus", "statcore_valkey")
    assert {*packages, *(f"{package}.plugin" for package in packages)} == set(done.stdout.split())
