"""A real Chromium that opens pages of the service, and records what a page should not do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect
from tests.support.environments import ROOT

_PATIENCE_MS: Final = 20_000
_AXE: Final = ROOT / "src/adapters/statcore_web/page/node_modules/axe-core/axe.min.js"
_SERIOUS: Final = frozenset({"serious", "critical"})
_REPORT_VIOLATIONS: Final = """
addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.effectiveDirective}`));
"""
_SCROLLING_SIDEWAYS: Final = """
[...document.querySelectorAll("html, body, header, nav, main, main *:not(.scrolling)")].filter((element) =>
    element.clientWidth > 1 && element.scrollWidth > element.clientWidth && getComputedStyle(element).overflowX !== "hidden"
).map((element) => element.outerHTML.slice(0, 100))
"""
# Chromium's own message for each response of another status than 2xx, and for each failed request. Tests check these by
# what the page shows.
_FAILED_REQUEST: Final = "Failed to load resource"


@attrs.frozen
class Visit:
    """A page in a browser context of its own, with what happened there.

    Args:
        page: the page.
        problems: errors and warnings of the console, uncaught errors, and violations of the content security policy.
        hosts: the hosts that the page sent requests to, with their ports.
    """

    page: Page
    problems: list[str] = attrs.field(factory=list[str], init=False)
    hosts: set[str] = attrs.field(factory=set[str], init=False)

    def hear(self, message: ConsoleMessage) -> None:
        """Record a message of the console."""
        if message.type in {"error", "warning"} and not message.text.startswith(_FAILED_REQUEST):
            self.problems.append(message.text)

    async def refresh(self) -> None:
        """Make the page refresh now instead of in some seconds."""
        await self.page.evaluate("dispatchEvent(new Event('statcore-now'))")

    async def serious_violations(self) -> list[tuple[str, list[str]]]:
        """Return what axe finds serious or critical: the rules, each with its first elements."""
        if not _AXE.exists():
            raise FileNotFoundError(f"{_AXE}; `make test` or `python hatch_build.py npm ci` installs it")
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(_AXE.read_text())
        found = await self.page.evaluate("axe.run().then(({ violations }) => violations)")
        serious = [rule for rule in found if rule["impact"] in _SERIOUS]
        return [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in serious]


@asynccontextmanager
async def running_chromium(path: str) -> AsyncGenerator[Browser]:
    """Run the Chromium with a path within the block."""
    expect.set_options(timeout=_PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visiting(browser: Browser, url: str, *, now: datetime | None = None, **options: Any) -> AsyncGenerator[Visit]:
    """Open an address in a new context within the block.

    Args:
        browser: the browser.
        url: the address.
        now: the time at which the clock of the page begins, by default that of this machine.
        **options: as `Browser.new_context`; the zone is UTC by default.
    """
    options.setdefault("timezone_id", "UTC")
    context: BrowserContext = await browser.new_context(**options)
    context.set_default_timeout(_PATIENCE_MS)
    try:
        if now is not None:
            await context.clock.install(time=now)
        await context.add_init_script(_REPORT_VIOLATIONS)
        visit = Visit(await context.new_page())
        visit.page.on("console", lambda message: visit.hear(message))  # noqa: PLW0108 - Playwright sets an attribute of a bound method's object
        visit.page.on("pageerror", lambda error: visit.problems.append(str(error)))
        visit.page.on("request", lambda request: visit.hosts.add(urlsplit(request.url).netloc))
        await visit.page.goto(url)
        yield visit
        await visit.page.unroute_all(behavior="ignoreErrors")  # the answer of a test may still be on its way
    finally:
        await context.close()


@asynccontextmanager
async def faultless_visit(browser: Browser, url: str, **options: Any) -> AsyncGenerator[Visit]:
    """Open an address as `visiting` does; at the end, nothing was wrong, and all requests went to the own service."""
    async with visiting(browser, url, **options) as visit:
        yield visit
        assert ([], {urlsplit(url).netloc}) == (visit.problems, visit.hosts)


async def scrolling_sideways(page: Page) -> list[str]:
    """Return the beginnings of the elements whose content is wider than they are; tables may have frames that scroll."""
    elements: list[str] = await page.evaluate(_SCROLLING_SIDEWAYS)
    return elements
