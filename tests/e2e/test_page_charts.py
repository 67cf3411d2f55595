"""One object, queries, presets and health in a real Chromium: points, ranges, forms, problems, outages, plugins."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import msgpack
import psutil
import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect
from redis import Redis
from tests.e2e.plugin_projects import HEAD, write_project
from tests.e2e.program import END_S, ID_1, ID_2, ID_3, MEM, statcore
from tests.support import service
from tests.support.browser import Visit, faultless_visit, scrolling_sideways
from tests.support.environments import run
from tests.support.page_modules import call
from tests.support.page_world import PageWorld, id_of, kernel_id, session_id, user_id
from tests.support.scoped_world import AGENTS, ENDPOINTS, KERNELS, world
from tests.support.scoped_world import RANGE as RANGE_OF_WORLD
from tests.support.web_host import serving

from statcore.errors import UnavailableError
from statcore.model import MatrixResult
from statcore.model.inventory import EndpointRecord, ReplicaRecord
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, plant_openmetrics, running_prometheus, start_program
from statcore_memory import MemoryMetrics

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

END: Final = datetime.fromtimestamp(END_S, UTC)
START: Final = END - timedelta(minutes=30)
STEP_S: Final = 30
GAP_S: Final = range(END_S - 1_200, END_S - 480)
"""Where nothing was sampled: longer than the five minutes for which Prometheus repeats a sample."""
GIB: Final = 1024**3
TANK_NAMES: Final = ("north", "south")


def text_of(time: datetime) -> str:
    """Return a time in UTC as addresses and CSV have it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


RANGE: Final = {"from": text_of(START), "to": text_of(END), "step": f"{STEP_S}s"}


TANKS: Final = (
    HEAD
    + """
from typing import Literal

import attrs
from statcore import QueryStrategy, UtilizationMetricQuerier
from statcore.promql.templates import Preset


@attrs.frozen(kw_only=True)
class Tanks(UtilizationMetricQuerier):
    '''Tanks of a brewery.

    Args:
        metric_name: what to measure.
        tank: the name of a tank; by default all.
        least: a number, which is in no query.
    '''

    metric_name: Literal["level", "heat"]
    tank: str | None = None
    least: float = 0.5

    def name(self):
        return "tank_" + self.metric_name

    def labels(self):
        return {} if self.tank is None else {"tank": self.tank}

    def group_by_labels(self):
        return ["tank"]

    def query_strategy(self):
        return QueryStrategy.GAUGE


@hookimpl
def statcore_queriers():
    units = {"level": "bytes"}
    return [QuerierSpec(name="tank", summary="Tanks of a brewery", querier=Tanks, series="tank_level", units=units)]


@hookimpl
def statcore_presets():
    template = "sum by (${{ group_by }})(rate(tank_level{${{ labels }}}[${{ window }}]))"
    labels = ["tank"]
    text = "Litres per second."
    return [Preset(name="filling", description=text, template=template, filter_labels=labels, group_labels=labels)]
"""
)


