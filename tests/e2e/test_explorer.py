"""The explorer in a real Chromium: queries, tokens, the keyboard, links, outages, and what the page may not do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import graphql
import pytest
import strawberry
from playwright.async_api import Browser, Error, Locator, Page, Route, expect
from strawberry.scalars import JSON
from tests.support.browser import Visit, faultless_visit, visiting
from tests.support.polling import until
from tests.support.scoped_world import AGENTS, ENDPOINTS, KERNELS, PRESETS, START, id_of, world
from tests.support.web_host import Client, TokenFile, serving

from statcore_graphql.schema import Query
from statcore_web import Limits, Tokens

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS: Final = "{ compute_session_list { items { session_id } } }"
MARKUP: Final = "<img src=x onerror=\"document.title='injected'\"><b>bold</b>"
LARGE: Final = 2**53 + 1
"""A whole number that JavaScript's numbers do not have."""
PROJECT: Final = id_of("project", 0)


@strawberry.type
class Hostile(Query):
    """A host's schema with markup in its data, its errors and its descriptions."""

    markup: str = strawberry.field(resolver=lambda: MARKUP, description=MARKUP)

    @strawberry.field
    def large(self) -> JSON:
        """Return a number of JSON that a browser may round."""
        return JSON({"size": LARGE})

    @strawberry.field
    def failing(self) -> str | None:
        """Fail with markup."""
        raise graphql.GraphQLError(MARKUP)


