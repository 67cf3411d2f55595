"""How commands report a third-party store or backend that breaks its contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import ID_1, Invoke, answering, checks

PRESETS = """
[presets.busy]
description = "d"
template = "sum(up)"
"""


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([{}], "answered [{}]: expected a"),
        (ZeroDivisionError("division by zero"), "raised ZeroDivisionError: division by zero; at "),
    ],
)
@pytest.mark.parametrize(
    "case",
    [
        (["kernels", ID_1], "Store", "fetch_kernel_statistics"),
        (["query", "rack", "--last", "1h"], "Backend", "query_utilization"),
        (["metrics", "node"], "Backend", "label_values"),
        (["preset", "run", "busy", "--last", "1h"], "Backend", "query_range"),
    ],
    ids=["kernels", "query", "metrics", "preset"],
)
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
