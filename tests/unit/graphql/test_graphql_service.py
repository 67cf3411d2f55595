"""The fields about the service itself: health, plugins, and the version of the schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.graphql_host import Host

from statcore.errors import UnavailableError
from statcore.scopes import ConfinedMetrics, Scope
from statcore_memory import MemoryMetrics, MemoryStatistics

ADDRESS = "10.9.8.7:9090"
SCOPE = Scope.of(project_id="6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


class Unreachable(MemoryMetrics):
    """A backend that does not answer."""

    async def ping(self) -> None:
        """Fail."""
        raise UnavailableError(f"{ADDRESS} refused the connection", service=ADDRESS)


@pytest.mark.parametrize("confined", [False, True])
async def test_health_has_each_port_and_an_error_for_operators_only(confined: bool) -> None:  # noqa: FBT001
    """A caller who may see only a part learns that the backend does not answer, but not where it is."""
    backend: Any = ConfinedMetrics(Unreachable(), SCOPE) if confined else Unreachable()
    data = await Host(metrics=backend, statistics=MemoryStatistics()).execute_cleanly(
        "{ health { healthy ports { name healthy error } } }"
    )
    ports = {port["name"]: port for port in data["health"]["ports"]}
    assert {"statistics": True, "metrics": False} == {name: port["healthy"] for name, port in ports.items()}
    assert not data["health"]["healthy"]
    assert (None, not confined) == (ports["statistics"]["error"], ADDRESS in str(ports["metrics"]["error"]))


@pytest.mark.parametrize("confined", [False, True])
async def test_plugins_are_listed_with_errors_for_operators_only(
    confined: bool,  # noqa: FBT001
    install: Callable[..., Path],
) -> None:
    """A broken plugin is there as well."""
    install("acme-broken", broken="raise ValueError('the secret of the plugin')")
    backend: Any = ConfinedMetrics(MemoryMetrics(), SCOPE) if confined else MemoryMetrics()
    data = await Host(metrics=backend).execute_cleanly(
        "{ schema_version plugins { name distribution version status offers error remedy } }"
    )
    assert 1 == data["schema_version"]
    plugins = {plugin["name"]: plugin for plugin in data["plugins"]}
    assert ("ok", None) == (plugins["memory"]["status"], plugins["memory"]["error"])
    assert ["statistics store memory:"] == [offer for offer in plugins["memory"]["offers"] if "store" in offer]
    broken = plugins["broken"]
    assert ("acme-broken", "1.0", "broken") == (broken["distribution"], broken["version"], broken["status"])
    assert (confined, confined) == (broken["error"] is None, broken["remedy"] is None)