def planted() -> Iterator[PlantedSeries]:
    """Yield memory of a session with a gap, its capacity, its CPU time, the levels of tanks, and a session of now."""
    times = [time for time in range(END_S - 3_600, END_S + 1, 15) if time not in GAP_S]
    for number, tank in enumerate(TANK_NAMES, start=1):
        yield PlantedSeries(
            "tank_level", {"tank": tank}, [(float(time), (time - END_S + 3_600.0) * number) for time in times]
        )
    values: dict[tuple[str, str], Callable[[int], float]] = {
        ("net_rx", "current"): lambda time: float(time % 977),
        ("mem", "current"): lambda time: float(GIB + (time % 977) * 1_000_003),
        ("mem", "capacity"): lambda _: float(8 * GIB),
        ("cpu_util", "current"): lambda time: float((time - END_S + 3_600) * 250),
    }
    for (metric, value_type), value in values.items():
        labels = {CONTAINER_METRIC_LABEL: metric, "value_type": value_type, "session_id": ID_1, "kernel_id": ID_2}
        yield PlantedSeries(CONTAINER_SERIES, labels, [(float(time), value(time)) for time in times])
    now = int(datetime.now(UTC).timestamp())
    labels = {CONTAINER_METRIC_LABEL: "cpu_util", "value_type": "current", "session_id": ID_3, "kernel_id": ID_3}
    yield PlantedSeries(
        CONTAINER_SERIES, labels, [(float(time), float(time)) for time in range(now - 600, now + 1_200, 15)]
    )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Prometheus with the planted series."""
    for program in ("prometheus", "promtool"):
        require_program(program)
    with running_history(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@contextmanager
def running_history(folder: Path) -> Iterator[Server]:
    """Run a Prometheus with the planted series within the block."""
    plant_openmetrics(folder, openmetrics_text(planted()))
    with running_prometheus(folder, targets={}, arguments=["--storage.tsdb.retention.time=100y"]) as server:
        yield server


@attrs.frozen
class Charts:
    """The page as a user sees it."""

    visit: Visit

    @property
    def page(self) -> Page:
        """The page in the browser."""
        return self.visit.page

    @property
    def main(self) -> Locator:
        """The view."""
        return self.page.get_by_role("main")

    def chart(self, title: str) -> Locator:
        """Return the card of a chart."""
        return self.page.get_by_role("article", name=title, exact=True)

    def drawn(self, title: str) -> Locator:
        """Return the chart in its card, which has its values in words."""
        return self.chart(title).get_by_role("img")

    def button(self, name: str) -> Locator:
        """Return the button with a name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def table(self, title: str) -> list[list[str]]:
        """Open the table of a chart, and return its rows, newest first."""
        await self.chart(title).get_by_text(f"Table of {title}").click()
        rows = self.chart(title).locator("details tbody tr")
        await expect(rows.first).to_be_visible()
        return [await row.locator("th, td").all_inner_texts() for row in await rows.all()]

    async def csv(self, title: str) -> list[dict[str, str]]:
        """Save the CSV of a chart, and return its rows."""
        async with self.page.expect_download() as saving:
            await self.chart(title).get_by_role("button", name="CSV").click()
        return list(csv.DictReader((await (await saving.value).path()).read_text().splitlines()))

    async def go(self, *path: str, **params: str) -> None:
        """Go to a view as a link does, without a reload."""
        await self.page.evaluate("(hash) => { location.hash = hash }", address("", *path, **params)[2:])


def address(base: object, *path: str, **params: str) -> str:
    """Return the address of a view."""
    return f"{str(base).rstrip('/')}/#/{'/'.join(path)}?{urlencode(params)}"