@attrs.frozen
class Explorer:
    """The explorer as a user sees it: its parts by role and name."""

    visit: Visit

    @property
    def page(self) -> Page:
        """The page."""
        return self.visit.page

    @property
    def query(self) -> Locator:
        """The editor of the query."""
        return self.page.get_by_role("textbox", name="Query", exact=True)

    @property
    def variables(self) -> Locator:
        """The editor of the variables."""
        return self.page.get_by_role("textbox", name="Variables")

    @property
    def response(self) -> Locator:
        """The part with the status, the errors and the data."""
        return self.page.get_by_role("region", name="Response")

    @property
    def data(self) -> Locator:
        """The data of the response."""
        return self.page.get_by_role("region", name="Data")

    @property
    def earlier(self) -> Locator:
        """The remark that the data is older than the query."""
        return self.page.get_by_text("of an earlier query")

    @property
    def schema(self) -> Locator:
        """The schema browser."""
        return self.page.get_by_role("complementary", name="Schema")

    def button(self, name: str) -> Locator:
        """Return the button with a name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def run(self, query: str, variables: str = "") -> None:
        """Run a query, and return when there is a response."""
        await self.query.fill(query)
        await self.variables.fill(variables)
        await self.button("Run").click()
        await expect(self.button("Cancel")).to_be_disabled()

    async def answer(self) -> Any:
        """Return the data that is shown."""
        return json.loads(await self.data.inner_text())["data"]

    async def sign_in(self, secret: str) -> None:
        """Send the form of the token."""
        await self.page.get_by_label("Token").fill(secret)
        await self.button("Sign in").click()


@asynccontextmanager
async def exploring(browser: Browser, address: str, **options: Any) -> AsyncGenerator[Explorer]:
    """Open the explorer; at the end, nothing was wrong on the page, and it sent requests to its own service only."""
    async with faultless_visit(browser, address, **options) as visit:
        yield Explorer(visit)


def address_of(client: Client, *, prefix: str = "", draft: Mapping[str, str] | None = None) -> str:
    """Return the address of the explorer, with a query and variables in its fragment."""
    return f"{client.make_url(f'{prefix}/explorer')}{f'#{urlencode(draft)}' if draft else ''}"


async def test_the_explorer_has_the_theme_of_the_page(browser: Browser) -> None:
    """The theme that the user chose on the page."""
    async with serving() as client, faultless_visit(browser, str(client.make_url("/"))) as visit:
        await visit.page.get_by_label("Theme").select_option("dark")
        await visit.page.get_by_role("link", name="Explorer").click()
        await expect(visit.page).to_have_url(re.compile("explorer$"))
        assert "dark" == await visit.page.evaluate("getComputedStyle(document.documentElement).colorScheme")


async def test_an_example_runs_and_shows_data(browser: Browser) -> None:
    """The first example lists the sessions with their statistics; routes may be below a prefix."""
    runtime = await world(KERNELS, ENDPOINTS, AGENTS)
    async with (
        serving(runtime, prefix="/live/statistics") as client,
        exploring(browser, address_of(client, prefix="/live/statistics")) as explorer,
    ):
        await expect(explorer.page.get_by_role("banner")).to_contain_text("Connected without a token")
        await explorer.page.get_by_label("Example").select_option("Sessions with statistics")
        await explorer.page.keyboard.press("Control+Enter")
        await expect(explorer.response.get_by_role("status")).to_contain_text("200 OK")
        items = (await explorer.answer())["compute_session_list"]["items"]
    assert {kernel.session_id for kernel in KERNELS} == {item["session_id"] for item in items}
    assert all(item["live_stat"] for item in items)


async def test_the_other_examples_are_valid_and_can_be_filled_in(browser: Browser) -> None:
    """Each is answered with data; utilization needs only a time at which there are samples."""
    runtime = await world(KERNELS, ENDPOINTS, AGENTS)
    async with serving(runtime, presets=PRESETS) as client, exploring(browser, address_of(client)) as explorer:
        example = explorer.page.get_by_label("Example")
        await expect(example).to_be_enabled()
        labels = (await example.locator("option").all_inner_texts())[1:]
        assert {"Sessions with statistics", "Utilization of a container", "A preset", "Health"} <= set(labels)
        for label in labels:
            await example.select_option(label)
            query, variables = await explorer.query.input_value(), await explorer.variables.input_value()
            if variables:  # samples were taken at another time than now
                variables = json.dumps(
                    {**json.loads(variables), "start": f"{START.timestamp()}", "end": f"{START.timestamp() + 120}"}
                )
            await explorer.run(query, variables)
            await expect(explorer.response.get_by_role("article")).to_have_count(0)
            ((field, value),) = (await explorer.answer()).items()
            assert value, field
            if field in {"utilization", "preset_result"}:
                assert value["series"]


async def test_a_token_is_needed_checked_and_forgotten(browser: Browser, tmp_path: Path) -> None:
    """The right token shows what is in its scope; it is not in the address, and is kept no longer than the tab."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci=f'scope = {{ project_id = ["{PROJECT}"] }}')["ci"]
    runtime = await world(KERNELS, ENDPOINTS, AGENTS)
    async with (
        serving(runtime, tokens=Tokens(str(file.path))) as client,
        exploring(browser, address_of(client, draft={"query": SESSIONS})) as explorer,
    ):
        banner = explorer.page.get_by_role("banner")
        await expect(banner).to_contain_text("needs a token")
        await expect(explorer.schema).to_contain_text("Sign in to see the schema")
        await explorer.sign_in("statcore_wrong")
        await expect(banner).to_contain_text("not valid")
        assert 0 == await explorer.page.evaluate("sessionStorage.length")
        await explorer.sign_in("\u2026")
        await expect(banner).to_contain_text("characters that no token has")
        await explorer.sign_in(secret)
        await expect(banner).to_contain_text("Signed in")
        await expect(explorer.query).to_be_focused()
        await explorer.run(SESSIONS)
        shown = {item["session_id"] for item in (await explorer.answer())["compute_session_list"]["items"]}
        assert {kernel.session_id for kernel in KERNELS if kernel.project_id == PROJECT} == shown
        kept = await explorer.page.evaluate("[location.href, document.cookie, JSON.stringify(localStorage)].join()")
        assert secret not in kept
        await explorer.page.reload()
        await expect(banner).to_contain_text("Signed in")
        await explorer.button("Sign out").click()
        await expect(banner).to_contain_text("needs a token")
        await expect(explorer.page.get_by_label("Token")).to_be_focused()
        assert [0, 0] == await explorer.page.evaluate("[sessionStorage.length, localStorage.length]")
        await expect(explorer.data).to_be_hidden()


