"""Fixtures of tests that drive a browser; such a module names this one in its `pytest_plugins`.

They are in no conftest.py, which would import Playwright for each test of its folder; new Pythons have none at first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from tests.support.browser import running_chromium


@pytest.fixture(scope="module")
def chromium(require_program: Callable[..., str]) -> str:
    """The path of a Chromium."""
    return require_program("chromium", "chromium-browser", "google-chrome")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    """A running Chromium."""
    async with running_chromium(chromium) as running:
        yield running
