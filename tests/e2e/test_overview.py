"""The overview in a real Chromium: figures, order, search, owners, long lists, problems, outages, tokens, the keyboard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from aiohttp import web
from playwright.async_api import Browser, Locator, Page, Route, expect
from tests.support.browser import Visit, faultless_visit, scrolling_sideways, visiting
from tests.support.page_world import PageWorld, cpu_pct, kernel_id, session_id, user_id
from tests.support.polling import until
from tests.support.web_host import TokenFile, serving

from statcore.errors import UnavailableError
from statcore.model import MetricValue
from statcore.model.inventory import KernelRecord
from statcore.plugins import PluginRegistry
from statcore.testing.servers import free_port
from statcore_web import Tokens, attach

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW_PX: Final = 36
SET_HIDDEN: Final = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: Boolean(hidden), configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""

REQUESTS_OF_CLICK: Final = """(button) => {
    const { fetch } = globalThis;
    let requests = 0;
    globalThis.fetch = (...request) => {
        requests += 1;
        return fetch(...request);
    };
    button.click();
    globalThis.fetch = fetch;
    return requests;
}"""


@attrs.frozen
class Overview:
    """The page as a user sees it."""

    visit: Visit

    @property
    def page(self) -> Page:
        """The page in the browser."""
        return self.visit.page

    @property
    def rows(self) -> Locator:
        """The rows that are in the document."""
        return self.page.get_by_role("table").locator(".body [role=row]")

    def row(self, id_: str) -> Locator:
        """Return the row of an object."""
        return self.rows.filter(has=self.page.get_by_role("rowheader", name=id_))

    def cell(self, id_: str, title: str) -> Locator:
        """Return the cell of an object in a column."""
        return self.row(id_).locator(f'[data-title="{title}"]')

    @property
    def connection(self) -> Locator:
        """What the page says of the connection."""
        return self.page.get_by_role("banner").get_by_role("status")

    async def shown_ids(self) -> list[str]:
        """Return the ids of the rows in the order on the screen."""
        await expect(self.rows.first).to_be_attached()
        ids: list[str] = await self.page.evaluate(
            "[...document.querySelectorAll('.body [role=row]')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
            ".map((row) => row.querySelector('a')?.title ?? '')"
        )
        return ids


@asynccontextmanager
async def looking(browser: Browser, address: str, **options: Any) -> AsyncGenerator[Overview]:
    """Open the page; at the end, nothing was wrong on it, and it sent requests to its own service only."""
    async with faultless_visit(browser, address, **options) as visit:
        yield Overview(visit)


@asynccontextmanager
async def overview(browser: Browser, world: PageWorld, path: str = "/", **options: Any) -> AsyncGenerator[Overview]:
    """Serve a cluster and open the page."""
    async with serving(world.runtime) as client, looking(browser, str(client.make_url("/")) + path[1:], **options) as shown:
        yield shown


async def small_world() -> PageWorld:
    """Return a cluster of twelve sessions with statistics."""
    world = PageWorld(12)
    await world.write()
    return world


async def test_sessions_have_figures_with_units_and_the_busiest_is_first(browser: Browser) -> None:
    """Owner, age and figures are there; a new figure appears at the next refresh."""
    world = await small_world()
    async with overview(browser, world) as shown:
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        assert [session_id(number) for number in range(12)] == await shown.shown_ids()
        await expect(shown.cell(session_id(3), "User")).to_have_text(user_id(3))
        await expect(shown.cell(session_id(3), "Age")).to_contain_text("3 min")
        await expect(shown.cell(session_id(3), "Memory")).to_have_text("2 GiB")
        await expect(shown.cell(session_id(3), "Accel.")).to_have_text("3 %")
        await expect(shown.cell(session_id(3), "Received")).to_have_text("300 B/s")
        await expect(shown.cell(session_id(3), "Sent")).to_have_text("0 B/s")
        await world.write(turn=100_000, numbers=[11])
        await expect(shown.rows.filter(has=shown.page.get_by_role("rowheader", name=session_id(11)))).to_have_attribute(
            "aria-rowindex", "2"
        )
        await expect(shown.connection).to_contain_text("Live")


async def test_a_bar_is_a_part_of_a_scale_that_is_named(browser: Browser) -> None:
    """A full bar is the highest value, and 100 % of accelerators; zero is an empty bar, and what is not known has none."""
    world = PageWorld(12)
    await world.write(numbers=[0, 3, 9])
    async with overview(browser, world) as shown:
        bars = {
            (9, "CPU"): (cpu_pct(9) / cpu_pct(0), "1000 %"),
            (0, "CPU"): (1, "1000 %"),
            (9, "Accel."): (0.09, "100 %"),
            (3, "Received"): (1 / 3, "900 B/s"),
        }
        for (number, title), (part, scale) in bars.items():
            cell = shown.cell(session_id(number), title)
            await expect(cell.get_by_title(f"a full bar is {scale}")).to_be_visible()
            width = await cell.locator(".level").evaluate(
                "(bar) => bar.firstElementChild.getBoundingClientRect().width / bar.getBoundingClientRect().width"
            )
            assert part == pytest.approx(width, abs=0.02)
        await expect(shown.cell(session_id(9), "Sent").locator(".level span")).to_have_css("width", "0px")
        await expect(shown.cell(session_id(9), "Sent").locator(".level")).to_be_visible()
        await expect(shown.cell(session_id(5), "Sent")).to_contain_text("not known")
        await expect(shown.cell(session_id(5), "Sent").locator(".level")).to_have_count(0)


async def test_an_answer_that_is_the_same_is_not_sent_again(browser: Browser) -> None:
    """A refresh of what has not changed is 304."""
    async with overview(browser, await small_world()) as shown:
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        async with shown.page.expect_response(re.compile("graphql.*compute_session_list")) as found:
            await shown.visit.refresh()
        assert 304 == (await found.value).status
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")


async def test_the_address_has_the_order_and_the_way_back(browser: Browser) -> None:
    """A click on a heading sorts, a second one turns the order; back and forward; the address shows others the same."""
    async with overview(browser, await small_world()) as shown:
        page = shown.page
        await page.get_by_role("button", name="Received").click()
        await expect(page).to_have_url(re.compile("sort=-rx_bytes_per_s"))
        heading = page.get_by_role("columnheader", name="Received")
        await expect(heading).to_have_attribute("aria-sort", "descending")
        await expect(shown.rows.first).to_contain_text(session_id(11))
        await heading.get_by_role("button").click()
        await expect(heading).to_have_attribute("aria-sort", "ascending")
        await expect(shown.rows.first).to_contain_text(session_id(0))
        await page.go_back()
        await expect(shown.rows.first).to_contain_text(session_id(11))
        await page.get_by_role("button", name="Age").click()  # the highest first, as for all numbers
        await expect(page).to_have_url(re.compile("sort=started_at"))
        await expect(page.get_by_role("columnheader", name="Age")).to_have_attribute("aria-sort", "descending")
        await expect(shown.rows.first).to_contain_text(session_id(11))
        await heading.get_by_role("button").click()
        await heading.get_by_role("button").click()
        await expect(heading).to_have_attribute("aria-sort", "ascending")
        await page.go_back()
        await expect(heading).to_have_attribute("aria-sort", "descending")
        await page.go_forward()
        await expect(heading).to_have_attribute("aria-sort", "ascending")
        async with looking(browser, page.url) as colleague:
            await expect(colleague.rows.first).to_contain_text(session_id(0))
            await expect(colleague.page.get_by_role("columnheader", name="Received")).to_have_attribute(
                "aria-sort", "ascending"
            )


async def test_search_and_owners_select(browser: Browser) -> None:
    """A search is in the address, a click on an owner adds a filter, and another click removes it."""
    async with overview(browser, await small_world()) as shown:
        page = shown.page
        await shown.cell(session_id(3), "User").get_by_role("link").click()
        await expect(shown.rows).to_have_count(2)
        assert [session_id(3), session_id(10)] == await shown.shown_ids()
        await page.get_by_role("searchbox").fill(session_id(10))
        await expect(shown.rows).to_have_count(1)
        await expect(page).to_have_url(re.compile(f"q={session_id(10)}"))
        await page.get_by_role("button", name=re.compile("remove this filter")).click()
        await page.get_by_role("searchbox").fill("")
        await expect(shown.rows).to_have_count(12)
        await page.get_by_role("searchbox").fill("nothing-like-this")
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
        await page.get_by_role("searchbox").fill("no=label")
        await expect(page.get_by_role("main").get_by_role("status")).to_contain_text("a filter is text or LABEL=ID")
        await page.get_by_role("searchbox").fill("")
        await expect(shown.rows).to_have_count(12)


async def test_a_search_is_that_of_the_address(browser: Browser) -> None:
    """A view that is opened while the user types has no search; back shows the search of that place, even in the field."""
    async with overview(browser, await small_world()) as shown:
        page = shown.page
        field = page.get_by_role("searchbox")
        await field.fill(session_id(3))
        await expect(page).to_have_url(re.compile("q="))
        await shown.cell(session_id(3), "User").get_by_role("link").click()
        await expect(page).to_have_url(re.compile("filter="))
        await field.fill(session_id(10))
        await expect(page).to_have_url(re.compile(f"q={session_id(10)}"))
        await page.go_back()
        await expect(field).to_be_focused()
        await expect(field).to_have_value(session_id(3))
        await page.clock.install()
        await field.fill("nothing")
        await page.get_by_role("link", name="Kernels").click()
        await expect(page).to_have_url(re.compile("#/kernels$"))
        await page.clock.run_for(1_000)
        await expect(page.get_by_role("heading", name="Kernels")).to_be_visible()
        assert page.url.endswith("#/kernels")


async def test_ten_thousand_sessions_are_few_rows(browser: Browser) -> None:
    """The end, the middle and the way back are there, and the document has only the visible rows."""
    world = PageWorld(10_000)
    await world.write(numbers=[0, 4_000, 9_999])
    async with overview(browser, world, "/#/sessions?sort=id") as shown:
        grid = shown.page.get_by_role("table")
        await expect(shown.page.get_by_role("heading", name="Sessions")).to_contain_text("10,000")
        await expect(grid).to_have_attribute("aria-rowcount", "10001")
        for number in (9_999, 4_000, 0):
            await grid.evaluate("(grid, top) => { grid.scrollTop = top }", number * ROW_PX)
            await expect(shown.cell(session_id(number), "CPU")).to_have_text(f"{float(f'{cpu_pct(number):.3g}'):g} %")
            assert 60 > await shown.rows.count()


async def test_the_keyboard_moves_opens_and_comes_back(browser: Browser) -> None:
    """Arrows, Page Down, End and Home move the focus; Enter opens the object; back restores the place and the focus."""
    async with overview(browser, PageWorld(500), "/#/sessions?sort=id") as shown:
        page = shown.page
        await expect(shown.row(session_id(0))).to_be_visible()
        link = shown.row(session_id(0)).get_by_role("rowheader").get_by_role("link")
        await link.focus()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        await expect(shown.row(session_id(1)).get_by_role("rowheader").get_by_role("link")).to_be_focused()
        owners = shown.row(session_id(1)).get_by_role("cell").get_by_role("link")
        for place in range(2):
            await page.keyboard.press("Tab")
            await expect(owners.nth(place)).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        await page.keyboard.type(f"/{session_id(1)}")
        await expect(page.get_by_text("Nothing matches")).to_be_visible()  # a slash in it is text
        await page.keyboard.press("Escape")
        await expect(shown.row(session_id(499))).to_have_count(0)
        await owners.last.focus()
        await page.keyboard.press("Tab")  # only one row is on the way through the page
        await expect(page.get_by_role("table").get_by_role("link").and_(page.locator(":focus"))).to_have_count(0)
        await link.focus()
        await page.keyboard.press("End")
        last = shown.row(session_id(499)).get_by_role("rowheader").get_by_role("link")
        await expect(last).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(f"#/object/session/{session_id(499)}$"))
        await page.go_back()
        await expect(last).to_be_focused()


async def test_a_place_begins_with_its_title(browser: Browser) -> None:
    """Another place is shown from its top, and its title has the focus; a screen reader reads the numbers of a table."""
    async with overview(browser, await small_world(), "/#/agents", viewport={"width": 800, "height": 300}) as shown:
        page = shown.page
        await expect(shown.cell("node-1", "CPU").and_(page.get_by_role("cell"))).to_contain_text("%")
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("heading", name="Health")).to_be_focused()
        await page.get_by_role("heading", name="Limits").scroll_into_view_if_needed()
        await page.get_by_role("link", name="Queries").click()
        await expect(page.get_by_role("heading", name="Queries", exact=True)).to_be_focused()
        await expect(page.get_by_role("heading", name="Queries", exact=True)).to_be_in_viewport()


async def test_a_view_that_fails_leaves_the_others(browser: Browser) -> None:
    """It says so with the reason, and the page can be loaded again or left."""
    world = await small_world()
    async with serving(world.runtime) as client, visiting(browser, str(client.make_url("/"))) as visit:
        shown = Overview(visit)
        await expect(shown.row(session_id(0))).to_be_visible()
        await visit.page.route("**/graphql?*", broken)
        await visit.refresh()
        await expect(visit.page.get_by_role("alert")).to_contain_text("This view has failed")
        await expect(visit.page.get_by_role("alert")).to_contain_text("TypeError")
        await visit.page.unroute_all(behavior="wait")
        await visit.page.get_by_role("button", name="Load the page again").click()
        await expect(shown.row(session_id(0))).to_be_visible()
        await visit.page.route("**/graphql?*", broken)
        await visit.refresh()
        await expect(visit.page.get_by_role("alert")).to_contain_text("This view has failed")
        await visit.page.unroute_all(behavior="wait")
        await visit.page.get_by_role("link", name="Kernels").click()
        await expect(shown.row(kernel_id(0))).to_be_visible()
        await visit.page.get_by_role("link", name="Sessions").click()
        await expect(shown.row(session_id(0))).to_be_visible()


async def broken(route: Route) -> None:
    """Answer a request with sessions that no service would answer: they have no kernels."""
    response = await route.fetch(headers={**route.request.headers, "if-none-match": "none"})
    await route.fulfill(response=response, body=re.sub(r'"kernels": ?\[.*?\]', '"kernels":null', await response.text()))


async def test_each_problem_looks_different_and_says_its_reason(browser: Browser) -> None:
    """A mark and a word for eyes, the reason as a tooltip and for screen readers; zero is a number."""
    world = PageWorld(12)
    await world.write(numbers=range(8, 12))
    sessions = world.plant_problems()
    async with overview(browser, world, "/#/sessions?sort=id") as shown:
        words = {
            "stale": "stale",
            "incomplete": "incomplete",
            "unavailable": "unavailable",
            "malformed": "unreadable",
            "undated": "age unknown",
            "missing": "no data",
        }
        marks = set()
        for kind, word in words.items():
            mark = shown.cell(sessions[kind], "State").locator(".mark")
            await expect(mark).to_contain_text(word)
            await expect(mark).to_have_attribute("title", re.compile(f"^{word}: .+"))
            marks.add((await mark.inner_text())[0])
        assert len(words) == len(marks)
        for kind in ("stale", "incomplete", "undated"):
            await expect(shown.cell(sessions[kind], "Memory")).to_have_text("2 GiB")
        await expect(shown.cell(sessions["zero"], "CPU")).to_have_text("0 %")
        await expect(shown.cell(sessions["zero"], "State").locator(".mark")).to_have_count(0)
        await expect(shown.cell(sessions["missing"], "CPU")).to_contain_text("not known")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(
    ("more", "titles"),
    [
        ([], ["stale: old; older", "incomplete: a part"]),
        (
            [("undated", "figures", "no time"), ("malformed", "figures", "text")],
            ["stale: old; older", "incomplete: a part\nage unknown: no time\nunreadable: text"],
        ),
    ],
    ids=["two kinds", "four kinds"],
)
async def test_a_row_has_marks_for_all_kinds_of_problems(
    browser: Browser, more: list[tuple[str, str, str]], titles: list[str], width: int
) -> None:
    """Problems of a kind share a mark, and kinds that have no room share one; a replica without a session leads nowhere."""

    async def answer(route: Route) -> None:
        response = await route.fetch(headers={**route.request.headers, "if-none-match": "none"})
        body = await response.json()
        problems = [("stale", "figures", "old"), ("incomplete", "figures", "a part"), ("stale", "replicas", "older"), *more]
        path = ["endpoint_list", "items", 0]
        body["extensions"] = {
            "problems": [{"path": [*path, field], "kind": kind, "message": message} for kind, field, message in problems]
        }
        body["data"]["endpoint_list"]["items"][0]["replicas"][0]["session_id"] = None
        await route.fulfill(response=response, json=body)

    viewport = {"width": width, "height": 800}
    async with overview(browser, await small_world(), "/static/icon.svg", viewport=viewport) as shown:
        await shown.page.route(re.compile("graphql.*endpoint_list"), answer)
        await shown.page.goto(shown.page.url.replace("static/icon.svg", "#/endpoints"))
        marks = shown.rows.locator('[data-title="State"] .mark')
        await expect(marks).to_have_count(2)
        for number, title in enumerate(titles):
            await expect(marks.nth(number)).to_have_attribute("title", title)
            await expect(marks.nth(number)).to_be_in_viewport(ratio=0.9)
        await expect(shown.rows.locator('[data-title="Replicas"]').get_by_role("link")).to_have_count(2)


async def test_parts_that_cannot_be_read_say_why(browser: Browser) -> None:
    """Not that there are none; a device whose percentage is not known stays, and an unknown use is not the busiest."""
    changes: dict[str, list[dict[str, Any]]] = {
        "kernel_list": [
            {"processes": None},
            {"processes": []},
            {"processes": [{"pid": pid, "cpu_pct": pct, "mem_bytes": 1} for pid, pct in ((1, None), (2, 0), (3, None))]},
        ],
        "agent_list": [
            {"devices": None},
            {
                "devices": [
                    {"metric": metric, "device_id": "a", "pct": None, "current": 1, "capacity": None, "unit": unit}
                    for metric, unit in (("cpu_util", "percent"), ("net_rx", "bytes/s"))
                ]
            },
        ],
    }

    async def answer(route: Route) -> None:
        response = await route.fetch(headers={**route.request.headers, "if-none-match": "none"})
        body = await response.json()
        ((name, listed),) = body["data"].items()
        for item, change in zip(listed["items"], changes[name], strict=False):
            item.update(change)
        problems = [{"path": [name, "items", 0, "figures"], "kind": "stale", "message": "old"}]
        body["extensions"] = {"problems": problems}
        (field,) = changes[name][0]
        path = [name, "items", 0, field]
        body["errors"] = [{"path": path, "message": "it is away", "extensions": {"code": "UnavailableError"}}]
        await route.fulfill(response=response, json=body)

    async with overview(browser, await small_world(), "/static/icon.svg") as shown:
        await shown.page.route(re.compile("graphql.*(kernel|agent)_list"), answer)
        await shown.page.goto(shown.page.url.replace("static/icon.svg", "#/kernels?sort=id"))
        ids = sorted(kernel_id(number) for number in range(12))
        why = {number: shown.cell(ids[number], "Processes").locator("[title]") for number in range(3)}
        await expect(why[0]).to_have_attribute("title", "it is away")
        await expect(why[1]).to_have_attribute("title", "The metric backend has no series of its processes")
        await expect(why[2]).to_have_text("pid 2: 0 %, 2 more")
        await shown.page.get_by_role("link", name="Agents").click()
        devices = shown.rows.locator('[data-title="Devices"]')
        away = devices.filter(has_text="it is away").locator("[title]")
        await expect(away).to_have_attribute("title", "it is away")
        unknown = devices.filter(has_text="cpu_util of a: not known").locator(".part")
        await expect(unknown).to_have_count(1)


async def test_an_outage_of_the_store_shows_and_heals(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures stay, marked as those of an earlier answer; the mark goes when the store is back."""
    world = await small_world()

    async def fail(*_: object) -> None:
        raise UnavailableError("the store is away")

    async with overview(browser, world, "/#/sessions?sort=id") as shown:
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        with monkeypatch.context() as patched:
            patched.setattr(type(world.statistics), "fetch_kernel_statistics", fail)
            await shown.visit.refresh()
            mark = shown.cell(session_id(0), "State").locator(".mark")
            await expect(mark).to_contain_text("unavailable")
            await expect(mark).to_have_attribute("title", re.compile("from an earlier answer"))
            await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
            await shown.page.get_by_role("button", name="CPU").click()  # needs the figures of all sessions
            await expect(shown.page.get_by_role("main").get_by_role("status")).to_contain_text("unavailable")
            await shown.page.go_back()
            await expect(shown.row(session_id(0))).to_be_visible()
        await shown.visit.refresh()
        await expect(shown.cell(session_id(0), "State").locator(".mark")).to_have_count(0)