@asynccontextmanager
async def charting(browser: Browser, url: str, **options: Any) -> AsyncGenerator[Charts]:
    """Open the page; at the end, nothing was wrong on it, and it sent requests to its own service only."""
    async with faultless_visit(browser, url, **options) as visit:
        yield Charts(visit)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a plugin is installed, beside the environment of the tests."""
    folder = tmp_path_factory.mktemp("plugins")
    project = write_project(tmp_path_factory.mktemp("project"), "statcore-tanks", TANKS)
    installed = run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--target", folder, project),
    )
    assert 0 == installed.returncode, installed.stderr
    return folder


@pytest.fixture(scope="module")
def url(history: Server, valkey_server: Server, plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service over the planted series, with the plugin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(plugins), prepend=os.pathsep)
        folder = tmp_path_factory.mktemp("service")
        with service.serving(folder, statistics_url=valkey_server.url, metrics_url=history.url) as running:
            yield running.url


def printed(history: Server, metric: str, value_type: str) -> list[tuple[float, float]]:
    """Return the points that the command line prints."""
    selector = ["--metric-name", metric, "--value-type", value_type, "--session-id", ID_1]
    times = ["--start", RANGE["from"], "--end", RANGE["to"], "--step", RANGE["step"]]
    answer = statcore("query", "container", *selector, *times, "--format", "json", metrics_url=history.url)
    assert 0 == answer.returncode, answer.stderr
    (series,) = json.loads(answer.stdout)["series"]
    return list(zip(series["timestamps"], series["values"], strict=True))


async def test_a_chart_has_the_points_that_the_command_line_prints(browser: Browser, url: str, history: Server) -> None:
    """Times and values of current and capacity, in the table and in CSV; a gap stays a gap; each has its PromQL."""
    current, capacity = printed(history, "mem", "current"), printed(history, "mem", "capacity")
    async with charting(
        browser, address(url, "object", "session", ID_1, **RANGE), permissions=["clipboard-read", "clipboard-write"]
    ) as shown:
        await expect(shown.drawn("mem")).to_have_attribute(
            "aria-label", re.compile("current: newest .* GiB.*capacity: newest 8 GiB")
        )
        saved = [(row["value_type"], row["time"], float(row["value"])) for row in await shown.csv("mem")]
        assert [
            (value_type, text_of(datetime.fromtimestamp(time, UTC)), value)
            for value_type, points in (("current", current), ("capacity", capacity))
            for time, value in points
        ] == saved
        rows = [row for row in await shown.table("mem") if row[1] != "—"]
        texts = call("units.js", "format", *([value, "bytes"] for _, value in current))
        times = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC" for time, _ in current]
        assert list(reversed([[*point, "8 GiB"] for point in zip(times, texts, strict=True)])) == rows
        await expect(shown.chart("mem").get_by_role("status").first).to_contain_text("points are missing")
        assert len(current) < (END - START).total_seconds() / STEP_S
        await shown.chart("mem").get_by_text("PromQL of mem").click()
        await shown.chart("mem").get_by_role("button", name="Copy PromQL").first.click()
        await expect(shown.chart("mem").get_by_text("Copied", exact=True)).to_be_visible()
        copied = await shown.page.evaluate("navigator.clipboard.readText()")
        # As on a page without TLS, where scripts have no clipboard.
        await shown.page.evaluate("Object.defineProperty(window, 'isSecureContext', { value: false })")
        await shown.chart("mem").get_by_role("button", name="Copy PromQL").last.click()
        assert copied.replace("current", "capacity") == await shown.page.evaluate("navigator.clipboard.readText()")
    text = statcore("promql", "container", "--metric-name", "mem", "--session-id", ID_1).stdout.strip()
    assert text == copied


async def test_percent_is_shown_where_there_is_one(browser: Browser, url: str, history: Server) -> None:
    """A metric with a capacity is in percent of it; one without a bound keeps its values, and says why."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        await shown.button("Percent").click()
        await expect(shown.page).to_have_url(re.compile("as=pct"))
        await expect(shown.drawn("mem")).to_have_attribute("aria-label", re.compile(r"pct: newest [\d.]+ %"))
        saved = [float(row["value"]) for row in await shown.csv("mem")]
        await shown.page.go_back()
        await expect(shown.drawn("mem")).to_have_attribute("aria-label", re.compile("capacity"))
    assert saved == [value for _, value in printed(history, "mem", "pct")]


