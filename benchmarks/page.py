"""Measures the page over 10,000 sessions in a real Chromium: its first rows, scrolling, ten minutes of refresh.

The service is `statcore serve` over a real Valkey, to which agents write, and a real Prometheus, which scrapes them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import psutil
from living_site import running_site
from report import Goal, Report, Row, Table
from timed_service import TimedService, Turn, running_service
from timing import cpu_s

from statcore.testing.servers import find_program

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession, Page

SESSIONS: Final = 10_000
_WHEEL_PX: Final = 1_200
_WHEEL_S: Final = 0.03
_JUMPS: Final = 10
_STRIDE: Final = 3_607
"""How many rows a jump goes on; it has no divisor in common with the number of rows."""
_MINUTE_S: Final = 60.0
_PATIENCE_MS: Final = 60_000
_SET_UP_S: Final = 900.0
"""How much longer than its minutes the whole measurement may take."""
_FLAT: Final = Goal(1.05)
_TURN_MS: Final = 16.0
# Runs before the page. Chromium calls a task long from 50 ms on. A row is painted when the frame after it has begun.
_OBSERVE: Final = """
const [tasks, requests] = [
  new PerformanceObserver((list) => seen.tasks.push(...list.getEntries())),
  new PerformanceObserver((list) => seen.requests.push(...list.getEntries())),
];
const seen = { tasks: [], requests: [] };
tasks.observe({ type: "longtask", buffered: true });
requests.observe({ type: "resource", buffered: true });
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
globalThis.measured = {
  firstRows: new Promise((done) =>
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".body [role=rowheader]")) return;
      observer.disconnect();
      painted().then(() => done(performance.now()));
    }).observe(document, { childList: true, subtree: true })),
  async jump(number) {
    const [grid, start] = [document.querySelector("[role=table]"), performance.now()];
    grid.scrollTop = number * grid.querySelector("[role=row]:not(.heading)").offsetHeight;
    while (!grid.querySelector(`[aria-rowindex="${number + 2}"] [role=rowheader]`)) await painted();
    return performance.now() - start;
  },
  take() {
    seen.tasks.push(...tasks.takeRecords());
    seen.requests.push(...requests.takeRecords());
    const ms = (entries) => entries.map(({ duration }) => duration);
    const taken = [ms(seen.tasks), ms(seen.requests.filter(({ name }) => name.includes("/graphql?")))];
    Object.assign(seen, { tasks: [], requests: [] });
    return taken;
  },
};
"""


@attrs.define
class Phase:
    """What happened while the page did something; all times in milliseconds.

    Args:
        name: what the page did.
        rows_ms: how long it took each time until rows were there.
        tasks_ms: the long tasks of the page, with their waits for a core.
        most_cpu_ms: the most CPU time of a task of the page; None where it is not traced.
        requests_ms: the requests of the page.
        cpu_ms: the CPU time of the service.
        turns: the turns of the service's event loop.
    """

    name: str
    rows_ms: list[float] = attrs.field(factory=list[float], init=False)
    tasks_ms: list[float] = attrs.field(factory=list[float], init=False)
    most_cpu_ms: float | None = attrs.field(default=None, init=False)
    requests_ms: list[float] = attrs.field(factory=list[float], init=False)
    cpu_ms: float = attrs.field(default=0.0, init=False)
    turns: Sequence[Turn] = attrs.field(default=(), init=False)

    async def take(self, page: Page) -> None:
        """Add what the page has seen since the last time."""
        tasks_ms, requests_ms = await page.evaluate("measured.take()")
        self.tasks_ms += tasks_ms
        self.requests_ms += requests_ms


@attrs.frozen(kw_only=True)
class Memory:
    """What the page and the service hold at a time, after the page's garbage has been collected."""

    heap_bytes: float
    nodes: float
    listeners: float
    service_bytes: float


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print three tables; each repeat is one more load, and one more minute of refresh, after the first."""
    from tests.support.browser import running_chromium  # noqa: PLC0415 - other benchmarks need no Playwright

    chromium = find_program("chromium", "chromium-browser", "google-chrome")
    minutes = repeats + 1
    async with (
        asyncio.timeout(_SET_UP_S + minutes * _MINUTE_S),
        running_site(scratch, kernels=SESSIONS) as site,
        running_service(scratch, statistics_url=site.valkey.url, metrics_url=site.prometheus.url) as service,
        running_chromium(chromium) as browser,
    ):
        title = f"{SESSIONS:,} sessions, {site.versions}"
        report.progress(title)
        loads = {"the first load after the start of all servers": 1, f"{repeats} cold loads": repeats}
        phases = [
            await _phase(name, service, partial(load, browser=browser, url=service.url, loads=count))
            for name, count in loads.items()
        ]
        async with open_page(browser, service.url) as page:
            await page.evaluate("measured.firstRows.then(measured.take)")  # what a load costs is known
            memory: list[Memory] = []
            for name, run in {
                "scrolling by wheel": partial(scroll, page=page),
                f"{_JUMPS} jumps": partial(jump, page=page),
                f"{minutes} minutes of refresh": partial(
                    refresh, page=page, service=service, minutes=minutes, memory=memory
                ),
            }.items():
                report.progress(name)
                phases.append(await _phase(name, service, run))
        report.add(_page_table(f"the page, {title}, Chromium {browser.version}", phases, loads=len(loads)))
        report.add(_service_table(f"the service of the page, {title}", phases))
        report.add(_memory_table(f"memory while the page refreshes, {title}", memory))


@asynccontextmanager
async def open_page(browser: Browser, url: str) -> AsyncGenerator[Page]:
    """Open the page with nothing in its cache within the block."""
    context = await browser.new_context()
    try:
        context.set_default_timeout(_PATIENCE_MS)
        await context.add_init_script(f"{{{_OBSERVE}}}")
        page = await context.new_page()
        await page.goto(url)
        yield page
    finally:
        await context.close()


async def load(phase: Phase, *, browser: Browser, url: str, loads: int) -> None:
    """Open the page some times, and take the time from the navigation to the first rows."""
    for _ in range(loads):
        async with open_page(browser, url) as page:
            phase.rows_ms.append(await page.evaluate("measured.firstRows"))
            await phase.take(page)


async def scroll(phase: Phase, *, page: Page) -> None:
    """Turn the wheel from the first row to the last one."""
    grid = page.get_by_role("table")
    await grid.hover()
    rest_px, last = await grid.evaluate("(grid) => [grid.scrollHeight - grid.clientHeight, grid.ariaRowCount]")
    async with _traced(phase, page):
        while rest_px > 0:
            await page.mouse.wheel(0, _WHEEL_PX)
            await asyncio.sleep(_WHEEL_S)
            rest_px -= _WHEEL_PX
        await page.locator(f'[aria-rowindex="{last}"] [role=rowheader]').wait_for()
    await phase.take(page)


async def jump(phase: Phase, *, page: Page) -> None:
    """Go to rows that are far from each other, and take the time until the row is there."""
    total = int(await page.get_by_role("table").get_attribute("aria-rowcount") or "") - 1
    async with _traced(phase, page):
        for number in range(1, _JUMPS + 1):
            phase.rows_ms.append(await page.evaluate("(number) => measured.jump(number)", number * _STRIDE % total))
    await phase.take(page)


async def refresh(phase: Phase, *, page: Page, service: TimedService, minutes: int, memory: list[Memory]) -> None:
    """Leave the page alone at the first rows, and add after each minute what it and the service hold."""
    await page.evaluate("measured.jump(0)")
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    for _ in range(minutes):
        await asyncio.sleep(_MINUTE_S)
        await phase.take(page)
        memory.append(await _memory(devtools, service))
        await page.evaluate("measured.take()")  # the collection of garbage is a long task itself
    await page.get_by_role("banner").get_by_role("status").filter(has_text="Live").wait_for()  # its requests are answered


@asynccontextmanager
async def _traced(phase: Phase, page: Page) -> AsyncGenerator[None]:
    """Let Chromium record the CPU time of each task within the block."""
    browser = page.context.browser
    assert browser is not None
    await browser.start_tracing(page=page, categories=["toplevel"])
    yield
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    mains = {_thread_of(event) for event in events if event.get("args", {}).get("name") == "CrRendererMain"}
    phase.most_cpu_ms = max(event.get("tdur", 0) for event in events if _thread_of(event) in mains) / 1e3  # in µs


def _thread_of(event: Mapping[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


async def _memory(devtools: CDPSession, service: TimedService) -> Memory:
    await devtools.send("HeapProfiler.collectGarbage")
    metrics: dict[str, Any] = await devtools.send("Performance.getMetrics")
    values = {metric["name"]: metric["value"] for metric in metrics["metrics"]}
    return Memory(
        heap_bytes=values["JSHeapUsedSize"],
        nodes=values["Nodes"],
        listeners=values["JSEventListeners"],
        service_bytes=psutil.Process(service.pid).memory_info().rss,
    )


async def _phase(name: str, service: TimedService, run: Callable[[Phase], Awaitable[None]]) -> Phase:
    phase, start_s, before_s = Phase(name), time.monotonic(), cpu_s(service.pid)
    await run(phase)
    phase.cpu_ms = (cpu_s(service.pid) - before_s) * 1e3
    phase.turns = service.turns_since(start_s)
    return phase


def _page_table(title: str, phases: Sequence[Phase], *, loads: int) -> Table:
    """Compare what the page did; the first phases are loads."""
    return Table(
        title=title,
        subject="what the page does",
        rows=[
            Row(
                contender=phase.name,
                figures={
                    **_median_and_worst("rows", phase.rows_ms),
                    "long tasks": len(phase.tasks_ms),
                    "longest task ms": max(phase.tasks_ms, default=0.0),
                    **({} if phase.most_cpu_ms is None else {"most CPU of a task ms": phase.most_cpu_ms}),
                },
                goals={"rows worst ms": Goal(2_000.0)} if number < loads else {"longest task ms": Goal(100.0)},
            )
            for number, phase in enumerate(phases)
        ],
        notes=[
            "*rows* is the time from a navigation to the first rows on the screen, and from a jump to its row",
            "A task is long from 50 ms on, with its waits for a core; *longest task* is 0 where none is long",
        ],
    )


def _service_table(title: str, phases: Sequence[Phase]) -> Table:
    return Table(
        title=title,
        subject="what the page does",
        rows=[
            Row(
                contender=phase.name,
                figures={
                    "requests": len(phase.requests_ms),
                    **_median_and_worst("wall", phase.requests_ms),
                    "CPU ms a request": phase.cpu_ms / max(1, len(phase.requests_ms)),
                    **_turns(phase.turns),
                },
                goals={"longest turn ms": Goal(_TURN_MS)},
            )
            for phase in phases
        ],
        notes=[
            "*wall* is the time of a request in the browser, *CPU* the time of the service's process",
            "A turn is what the event loop runs between two waits for events; *longest turn* leaves out waits for a core",
        ],
    )


def _turns(turns: Sequence[Turn]) -> Mapping[str, float]:
    held_ms = [turn.held_s * 1e3 for turn in turns]
    return {
        "longest turn ms": max(held_ms, default=0.0),
        f"turns over {_TURN_MS:g} ms": sum(ms > _TURN_MS for ms in held_ms),
        "with waits for a core ms": max((turn.wall_s * 1e3 for turn in turns), default=0.0),
    }


def _memory_table(title: str, memory: Sequence[Memory]) -> Table:
    """Compare the last minutes with as many of the first ones, without the very first one, in which caches are filled."""
    minutes = range(2, len(memory) + 1)
    third = max(1, len(minutes) // 3)
    first, last = minutes[:third], minutes[-third:]

    def row(name: str, value: Callable[[Memory], float]) -> Row:
        at_first, at_last = (statistics.median(value(memory[minute - 1]) for minute in part) for part in (first, last))
        figures = {
            f"at first, minutes {first[0]} to {first[-1]}": at_first,
            f"at last, minutes {last[0]} to {last[-1]}": at_last,
            "ratio": at_last / at_first,
        }
        return Row(contender=name, figures=figures, goals={"ratio": _FLAT})

    return Table(
        title=title,
        subject="what is held",
        rows=[
            row("JavaScript heap MB", lambda held: held.heap_bytes / 1e6),
            row("nodes", lambda held: held.nodes),
            row("event listeners", lambda held: held.listeners),
            row("resident memory of the service MB", lambda held: held.service_bytes / 1e6),
        ],
        notes=["Medians of a value at the end of each minute, after the page's garbage was collected"],
    )


def _median_and_worst(name: str, times_ms: Sequence[float]) -> Mapping[str, float]:
    return {f"{name} p50 ms": statistics.median(times_ms), f"{name} worst ms": max(times_ms)} if times_ms else {}
