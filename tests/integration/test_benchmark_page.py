"""The measurement of the page, on a small site and with minutes that are short; how long anything takes is not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import living_site
import page
import pytest
from report import Report
from rich.console import Console


async def test_page_is_measured_while_agents_write(
    tmp_path: Path, require_program: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each phase has requests and turns of the event loop; loads and jumps have rows; what is held is counted."""
    for programs in (["valkey-server", "redis-server"], ["prometheus"], ["chromium", "chromium-browser", "google-chrome"]):
        require_program(*programs)
    monkeypatch.setattr(living_site, "SCRAPE_S", 1.0)
    monkeypatch.setattr(page, "SESSIONS", 250)
    monkeypatch.setattr(page, "_MINUTE_S", 3.0)  # two of them have one refresh
    report = Report(console=Console(quiet=True))
    await page.measure(report, tmp_path, repeats=1)
    of_page, of_service, memory = report.tables
    first_load, loads, scrolling, jumps, refresh = (row.figures for row in of_page.rows)
    assert 0 < min(first_load["rows p50 ms"], loads["rows p50 ms"])
    assert 0 < jumps["rows worst ms"]
    assert [True] * 5 == ["longest task ms" in phase for phase in (first_load, loads, scrolling, jumps, refresh)]
    assert [True] * 5 == [row.figures["requests"] > 0 and row.figures["longest turn ms"] > 0 for row in of_service.rows]
    assert [True] * 4 == [row.figures["ratio"] > 0 for row in memory.rows]
