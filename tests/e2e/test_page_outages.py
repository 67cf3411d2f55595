"""Outages of real servers as the page shows them, over `statcore serve` as a process of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from tests.e2e.test_overview import looking
from tests.support import service
from tests.support.planted_server import planted_server
from tests.support.polling import until
from tests.support.two_projects import PROJECT, fill, id_of, planted

from statcore.errors import UnavailableError
from statcore.model import MetricValue
from statcore.testing.servers import Server, find_program, start_program
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

history = planted_server(lambda: planted(PROJECT))


async def answers(url: str) -> bool:
    """Return whether a store answers."""
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        try:
            await store.ping()
        except UnavailableError:
            return False
    return True


async def test_an_outage_of_valkey_shows_and_heals(
    browser: Browser, start_valkey: Callable[..., Server], history: Server, tmp_path: Path
) -> None:
    """Rows and figures stay, marked as those of an earlier answer; once Valkey runs again, new figures appear."""
    valkey, session, kernel = start_valkey(), id_of("session", "mine", 1), id_of("kernel", "mine", 2)
    await fill(valkey, PROJECT)
    with service.serving(tmp_path, statistics_url=valkey.url, metrics_url=history.url) as running:
        async with looking(browser, f"{running.url}/#/sessions?sort=id") as shown:
            memory, state = shown.cell(session, "Memory"), shown.cell(session, "State").locator(".mark")
            await expect(memory).to_have_text("1.18 MiB")
            rows = await shown.shown_ids()

            valkey.process.terminate()
            valkey.process.wait()
            await expect(state).to_contain_text("unavailable")
            await expect(state).to_have_attribute("title", re.compile("from an earlier answer"))
            await expect(memory).to_have_text("1.18 MiB")
            assert rows == await shown.shown_ids()

            program = find_program("valkey-server", "redis-server")
            place = ["--bind", "127.0.0.1", "--port", str(valkey.port), "--save", "", "--dir", str(tmp_path)]
            again = start_program([program, *place], tmp_path / "valkey.log")
            try:
                await until(lambda: answers(valkey.url), "the Valkey that was started again")
                async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink:
                    await sink.store_kernel_statistics({kernel: {"mem": MetricValue(current=str(5 * 1024**3))}})
                await expect(memory).to_have_text("5 GiB")
                await expect(state).to_have_count(0)
                assert rows == await shown.shown_ids()
            finally:
                again.terminate()
                again.wait()