async def test_a_range_is_dragged_typed_and_taken_back(browser: Browser, url: str) -> None:
    """The address has the range: back and forward work, and the buttons need no mouse."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        await expect(shown.drawn("mem")).to_be_visible()
        first = shown.page.url
        plot = shown.chart("mem").locator(".u-over")
        await plot.scroll_into_view_if_needed()
        box = await plot.bounding_box()
        assert box
        middle = box["y"] + box["height"] / 2
        await shown.page.mouse.move(box["x"] + box["width"] * 0.25, middle)
        await shown.page.mouse.down()
        await shown.page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
        await shown.page.mouse.up()
        await expect(shown.page).not_to_have_url(first)
        dragged = dict(re.findall(r"(from|to)=([^&]+)", shown.page.url.replace("%3A", ":")))
        start, end = (datetime.fromisoformat(dragged[name]) for name in ("from", "to"))
        assert timedelta(minutes=6) < start - START < timedelta(minutes=9)
        assert timedelta(minutes=6) < end - start < timedelta(minutes=9)
        await shown.page.go_back()
        await expect(shown.page).to_have_url(first)
        await shown.page.go_forward()
        await expect(shown.page).not_to_have_url(first)

        await shown.button("Custom range").focus()
        await shown.page.keyboard.press("Enter")
        await expect(shown.page.get_by_role("textbox", name="From")).to_be_focused()
        await shown.page.keyboard.press("Escape")
        await expect(shown.page.get_by_role("textbox", name="From")).to_have_count(0)
        await expect(shown.button("Custom range")).to_be_focused()
        await shown.page.keyboard.press("Enter")
        await expect(shown.page.get_by_role("textbox", name="From")).to_be_focused()
        await shown.page.keyboard.type("yesterday")
        await shown.page.keyboard.press("Enter")
        await expect(shown.page.get_by_role("textbox", name="From")).to_have_attribute("aria-invalid", "true")
        await expect(shown.page.get_by_role("alert")).to_contain_text("RFC 3339 with a zone")
        await shown.page.get_by_role("textbox", name="From").fill("2h")
        await shown.page.get_by_role("textbox", name="To").fill("-1h")
        await shown.page.keyboard.press("Enter")
        await expect(shown.page).to_have_url(re.compile("from=-2h&to=-1h"))
        await expect(shown.chart("mem")).to_contain_text("No points in this range")
        await shown.button("6h").click()
        await expect(shown.page).to_have_url(re.compile("from=-6h$"))
        await shown.button("Zoom out").click()
        await expect(shown.main).to_contain_text("UTC")
        await expect(shown.page).to_have_url(re.compile("from=20.*&to=20"))


async def test_a_chosen_range_leaves_the_focus_and_what_is_typed(browser: Browser, url: str) -> None:
    """The form of the range takes the focus when the user opens it; a form of a query keeps what was not sent."""
    async with charting(browser, address(url, "query", "querier", "tank", **RANGE)) as shown:
        start = shown.page.get_by_role("textbox", name="From")
        await shown.page.get_by_label("least").fill("0.25")
        await shown.button("Custom range").click()
        await expect(start).to_be_focused()
        await shown.button("6h").click()
        await expect(start).to_have_value("-6h")
        await expect(shown.button("6h")).to_be_focused()
        await expect(shown.page.get_by_label("least")).to_have_value("0.25")
        await shown.button("Custom range").click()
        await expect(start).to_have_count(0)
        await shown.go("query", "querier", "tank", **{"from": "2026-02-30T10:00:00Z"})
        await expect(start).to_have_attribute("aria-invalid", "true")


async def test_times_are_those_of_the_zone_of_the_browser(browser: Browser, url: str) -> None:
    """Its offset from UTC stands beside them; the address and CSV are in UTC."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE), timezone_id="Asia/Kathmandu") as shown:
        rows = await shown.table("mem")
        assert f"{END + timedelta(hours=5, minutes=45):%Y-%m-%d %H:%M:%S} UTC+5:45" == rows[0][0]
        assert {text_of(END)} <= {row["time"] for row in await shown.csv("mem")}


async def test_a_change_of_the_theme_draws_the_points_of_now(browser: Browser, url: str) -> None:
    """Also after another range was chosen: the legend has the newest value of that."""
    earlier = {**RANGE, "to": text_of(START + timedelta(minutes=5))}
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        legend = shown.chart("mem").locator(".u-legend")
        await expect(legend).to_contain_text(f"{END:%H:%M:%S}")
        await shown.go("object", "session", ID_1, **earlier)
        await expect(legend).to_contain_text(f"{START + timedelta(minutes=5):%H:%M:%S}")
        text = await legend.inner_text()
        await shown.page.get_by_label("Theme").select_option("dark")
        await expect(legend).to_have_text(text, use_inner_text=True)


async def test_another_query_that_fails_does_not_show_the_answer_before(browser: Browser, url: str) -> None:
    """What was drawn stays if only the range is another, and goes if the metric is."""
    query = {**RANGE, "field.metric_name": "level"}
    async with charting(browser, address(url, "query", "querier", "tank", **query)) as shown:
        await expect(shown.drawn("tank level")).to_be_visible()
        await shown.page.route(re.compile("Range"), lambda route: route.abort())
        await shown.go("query", "querier", "tank", **{**query, "from": text_of(START + timedelta(minutes=5))})
        await expect(shown.chart("tank level").get_by_role("status").first).to_contain_text("not up to date")
        await expect(shown.drawn("tank level")).to_be_visible()
        await shown.go("query", "querier", "tank", **{**query, "field.metric_name": "heat"})
        await expect(shown.chart("tank heat").get_by_role("status").first).to_contain_text("unavailable")
        await expect(shown.drawn("tank heat")).to_have_count(0)