async def test_a_late_refusal_of_an_earlier_token_keeps_the_new_one(browser: Browser, tmp_path: Path) -> None:
    """The explorer stays signed in, and the schema stays."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    signed_in = asyncio.Event()

    async def hold(route: Route) -> None:
        if (await route.request.header_value("Authorization")) == "Bearer statcore_wrong":
            await signed_in.wait()
        await route.continue_()

    async with (
        serving(tokens=Tokens(str(file.path))) as client,
        exploring(browser, address_of(client)) as explorer,
    ):
        banner = explorer.page.get_by_role("banner")
        await expect(banner).to_contain_text("needs a token")
        await explorer.page.route("**/graphql", hold)
        await explorer.sign_in("statcore_wrong")
        await explorer.sign_in(secret)
        await expect(banner).to_contain_text("Signed in")
        async with explorer.page.expect_response(lambda response: response.status == 401):
            signed_in.set()
        await explorer.run("{ schema_version }")
        assert {"schema_version": 1} == await explorer.answer()
        await expect(banner).to_contain_text("Signed in")
        await expect(explorer.schema).not_to_contain_text("Sign in to see the schema")


async def test_whole_numbers_are_shown_as_they_are(browser: Browser) -> None:
    """A number beyond those of JavaScript keeps its digits, on the page and in what is copied."""
    permissions = ["clipboard-read", "clipboard-write"]
    async with (
        serving(query=Hostile) as client,
        exploring(browser, address_of(client), permissions=permissions) as explorer,
    ):
        await explorer.run("{ large }")
        assert {"large": {"size": LARGE}} == await explorer.answer()
        await explorer.button("Copy response").click()
        await expect(explorer.response.get_by_role("status")).to_contain_text("copied")
        copied = json.loads(await explorer.page.evaluate("navigator.clipboard.readText()"))
        assert LARGE == copied["data"]["large"]["size"]


async def test_a_token_that_is_revoked_is_asked_for_again(browser: Browser, tmp_path: Path) -> None:
    """The query stays, and so does the data of the last response."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    async with (
        serving(tokens=Tokens(str(file.path))) as client,
        exploring(browser, address_of(client)) as explorer,
    ):
        await explorer.sign_in(secret)
        await explorer.run("{ schema_version }")
        renewed = file.write(ci='scope = "everything"')["ci"]
        await explorer.button("Run").click()
        await expect(explorer.page.get_by_label("Token")).to_be_focused()
        await expect(explorer.response).to_contain_text("UnauthenticatedError")
        assert ["schema_version"] == list(await explorer.answer())
        await explorer.sign_in(renewed)
        await explorer.button("Run").click()
        await expect(explorer.response.get_by_role("status")).to_contain_text("200 OK")
        await expect(explorer.query).to_have_value("{ schema_version }")


async def test_the_keyboard_is_enough(browser: Browser) -> None:
    """Tab indents, and leaves the editor after Escape; a field is found, inserted, and taken back; Enter runs."""
    async with serving() as client, exploring(browser, address_of(client)) as explorer:
        keyboard = explorer.page.keyboard
        await expect(explorer.page.get_by_label("Example")).to_be_enabled()
        for _ in range(4):  # the way to the page, the examples, the link, the editor
            await keyboard.press("Tab")
        await expect(explorer.query).to_be_focused()
        await keyboard.type("{")
        await keyboard.press("Enter")
        await keyboard.type("health {")
        await keyboard.press("Tab")
        await keyboard.type("healthy }}")
        await expect(explorer.query).to_have_value("{\n  health {  healthy }}")
        await keyboard.press("Escape")
        await keyboard.press("Tab")
        await expect(explorer.variables).to_be_focused()
        await keyboard.press("Shift+Tab")
        await expect(explorer.query).to_be_focused()
        await keyboard.press("Control+Enter")
        await expect(explorer.response.get_by_role("status")).to_contain_text("200 OK")
        assert {"health": {"healthy": True}} == await explorer.answer()
        search = explorer.page.get_by_label("Search the schema")
        while not await search.evaluate("(input) => input === document.activeElement"):
            await keyboard.press("Escape")
            await keyboard.press("Tab")
        await keyboard.type("schema version")
        await expect(explorer.schema.get_by_role("status")).to_contain_text("matches")
        for _ in range(2):  # the type, the field
            await keyboard.press("Tab")
        await keyboard.press("Enter")
        await expect(explorer.query).to_have_value(re.compile("schema_version"))
        await keyboard.press("Control+z")
        await expect(explorer.query).to_have_value("{\n  health {  healthy }}")
        await keyboard.press("Control+y")
        await keyboard.press("Control+Enter")
        await expect(explorer.data).to_contain_text("schema_version")
        assert {"health", "schema_version"} == (await explorer.answer()).keys()


