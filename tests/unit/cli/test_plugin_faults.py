"""How commands report a third-party store or backend that breaks its contract."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import ID_1, Invoke, answering, checks

from statcore_cli.app import COMMANDS

PRESETS = """
[presets.busy]
description = "d"
template = "sum(up)"
"""
CASES = [
    (["kernels", ID_1], "Store", "fetch_kernel_statistics"),
    (["kernels"], "Backend", "query_utilization"),
    (["sessions"], "Backend", "query_utilization"),
    (["sessions", "--sort", "-cpu_pct"], "Store", "fetch_kernel_statistics"),
    (["agents"], "Backend", "query_utilization"),
    (["top", "--once"], "Store", "fetch_kernel_statistics"),
    (["top", "--once"], "Backend", "query_utilization"),
    (["query", "rack", "--last", "1h"], "Backend", "query_utilization"),
    (["metrics", "node"], "Backend", "label_values"),
    (["preset", "run", "busy", "--last", "1h"], "Backend", "query_range"),
    (["grafana"], "Backend", "label_values"),
    (["rules"], "Backend", "label_values"),
]
"""A command, the adapter whose method breaks its contract, and the method."""
WITHOUT_ADAPTERS = {"demo", "endpoints", "plugins", "promql", "token"}
"""Commands that call no store or backend of a plugin."""
ELSEWHERE = {"collect", "doctor", "serve"}
"""Commands that go on: their tests are in tests/unit/collector, below, and in tests/unit/graphql."""


def test_every_command_is_tested() -> None:
    """A new command is added to one of the lists above."""
    assert COMMANDS.keys() == {arguments[0] for arguments, *_ in CASES} | WITHOUT_ADAPTERS | ELSEWHERE


@pytest.fixture(autouse=True)
def _one_kernel(fake: Any) -> None:
    """A kernel that the backend has seen just now."""
    owners = {"kernel_id": ID_1, "session_id": ID_1, "agent_id": "i-1"}
    fake.ANSWER["series"] = [(owners, [time.time()], [1.0])]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([{}], "answered [{}]: expected a"),
        (ZeroDivisionError("division by zero"), "raised ZeroDivisionError: division by zero; at "),
    ],
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join((*case[0][:2], case[1])))
def test_a_fault_of_an_adapter_is_one_line_that_names_the_plugin(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: Any, answer: Any, fault: str
) -> None:
    """The exit code is 1, and standard output is empty."""
    arguments, adapter, method = case
    for name in ("query", method):
        monkeypatch.setattr(getattr(fake, adapter), name, answering(answer), raising=False)
    (tmp_path / "presets.toml").write_text(PRESETS)

    result = statcore("--presets", str(tmp_path / "presets.toml"), *arguments)

    assert (1, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"statcore: fake (plugin 'fake' of acme-fake 1.0): {method}() {fault}")


@pytest.mark.parametrize("command", ["sessions", "kernels", "agents"])
def test_a_list_names_the_plugin_whose_store_breaks(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The backend knows what exists: the list is complete, and each object has the fault of the store."""
    for name in ("fetch_kernel_statistics", "fetch_agent_statistics"):
        monkeypatch.setattr(fake.Store, name, answering([{}]))

    (listed,) = json.loads(statcore(command, "--format", "json").stdout)[command]

    assert ("i-1" if command == "agents" else ID_1) == listed["id"]
    assert re.match(r"PluginError: fake \(plugin 'fake' of acme-fake 1.0\): fetch_\w+\(\) answered", listed["problem"])


@pytest.mark.parametrize(("url", "method"), [("foreign:", "open"), ("fake:", "aclose")])
@pytest.mark.parametrize(
    "case",
    [(["kernels", ID_1], "--statistics-url"), (["query", "rack", "--last", "1h"], "--metrics-url")],
    ids=["kernels", "query"],
)
def test_a_fault_in_opening_or_closing_names_the_plugin(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch, case: Any, url: str, method: str
) -> None:
    """The exit code is 1, and standard output is empty."""
    for adapter in (fake.Store, fake.Backend):
        monkeypatch.setattr(adapter, "aclose", answering(ZeroDivisionError("division by zero")))

    arguments, option = case
    result = statcore(*arguments, option, url)

    assert (1, "") == (result.exit_code, result.stdout)
    assert f"(plugin 'fake' of acme-fake 1.0): {method}() raised ZeroDivisionError: division by" in result.stderr


def test_doctor_names_the_plugin_whose_ping_returns_a_value(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other checks run; the remedy is to report it to the plugin's author."""
    monkeypatch.setattr(fake.Store, "ping", answering(answer=False))

    result = statcore("doctor", "--format", "json")

    assert "ok" == checks(result)["backend"][0]
    status, detail, remedy = checks(result)["store"]
    assert ("wrong", "report this to the author of the plugin fake") == (status, remedy)
    assert "ping() answered False: expected None" in detail