async def test_a_chart_without_percent_is_never_blank(browser: Browser, url: str) -> None:
    """Its values stay while the page finds out that there is no percent and queries them again."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        await expect(shown.drawn("net_rx")).to_be_visible()
        await shown.page.evaluate(
            """() => {
                globalThis.blanks = 0;
                const chart = document.querySelector('article[aria-label="net_rx"]');
                const count = () => { blanks += chart.querySelector("[role=img]") ? 0 : 1; requestAnimationFrame(count); };
                requestAnimationFrame(count);
            }"""
        )
        await shown.button("Percent").click()
        await expect(shown.chart("net_rx")).to_contain_text("not in percent")
        await expect(shown.chart("net_rx")).to_have_attribute("aria-busy", "false")
        assert 0 == await shown.page.evaluate("blanks")


async def test_copied_is_shown_for_two_seconds_after_the_last_click(browser: Browser, url: str) -> None:
    """A second click begins them again."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE), now=END) as shown:
        copy, copied = shown.button("Copy id"), shown.main.get_by_text("Copied", exact=True)
        await expect(shown.drawn("mem")).to_be_visible()
        await shown.page.evaluate("navigator.clipboard.writeText = async () => {}")
        await shown.page.clock.pause_at(END + timedelta(minutes=5))
        await copy.click()
        await expect(copied).to_be_visible()
        await shown.page.clock.run_for(1_500)
        await copy.click()
        await shown.page.clock.run_for(1_000)
        await expect(copied).to_be_visible()
        await shown.page.clock.run_for(1_500)
        await expect(copied).to_have_count(0)


async def test_the_keyboard_hides_a_line(browser: Browser, url: str) -> None:
    """As the capacity, beside which low values are flat: a button in the legend. A range or a theme leaves it hidden."""
    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        current, capacity = (shown.chart("mem").get_by_role("button", name=name) for name in ("current", "capacity"))
        await current.focus()
        await shown.page.keyboard.press("Tab")
        await expect(capacity).to_be_focused()
        await shown.page.keyboard.press("Space")
        await expect(capacity).to_have_attribute("aria-pressed", "false")
        first = shown.page.url
        await shown.button("Earlier").press("Enter")
        await expect(shown.page).not_to_have_url(first)
        await expect(shown.chart("mem")).to_have_attribute("aria-busy", "false")
        await expect(capacity).to_have_attribute("aria-pressed", "false")
        await expect(current).to_have_attribute("aria-pressed", "true")
        drawn_in_light = await capacity.element_handle()
        await shown.page.get_by_label("Theme").select_option("dark")
        await drawn_in_light.wait_for_element_state("hidden")
        await expect(capacity).to_have_attribute("aria-pressed", "false")
        await expect(current).to_have_attribute("aria-pressed", "true")


async def test_an_installed_plugin_has_a_form_a_chart_a_table_and_a_link(
    browser: Browser, url: str, history: Server
) -> None:
    """Its querier is found, filled in by the keyboard, drawn, saved and sent to others, without a line of JavaScript."""
    async with charting(browser, address(url, "query", **RANGE)) as shown:
        await shown.main.get_by_role("link", name="tank", exact=True).click()
        await expect(shown.page.get_by_label("metric_name")).to_contain_text("level")
        await shown.page.get_by_label("metric_name").select_option("level")
        await expect(shown.main.get_by_text("a number, which is in no query")).to_be_visible()
        await shown.page.get_by_label("least").fill("many")
        await shown.page.keyboard.press("Enter")
        await expect(shown.page.get_by_label("least")).to_have_attribute("aria-invalid", "true")
        await expect(shown.page.get_by_role("alert")).to_contain_text("least must be of type number")
        await shown.page.get_by_label("least").fill("2.5")
        await shown.page.get_by_label("least").press("Enter")
        await expect(shown.page).to_have_url(re.compile("from=2026.*step=30s&field.metric_name=level.*field.least=2.5"))
        await expect(shown.page.get_by_role("alert")).to_have_count(0)
        await expect(shown.page.get_by_label("least")).to_be_focused()
        await expect(shown.drawn("tank level")).to_have_attribute(
            "aria-label", re.compile("tank=north: newest .*tank=south: newest")
        )
        link = shown.page.url
        saved = [(row["tank"], float(row["value"])) for row in await shown.csv("tank level")]
    answer = statcore(
        *("query", "container", "--metric-name", "mem", "--start", RANGE["from"], "--end", RANGE["to"]),
        *("--step", RANGE["step"], "--format", "json"),
        metrics_url=history.url,
    )
    points = len(json.loads(answer.stdout)["series"][0]["timestamps"])
    assert dict.fromkeys(TANK_NAMES, points) == {tank: [row[0] for row in saved].count(tank) for tank in TANK_NAMES}
    assert [("north", 3_600.0), ("south", 7_200.0)] == [max(row for row in saved if row[0] == tank) for tank in TANK_NAMES]
    async with charting(browser, link) as shown:
        await expect(shown.page.get_by_label("least")).to_have_value("2.5")
        await expect(shown.chart("tank level").locator("details tbody tr").first).to_contain_text("3.52 KiB")