async def test_what_the_inventory_does_not_know_is_no_outage(browser: Browser) -> None:
    """Series of agents name no endpoints: a reason, and nothing that is unavailable."""
    async with serving() as client, looking(browser, f"{client.make_url('/')}#/endpoints") as shown:
        status = shown.page.get_by_role("main").get_by_role("status")
        await expect(status).to_contain_text("no data")
        await expect(status).to_contain_text("do not name inference endpoints")
        await expect(shown.connection).to_contain_text("Live")


async def test_a_jump_during_an_outage_arrives_when_it_is_over(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a long list, whose pages were never read, is loaded without another action of the user."""
    world = PageWorld(1_000)

    async def fail(*_: object, **__: object) -> None:
        raise UnavailableError("the inventory is away")

    async with overview(browser, world, "/#/sessions?sort=id") as shown:
        await expect(shown.row(session_id(0))).to_be_visible()
        with monkeypatch.context() as patched:
            patched.setattr(type(world.inventory), "list_sessions", fail)
            await shown.page.get_by_role("table").evaluate("(grid) => { grid.scrollTop = 1e9 }")
            await expect(shown.page.get_by_role("main").get_by_role("status")).to_contain_text("unavailable")
        await expect(shown.row(session_id(999))).to_be_visible()
        await expect(shown.page.get_by_role("main").get_by_role("status")).to_have_count(0)


async def test_an_outage_of_the_service_shows_and_heals(browser: Browser) -> None:
    """The rows stay with the time of the last answer; without a reload the page is live again."""
    world = await small_world()
    async with AsyncExitStack() as service:
        port = free_port()
        await service.enter_async_context(listening(world, port))
        async with looking(browser, f"http://127.0.0.1:{port}/") as shown:
            await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
            await service.aclose()
            await shown.visit.refresh()
            await expect(shown.connection).to_contain_text("does not answer")
            await expect(shown.page.get_by_role("main").get_by_role("status")).to_contain_text("Showing data from")
            await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
            await shown.page.get_by_role("button", name="Received").click()  # an order that no answer has had
            await expect(shown.page.get_by_role("table")).to_have_attribute("aria-busy", "true")
            await expect(shown.page.get_by_role("main").get_by_role("status")).to_contain_text("unavailable")
            await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
            await shown.page.go_back()
            async with shown.page.expect_event("requestfailed"):
                await shown.visit.refresh()
            assert 0 < await shown.page.get_by_role("button", name="Try again").evaluate(REQUESTS_OF_CLICK)
            await world.write(turn=100, numbers=[0])
            await service.enter_async_context(listening(world, port))
            await shown.visit.refresh()
            await expect(shown.connection).to_contain_text("Live")
            await expect(shown.cell(session_id(0), "CPU")).to_have_text("1001 %")
            await expect(shown.page.get_by_role("main").get_by_role("status")).to_have_count(0)


@asynccontextmanager
async def listening(world: PageWorld, port: int) -> AsyncGenerator[None]:
    """Serve a cluster at a port within the block."""
    app = web.Application()
    attach(app, world.runtime, PluginRegistry.discover())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def test_an_offline_page_says_so_and_waits(browser: Browser) -> None:
    """The rows stay, nothing is sent, and the page is live again when the network is back."""
    world = await small_world()
    async with overview(browser, world, now=datetime.now(UTC)) as shown:
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        await shown.page.context.set_offline(True)
        await expect(shown.connection).to_contain_text("offline")
        await expect(shown.page.get_by_role("main").get_by_role("status")).to_contain_text("Showing data from")
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        requests: list[str] = []
        shown.page.on("request", lambda request: requests.append(request.url))
        await shown.page.clock.run_for(60_000)
        assert [] == requests
        await world.write(turn=100, numbers=[0])
        await shown.page.context.set_offline(False)
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1001 %")
        await expect(shown.connection).to_contain_text("Live")
        await expect(shown.page.get_by_role("main").get_by_role("status")).to_have_count(0)


async def test_a_page_that_was_opened_hidden_loads_when_it_is_shown(browser: Browser) -> None:
    """As in a tab in the background: also what is read once, such as the version."""
    async with overview(browser, await small_world(), "/static/icon.svg") as shown:
        await shown.page.add_init_script("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        await shown.page.goto(shown.page.url.replace("static/icon.svg", ""))
        await expect(shown.page.get_by_role("contentinfo")).to_have_text("statcore")
        await shown.page.evaluate(SET_HIDDEN, 0)
        await expect(shown.page.get_by_role("contentinfo")).to_contain_text(re.compile(r"statcore \d"))
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")


async def test_a_hidden_page_sends_nothing(browser: Browser) -> None:
    """It refreshes at once when it is shown again."""
    world = await small_world()
    async with overview(browser, world) as shown:
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1000 %")
        await shown.page.evaluate(SET_HIDDEN, 1)
        requests: list[str] = []
        shown.page.on("request", lambda request: requests.append(request.url))
        await shown.visit.refresh()
        await asyncio.wait_for(shown.page.evaluate("new Promise((resolve) => requestAnimationFrame(resolve))"), 10)
        assert [] == requests
        await world.write(turn=100, numbers=[0])
        async with shown.page.expect_response(re.compile("graphql.*compute_session_list")) as found:
            await shown.page.evaluate(SET_HIDDEN, 0)
        assert (await found.value).url == requests[0]
        await expect(shown.cell(session_id(0), "CPU")).to_have_text("1001 %")


async def test_a_scoped_token_sees_its_own_only(browser: Browser, tmp_path: Path) -> None:
    """The dialog opens by itself, says when a token is wrong, and the list has the sessions of the scope."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci=f'scope = {{ user_id = ["{user_id(2)}"] }}')["ci"]
    world = await small_world()
    async with (
        serving(world.runtime, tokens=Tokens(str(file.path))) as client,
        looking(browser, str(client.make_url("/"))) as shown,
    ):
        dialog = shown.page.get_by_role("dialog")
        await expect(dialog).to_contain_text("needs a token")
        await shown.page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await shown.page.get_by_role("button", name="Sign in").click()
        await dialog.get_by_label("Token").fill("statcore_wrong")
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(dialog).to_contain_text("not valid")
        requests: list[str] = []
        shown.page.on("request", lambda request: requests.append(request.url))
        await dialog.get_by_label("Token").fill("\u2026")  # a browser cannot send this
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(dialog.locator("input:invalid")).to_be_focused()
        assert [] == requests
        await dialog.get_by_label("Token").fill(secret)
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(shown.rows).to_have_count(2)
        assert {session_id(2), session_id(9)} == set(await shown.shown_ids())
        assert secret not in shown.page.url
        await shown.page.get_by_role("button", name="Sign out").click()
        await expect(dialog).to_contain_text("needs a token")
        await expect(shown.rows).to_have_count(0)


async def test_another_token_begins_with_an_empty_page(browser: Browser, tmp_path: Path) -> None:
    """What the token before could see is gone, even while the service does not answer."""
    file = TokenFile(tmp_path / "tokens.toml")
    wide = file.write(wide='scope = "everything"')["wide"]
    world = await small_world()
    async with (
        serving(world.runtime, tokens=Tokens(str(file.path))) as client,
        looking(browser, str(client.make_url("/"))) as shown,
    ):
        dialog = shown.page.get_by_role("dialog")
        await dialog.get_by_label("Token").fill(wide)
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(shown.rows).to_have_count(12)
        narrow = file.write(narrow=f'scope = {{ user_id = ["{user_id(2)}"] }}')["narrow"]

        async def is_refused() -> bool:
            await shown.visit.refresh()
            return await dialog.is_visible()

        await until(is_refused, "the dialog, since the token was withdrawn")
        await shown.page.route("**/graphql?*", lambda route: route.abort())
        await dialog.get_by_label("Token").fill(narrow)
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(shown.connection).to_contain_text("does not answer")
        await expect(shown.rows).to_have_count(0)
        await shown.page.unroute_all(behavior="wait")
        await expect(shown.rows).to_have_count(2)


@pytest.mark.parametrize("prefix", ["", "/live/statistics"])
async def test_endpoints_and_agents_have_their_parts(browser: Browser, prefix: str) -> None:
    """Replicas link to their sessions, devices have bars with their numbers; routes may be below a prefix."""
    world = await small_world()
    async with (
        serving(world.runtime, prefix=prefix) as client,
        looking(browser, str(client.make_url(f"{prefix}/"))) as shown,
    ):
        await shown.page.get_by_role("link", name="Endpoints").click()
        replicas = shown.rows.locator('[data-title="Replicas"]')
        await expect(replicas).to_contain_text("2 of 3 active")
        await expect(replicas.get_by_role("link").nth(1)).to_have_attribute("href", f"#/object/session/{session_id(1)}")
        await shown.page.get_by_role("link", name="Agents").click()
        await expect(shown.cell("node-1", "Devices")).to_contain_text("cuda_util of cuda1: 41 %")
        await shown.page.get_by_role("link", name="Kernels").click()
        await expect(shown.cell(kernel_id(0), "Agent")).to_have_text("node-1")


async def test_text_of_a_store_never_becomes_markup(browser: Browser) -> None:
    """Whoever writes statistics chooses the names of agents and devices: they are shown as they are."""
    markup = "<img src=x onerror=\"document.title='injected'\"><b>bold</b>"
    world = await small_world()
    world.inventory.register_kernel(
        KernelRecord(kernel_id=kernel_id(99), session_id=session_id(99), agent_id=markup, started_at=datetime.now(UTC))
    )
    core = {markup: MetricValue(current="500", pct="50", unit_hint="percent")}
    await world.statistics.store_agent_statistics(markup, node={}, devices={"cpu_util": core}, interval_s=3_600)
    async with overview(browser, world, "/#/agents") as shown:
        await expect(shown.cell(markup, "Devices")).to_contain_text(f"cpu_util of {markup}: 50 %")
        await expect(shown.page.locator("main img, main b")).to_have_count(0)
        await shown.page.get_by_role("link", name=markup).click()
        await expect(shown.page.get_by_role("heading", name=markup)).to_be_visible()
        await expect(shown.page).not_to_have_title(re.compile("injected$"))


async def test_a_list_wider_than_the_window_is_scrolled(browser: Browser) -> None:
    """Its last column is cut off nowhere."""
    async with overview(browser, await small_world(), "/#/kernels", viewport={"width": 900, "height": 700}) as shown:
        for cell in (shown.cell(kernel_id(0), "Processes"), shown.page.get_by_role("columnheader", name="Processes")):
            await cell.scroll_into_view_if_needed()
            await expect(cell).to_be_in_viewport(ratio=1)


async def test_every_view_fits_a_phone(browser: Browser) -> None:
    """Each link of the navigation is on the screen, no figure is cut off, and only a table's own frame scrolls sideways."""
    async with overview(browser, await small_world(), viewport={"width": 360, "height": 740}) as shown:
        links = shown.page.get_by_role("navigation").get_by_role("link")
        for view in ("Sessions", "Kernels", "Endpoints", "Agents", "Queries", "Health"):
            await links.filter(has_text=view).click()
            await expect(shown.page.get_by_role("heading", name=view)).to_be_visible()
            await expect(shown.page.get_by_role("main")).not_to_contain_text("Loading")
            for link in await links.all():
                await expect(link).to_be_in_viewport(ratio=1)
            assert [] == await scrolling_sideways(shown.page), view
            cut_off = "(cells) => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.innerText)"
            assert [] == await shown.rows.locator(".number:not(.minor)").evaluate_all(cut_off), view
        await links.filter(has_text="Sessions").click()
        await shown.row(session_id(9)).get_by_role("rowheader").get_by_role("link").click()
        await expect(shown.page.get_by_text("Live entry")).to_be_visible()
        assert [] == await scrolling_sideways(shown.page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
async def test_axe_finds_nothing_serious(browser: Browser, scheme: Any, width: int) -> None:
    """In light and dark, and at the width of a phone, where nothing is wider than the screen."""
    world = PageWorld(12)
    await world.write(numbers=range(8, 12))
    world.plant_problems()
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    async with overview(browser, world, **options) as shown:
        for view in ("Sessions", "Kernels", "Endpoints", "Agents"):
            await shown.page.get_by_role("link", name=view, exact=True).click()
            await expect(shown.rows.first).to_contain_text("%")
            assert [] == await shown.visit.serious_violations(), view
            assert width >= await shown.page.evaluate("document.documentElement.scrollWidth")
