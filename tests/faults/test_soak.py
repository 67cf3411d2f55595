"""A soak of a moment; only in `make long`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from report import Report
from rich.console import Console
from soak import soak
from soak_report import missed_goals

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_answers_are_right_while_servers_fail(
    tmp_path: Path, require_program: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All goals are met, each source is read, and each fault is followed by right answers."""
    require_program("valkey-server", "redis-server")
    require_program("prometheus")
    monkeypatch.syspath_prepend(Path(__file__).parent.parent.parent)  # for the process that reads
    report = Report(console=Console(quiet=True))
    assert "" == soak(report, tmp_path, minutes=1 / 3, seed=1)
    assert [] == missed_goals(report)
    answers, _, recovery, *_ = report.tables
    assert {"Valkey cluster", "Valkey with sentinels", "Prometheus pair", "service"} <= {
        row.contender for row in answers.rows
    }
    assert [True] * len(recovery.rows) == ["worst" in row.figures for row in recovery.rows]
    assert recovery.rows
