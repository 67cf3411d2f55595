"""The fields about the service itself: health, plugins, and the version of the schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.graphql_host import ADDRESS, Host, Unreachable, inventory_of, kernel_id

from statcore.model import MatrixResult, Problem, ProblemKind
from statcore.promql import MAX_POINTS
from statcore.scopes import ConfinedMetrics, Scope
from statcore_memory import MemoryMetrics, MemoryStatistics

SCOPE = Scope.of(project_id="6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


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


async def test_limits_of_the_context_can_be_read() -> None:
    """A host with a context of its own need not list them, and cannot list others of the same name."""
    limits = {"max_ids": 7, "limits": {"rows": 3.0, "ids": 9.0}}
    data = await Host(limits=limits).execute_cleanly("{ limits { name value } }")
    expected = {"rows": 3, "ids": 7, "points": MAX_POINTS}
    assert expected == {limit["name"]: limit["value"] for limit in data["limits"]}


async def test_a_problem_of_the_store_does_not_show_its_address() -> None:
    """A kernel whose server is away is missing from the sum of its session, and in columns; both say so."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), {"mem": {"current": "1"}})
    for number in (1, 2):
        away = Problem(ProblemKind.UNAVAILABLE, message=f"{ADDRESS} refused the connection")
        store.plant(kernel_id(0, number), None, problem=away)
    host = Host(statistics=store, inventory=inventory_of(1, kernels=3))
    answer = await host.execute(
        '{ compute_session_list { columns(fields: ["mem.current"]) { values } items { live_stat } } }'
    )
    shown = "compute_session_list.columns.0.values.0", "compute_session_list.items.0.live_stat"
    assert dict.fromkeys(shown, "incomplete") == answer.problems
    assert ADDRESS not in repr(answer)


class PartialMetrics(MemoryMetrics):
    """A backend that cannot read all of its data."""

    async def query_utilization(self, *_: Any, **__: Any) -> MatrixResult:
        """Answer without series, with a warning."""
        return MatrixResult(series=(), warnings=(f"remote read: {ADDRESS} refused the connection",), partial=True)


@pytest.mark.parametrize("confined", [False, True])
async def test_warnings_of_the_backend_have_their_text_for_operators_only(confined: bool) -> None:  # noqa: FBT001
    """A warning may name the address of another server that the backend reads."""
    backend: Any = ConfinedMetrics(PartialMetrics(), SCOPE) if confined else PartialMetrics()
    data = await Host(metrics=backend).execute_cleanly(
        '{ utilization(querier: "container", selector: {metric_name: "mem"}, start: "0", end: "60", step: "1m")'
        " { warnings partial } }"
    )
    (warning,) = data["utilization"]["warnings"]
    assert (True, not confined) == (data["utilization"]["partial"], ADDRESS in warning)
