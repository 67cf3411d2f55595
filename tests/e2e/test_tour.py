"""The tour of README.md, taken by a real Chromium over the loads of the demo; `make screenshots` keeps its pictures."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect
from tests.e2e.program import start
from tests.support.browser import visiting
from tests.support.polling import until

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SCREENSHOTS: Final = os.environ.get("SCREENSHOTS")
"""The folder that keeps the screenshots, whose charts have more points; None outside `make screenshots`."""
MINUTE: Final = "?from=-60s"


@pytest_asyncio.fixture(loop_scope="module")
async def address() -> AsyncGenerator[str]:
    """The address of the page that a running demo prints."""
    with start("demo", "--serve") as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=60)


async def cpu_pct(row: Locator) -> float:
    """Return the CPU use that a row of sessions shows, 0 if it shows none."""
    shown = re.search(r"([\d.]+) %", " ".join(await row.all_text_contents()))
    return float(shown[1]) if shown else 0.0


@pytest.mark.timeout(300)
async def test_which_session_uses_most_cpu_and_since_when(browser: Browser, address: str, tmp_path: Path) -> None:
    """The first row of the first view is the busiest session; a click on it shows its start, its owner and its charts."""
    folder = Path(SCREENSHOTS or tmp_path)
    async with visiting(browser, address, viewport={"width": 1200, "height": 640}) as visit:
        page = visit.page
        first, second = (page.locator(f"[role=row][aria-rowindex='{number}']") for number in (2, 3))

        async def is_sorted() -> bool:
            return await cpu_pct(first) > await cpu_pct(second) > 0

        await until(is_sorted, "CPU use of both sessions, the busiest first")
        await expect(page.get_by_role("columnheader", name="CPU")).to_have_attribute("aria-sort", "descending")
        cpu = first.locator('[data-title="CPU"]')
        await expect(cpu).not_to_have_text(await cpu.inner_text())
        await page.screenshot(path=folder / "sessions.png")

        session_id = await first.get_by_role("link").first.get_attribute("title")
        await first.get_by_role("link").first.click()
        assert session_id
        await expect(page.get_by_role("heading", level=2)).to_contain_text(session_id)
        await expect(page.get_by_role("main")).to_contain_text(
            re.compile(r"Started\s*20\d\d-.* UTC, (\d+ min ?)?(\d+ s)? ago")
        )
        if SCREENSHOTS:
            await page.goto(page.url + MINUTE)
        chart = page.get_by_role("article", name="cpu_util", exact=True)
        await expect(chart.get_by_role("img")).to_be_in_viewport()
        values = re.compile(r"current: newest [\d.]+ m?cores")
        await expect(chart.get_by_role("img")).to_have_attribute("aria-label", values)
        await chart.get_by_text("Table of cpu_util").click()
        await expect(chart.get_by_role("row").nth(45 if SCREENSHOTS else 2)).to_be_visible(timeout=90_000)
        await chart.get_by_text("Table of cpu_util").click()
        await page.screenshot(path=folder / "session.png")

        await page.get_by_role("link", name="Queries").click()
        await expect(page.get_by_role("main").get_by_role("link", name="container", exact=True)).to_be_visible()
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("main")).to_contain_text("memory")
    assert [] == visit.problems