async def test_the_schema_can_be_walked_through(browser: Browser) -> None:
    """A type leads to the types of its fields and back; a search also reads descriptions and arguments."""
    async with serving() as client, exploring(browser, address_of(client)) as explorer:
        schema = explorer.schema
        await schema.get_by_role("button", name="Health", exact=True).click()
        await schema.get_by_role("button", name="[PortHealth!]!").click()
        await expect(schema.get_by_role("heading", name="PortHealth")).to_be_focused()
        await expect(schema).to_contain_text("Whether a port answers.")
        await schema.get_by_role("button", name="Query").click()
        search = explorer.page.get_by_label("Search the schema")
        await search.fill("container of a session")
        await expect(schema.get_by_role("listitem")).to_have_count(1)
        await search.fill("nothing has this name")
        await expect(schema.get_by_role("status")).to_have_text("0 matches")
        await search.fill("metric_name")
        await schema.get_by_role("button", name="utilization").click()
        await expect(explorer.query).to_have_value(
            re.compile('utilization\\(metric_name: "", start: "", end: "", step: ""\\)')
        )


async def test_text_of_the_service_never_becomes_markup(browser: Browser) -> None:
    """Markup in data, in an error and in a description is shown as it is."""
    async with serving(query=Hostile) as client, exploring(browser, address_of(client)) as explorer:
        await explorer.run("{ markup failing }")
        assert MARKUP == (await explorer.answer())["markup"]
        await expect(explorer.response.get_by_role("article")).to_contain_text(MARKUP)
        await expect(explorer.schema).to_contain_text(MARKUP)
        await expect(explorer.page.locator("img, b")).to_have_count(0)
        await expect(explorer.page).to_have_title("statcore explorer")


async def test_the_policy_stops_what_a_mistake_would_load(browser: Browser) -> None:
    """Chromium loads nothing from another host, runs no text as a script, and takes no markup from text."""
    directives = ("connect-src", "img-src", "style-src-elem", "require-trusted-types-for")
    violations = {f"policy: {directive}" for directive in directives}
    async with serving() as client, visiting(browser, address_of(client)) as visit:
        page = visit.page
        for script in ("fetch('http://127.0.0.1:9/')", "document.body.innerHTML = '<i>'", "setTimeout('1')"):
            with pytest.raises(Error):
                await page.evaluate(script)
        await page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
        await page.evaluate("document.body.append(Object.assign(document.createElement('style'), {textContent: 'i {}'}))")
        await until(lambda: violations <= set(visit.problems), "the violations")


async def test_an_outage_keeps_what_was_there(browser: Browser) -> None:
    """The page says that it is offline, shows the data of before, and goes on when the network is back."""
    async with serving() as client, exploring(browser, address_of(client)) as explorer:
        await explorer.run("{ schema_version }")
        await explorer.page.context.set_offline(True)
        await explorer.query.fill("{ health { healthy } }")
        await explorer.button("Run").click()
        await expect(explorer.response).to_contain_text("This machine is offline")
        await expect(explorer.earlier).to_be_visible()
        assert ["schema_version"] == list(await explorer.answer())
        await explorer.page.context.set_offline(False)
        await explorer.button("Run").click()
        await expect(explorer.response).not_to_contain_text("This machine is offline")
        assert {"health": {"healthy": True}} == await explorer.answer()


async def test_links_and_the_browsers_history_have_the_queries(browser: Browser) -> None:
    """Back and forward go through the queries that were run; a link opens a query with its variables, and runs nothing."""
    named = "query Named($name: String!) { available_metrics(querier: $name) }"
    variables = '{"name": "container"}'
    async with serving() as client:
        async with exploring(browser, address_of(client)) as explorer:
            await explorer.run("{ schema_version }")
            await explorer.run(named, variables)
            await explorer.page.go_back()
            await expect(explorer.query).to_have_value("{ schema_version }")
            await expect(explorer.earlier).to_be_visible()
            await explorer.page.go_forward()
            await expect(explorer.query).to_have_value(named)
            await expect(explorer.variables).to_have_value(variables)
            await expect(explorer.earlier).to_be_hidden()
            link = explorer.page.url
            await explorer.query.fill("{ health { healthy } }")
            await explorer.page.get_by_text("History", exact=True).click()
            await explorer.page.get_by_role("button", name="{ schema_version }").click()
            await expect(explorer.query).to_have_value("{ schema_version }")
        async with exploring(browser, link, permissions=["clipboard-read", "clipboard-write"]) as explorer:
            await expect(explorer.query).to_have_value(named)
            await expect(explorer.variables).to_have_value(variables)
            await expect(explorer.response).to_contain_text("Nothing has been run yet")
            await explorer.button("Copy link").click()
            await expect(explorer.response).to_contain_text("The link is copied")
            assert link == await explorer.page.evaluate("navigator.clipboard.readText()")