async def test_an_installed_preset_is_filled_in(browser: Browser, url: str) -> None:
    """Labels, group labels and the window are fields; several values are separated by commas."""
    async with charting(browser, address(url, "query", "preset", "filling", **RANGE)) as shown:
        await expect(shown.drawn("filling")).to_have_attribute("aria-label", re.compile("newest 3"))
        await shown.page.get_by_label("tank", exact=True).first.fill("north, south")
        await shown.page.get_by_role("checkbox", name="tank").check()
        await shown.page.get_by_label("window").fill("soon")
        await shown.page.keyboard.press("Enter")
        await expect(shown.page.get_by_role("alert")).to_contain_text("soon")
        await shown.page.get_by_label("window").fill("2m")
        await shown.page.keyboard.press("Enter")
        await expect(shown.drawn("filling")).to_have_attribute(
            "aria-label", re.compile("tank=north: newest 1,? .*tank=south: newest 2")
        )
        await shown.chart("filling").get_by_text("PromQL of filling").click()
        await expect(shown.chart("filling").get_by_role("code")).to_contain_text('tank=~"north|south"')


async def test_one_object_has_its_entry_its_links_and_its_problems(browser: Browser) -> None:
    """Each kind of problem is a sentence with its reason; figures have units; owners and parts are links."""
    page_world = PageWorld(12)
    await page_world.write(numbers=range(8, 12))
    sessions = page_world.plant_problems()
    words = {
        "stale": "stale: .*planted: stale",
        "incomplete": "incomplete: .*planted: incomplete",
        "unavailable": "unavailable: the store or backend of this field is unavailable",
        "undated": "age unknown: .*planted: undated",
        "malformed": "unreadable: .+",
    }
    async with serving(page_world.runtime) as client, charting(browser, address(client.make_url("/"))) as shown:
        for kind, word in words.items():
            await shown.page.evaluate(f"location.hash = '#/object/session/{sessions[kind]}'")
            await expect(shown.main.locator(".problems")).to_contain_text(re.compile(word))
        await shown.page.evaluate(f"location.hash = '#/object/session/{sessions['missing']}'")
        await expect(shown.main).to_contain_text("It has no live statistics")
        await shown.page.evaluate(f"location.hash = '#/object/session/{sessions['zero']}'")
        await expect(shown.main.get_by_role("listitem").filter(has_text="CPU")).to_have_text("CPU 0 %")
        await expect(shown.main.locator(".problems p")).to_have_count(0)
        await shown.page.evaluate(f"location.hash = '#/object/session/{id_of(9, 9)}'")
        await expect(shown.main.locator(".problems")).to_contain_text("No session with this id exists now")
        await shown.page.evaluate("location.hash = '#/object/session/nonsense'")
        await expect(shown.main.locator(".problems p")).to_contain_text("error: not an id: 'nonsense'")
        await expect(shown.main.get_by_role("article")).to_have_count(0)

        await shown.page.evaluate(f"location.hash = '#/object/session/{session_id(9)}'")
        await shown.main.get_by_role("link", name=kernel_id(9)).click()
        await expect(shown.main.get_by_role("row").filter(has_text="mem").first).to_contain_text("68719476736")
        await shown.main.locator("summary", has_text="JSON").click()
        await expect(shown.main.locator("pre")).to_contain_text('"unit_hint": "percent"')
        await shown.main.get_by_role("link", name="node-1").click()
        await expect(shown.main).to_contain_text("cuda_util / cuda3")
        await shown.page.go_back()
        await shown.main.get_by_role("link", name=user_id(9)).click()
        await expect(shown.page).to_have_url(re.compile(f"#/kernels\\?filter=user_id%3D{user_id(9)}"))
        await shown.page.evaluate(f"location.hash = '#/object/endpoint/{id_of(5, 0)}'")
        await expect(shown.main.get_by_role("link", name=session_id(1))).to_be_visible()


async def test_an_endpoint_says_which_sessions_its_charts_have(browser: Browser) -> None:
    """The first eight; the lines of the only session need no name; an endpoint without sessions says so."""
    page_world = PageWorld(12)
    labels = {CONTAINER_METRIC_LABEL: "mem", "value_type": "current", "session_id": session_id(0)}
    page_world.metrics.append_scrape([(CONTAINER_SERIES, labels, GIB)], target="node-1", time=datetime.now(UTC))
    for number, sessions in ((1, 12), (2, 0), (3, 1)):
        replicas = tuple(
            ReplicaRecord(replica_id=id_of(6, each), session_id=session_id(each), active=True) for each in range(sessions)
        )
        page_world.inventory.register_endpoint(EndpointRecord(endpoint_id=id_of(5, number), replicas=replicas))
    async with (
        serving(page_world.runtime) as client,
        charting(browser, address(client.make_url("/"), "object", "endpoint", id_of(5, 1))) as shown,
    ):
        await expect(shown.main).to_contain_text("Charts show 8 of 12 sessions")
        query = shown.chart("mem").get_by_role("link")
        await expect(query).to_contain_text(f"Query of {session_id(0)}")
        await shown.go("object", "endpoint", id_of(5, 3))
        await expect(query).to_have_text("Query mem by itself")
        await shown.go("object", "endpoint", id_of(5, 2))
        await expect(shown.main).to_contain_text("This endpoint has no sessions")


async def test_a_part_that_is_unavailable_leaves_the_others(browser: Browser, url: str) -> None:
    """Without the capacity the current values are drawn, and a mark says what is not there."""

    async def lose_capacity(route: Route) -> None:
        answered = await route.fetch()
        document = await answered.json()
        extensions = {"code": "UnavailableError", "retryable": True}
        document["data"]["part1"] = None
        document["errors"] = [{"message": "the backend is away", "path": ["part1"], "extensions": extensions}]
        await route.fulfill(response=answered, json=document)

    async with charting(browser, address(url, "object", "session", ID_1, **RANGE)) as shown:
        await expect(shown.drawn("mem")).to_have_attribute("aria-label", re.compile("capacity: newest 8 GiB"))
        await shown.page.route(re.compile("Range.*mem"), lose_capacity)
        await shown.go("object", "session", ID_1, **{**RANGE, "from": text_of(START + timedelta(minutes=5))})
        mark = shown.chart("mem").locator(".mark", has_text="unavailable")
        await expect(mark).to_have_attribute("title", re.compile("capacity: the backend is away"))
        await expect(shown.drawn("mem")).to_have_attribute("aria-label", re.compile("current: newest .* GiB"))


async def test_what_cannot_be_read_now_stays_as_it_was(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures and the entry stay in an outage of the store, with the time that they are of, and are live after it."""
    page_world = PageWorld(2)
    await page_world.write()

    async def fail(*_: object) -> None:
        raise UnavailableError("the store is away")

    async with (
        serving(page_world.runtime) as client,
        charting(browser, address(client.make_url("/"), "object", "session", session_id(0))) as shown,
    ):
        cpu = shown.main.get_by_role("listitem").filter(has_text="CPU")
        await expect(cpu).to_have_text("CPU 1000 %")
        with monkeypatch.context() as patched:
            patched.setattr(type(page_world.statistics), "fetch_kernel_statistics", fail)
            await shown.visit.refresh()
            await expect(shown.main.locator(".problems")).to_contain_text("unavailable")
            await expect(shown.main.locator(".problems")).to_contain_text("is shown as it was at 20")
            await expect(cpu).to_have_text("CPU 1000 %")
            await expect(shown.main.get_by_role("row").filter(has_text="mem").first).to_be_visible()
        await page_world.write(turn=100)
        await shown.visit.refresh()
        await expect(cpu).to_have_text("CPU 1001 %")
        await expect(shown.main.locator(".problems p")).to_have_count(0)


async def test_a_partial_answer_its_warnings_and_infos_are_marked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a mark, and its reason as a tooltip and for screen readers; zero is a number."""
    answer = MemoryMetrics.query_utilization

    async def part_of(*args: Any, **options: Any) -> MatrixResult:
        return attrs.evolve(await answer(*args, **options), partial=True, warnings=("half is away",), infos=("by the way",))

    monkeypatch.setattr(MemoryMetrics, "query_utilization", part_of)
    runtime = await world(KERNELS, ENDPOINTS, AGENTS)
    times = {"from": text_of(RANGE_OF_WORLD.start), "to": text_of(RANGE_OF_WORLD.end), "step": "1m"}
    async with (
        serving(runtime) as client,
        charting(browser, address(client.make_url("/"), "object", "kernel", KERNELS[0].kernel_id, **times)) as shown,
    ):
        await expect(shown.drawn("mem")).to_have_attribute("aria-label", re.compile("current: newest 0 B, from 0 B to 0 B"))
        for word, reason in (("partial", "could not read all"), ("warning", "half is away"), ("info", "by the way")):
            mark = shown.chart("mem").locator(".mark", has_text=word)
            await expect(mark).to_have_attribute("title", re.compile(reason))
            await expect(mark).to_contain_text(reason)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 360])