async def test_errors_stand_apart_and_lead_to_their_place(browser: Browser) -> None:
    """An error has its code and its place; that of a limit has the name of the limit. Variables are checked early."""
    async with serving(limits=Limits(depth=2)) as client, exploring(browser, address_of(client)) as explorer:
        await explorer.run("{\n  schema_version\n  helth\n}")
        error = explorer.response.get_by_role("article")
        await expect(error).to_contain_text("Cannot query field 'helth'")
        await error.get_by_role("button", name="line 3, column 3").click()
        await expect(explorer.query).to_be_focused()
        assert len("{\n  schema_version\n  ") == await explorer.query.evaluate("(area) => area.selectionStart")
        await explorer.run("{ compute_session_list { items { session_id } } }")
        await expect(error).to_contain_text("This is the limit depth of the service")
        await explorer.run('{ schema_version available_metrics(querier: "none") }')
        await expect(explorer.response.get_by_role("status")).to_contain_text("data with 1 error")
        assert {"schema_version", "available_metrics"} == (await explorer.answer()).keys()
        for wrong, reason in (("{", "not JSON"), ("[1]", "Write a JSON object")):
            await explorer.variables.fill(wrong)
            await expect(explorer.page.get_by_role("region", name="Query")).to_contain_text(reason)
            await explorer.button("Run").click()
            await expect(explorer.variables).to_be_focused()
            await expect(explorer.response.get_by_role("status")).to_have_text("Correct the variables first.")


async def test_one_operation_of_several_is_chosen(browser: Browser) -> None:
    """The choice appears with the second operation."""
    async with serving() as client, exploring(browser, address_of(client)) as explorer:
        await explorer.query.fill("query First { schema_version }")
        operation = explorer.page.get_by_label("Operation")
        await expect(operation).to_be_hidden()
        await explorer.query.fill("query First { schema_version }\nquery Second { health { healthy } }")
        await operation.select_option("Second")
        await explorer.button("Run").click()
        await expect(explorer.data).to_contain_text("healthy")
        assert ["health"] == list(await explorer.answer())


async def test_a_query_can_be_cancelled(browser: Browser) -> None:
    """The request ends on the server, too, and the next query runs."""
    entered, ended = asyncio.Event(), asyncio.Event()

    @strawberry.type
    class Waiting(Query):
        @strawberry.field
        async def wait(self) -> int:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 1

    async with serving(query=Waiting) as client, exploring(browser, address_of(client)) as explorer:
        await explorer.query.fill("{ wait }")
        await explorer.button("Run").click()
        await entered.wait()
        await explorer.button("Cancel").click()
        await expect(explorer.response.get_by_role("status")).to_have_text("Cancelled.")
        await expect(explorer.button("Run")).to_be_focused()
        await ended.wait()
        await explorer.run("{ schema_version }")
        await expect(explorer.response.get_by_role("status")).to_contain_text("200 OK")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_the_window_and_the_scheme(browser: Browser, scheme: str) -> None:
    """Long lines scroll inside their own box on a phone and on a desk; text is darker than its ground, or brighter."""
    async with serving(query=Hostile) as client, exploring(browser, address_of(client), color_scheme=scheme) as explorer:
        await explorer.run("{ markup failing " + "# a long line " * 40 + "\n}")
        await expect(explorer.schema).to_contain_text("compute_session_list")
        for width in (375, 1440):
            await explorer.page.set_viewport_size({"width": width, "height": 800})
            assert width == await explorer.page.evaluate("document.documentElement.scrollWidth")
        style = "getComputedStyle(document.body)"
        colors = await explorer.page.evaluate(f"[{style}.color, {style}.backgroundColor]")
    text, ground = (sum(map(int, re.findall(r"\d+", color)[:3])) for color in colors)
    assert (scheme == "light") == (text < ground)