async def test_axe_finds_nothing_serious(browser: Browser, url: str, scheme: Any, width: int) -> None:
    """On every view with charts and forms, where nothing is wider than the screen."""
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    views: list[tuple[str | None, tuple[str, ...], dict[str, str]]] = [
        ("mem", ("object", "session", ID_1), {**RANGE, "as": "pct"}),
        ("container mem", ("query", "querier", "container"), {**RANGE, "field.metric_name": "mem"}),
        ("filling", ("query", "preset", "filling"), {**RANGE, "group": "tank"}),
        (None, ("query", "querier", "container"), {"field.metric_name": "mem", "field.kernel_id": "x"}),
        (None, ("object", "session", ID_1), {"from": "yesterday"}),
        (None, ("query",), {}),
        (None, ("health",), {}),
    ]
    async with charting(browser, url, **options) as shown:
        for chart, path, params in views:
            await shown.go(*path, **params)
            if chart:
                await shown.chart(chart).scroll_into_view_if_needed()
            await expect(shown.drawn(chart) if chart else shown.main.get_by_role("heading").first).to_be_visible()
            await expect(shown.main).not_to_contain_text("Loading")
            assert [] == await shown.visit.serious_violations(), path
            assert [] == await scrolling_sideways(shown.page), path


async def test_an_outage_of_prometheus_shows_and_heals(browser: Browser, valkey_server: Server, tmp_path: Path) -> None:
    """Charts and rows of lists stay, with the time that they are of; without a reload they are fresh again."""
    with Redis(host="127.0.0.1", port=valkey_server.port) as client:
        client.set(ID_3, msgpack.packb({"mem": MEM}), ex=86_400)
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with (
        running_history(folder) as history,
        service.serving(tmp_path, statistics_url=valkey_server.url, metrics_url=history.url) as running,
    ):
        url = running.url
        async with (
            charting(browser, address(url, "object", "session", ID_1, **{"from": "-30m"}), now=END) as shown,
            charting(browser, address(url, "sessions")) as lists,  # Prometheus says which sessions there are
            charting(browser, address(url, "health")) as health,
        ):
            status = shown.chart("mem").get_by_role("status").first
            row = lists.page.get_by_role("row").filter(has_text=ID_3)
            metrics = health.main.get_by_role("listitem").filter(has_text="metrics")
            await expect(shown.drawn("mem")).to_be_visible()
            await expect(row).to_contain_text("1 MiB")
            command = psutil.Process(history.process.pid).cmdline()
            history.process.terminate()
            history.process.wait()
            await shown.visit.refresh()
            for place in (status, lists.main.get_by_role("status")):
                await expect(place).to_contain_text("not up to date")
                await expect(place).to_contain_text("Showing data from")
            await expect(shown.drawn("mem")).to_be_visible()
            await expect(row).to_contain_text("1 MiB")
            await expect(metrics).to_contain_text("unavailable")
            again = start_program(command, tmp_path / "prometheus.log")
            try:
                await expect(metrics).to_contain_text("answers")
                await expect(lists.main.get_by_role("status")).to_have_count(0)
                await expect(row).to_contain_text("1 MiB")
                await expect(status).not_to_contain_text("not up to date")
                await expect(shown.drawn("mem")).to_be_visible()
            finally:
                again.terminate()
                again.wait()
