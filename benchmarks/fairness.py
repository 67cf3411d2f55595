"""Measures what a caller of 10,000 sessions adds to the 99th percentile of another caller of the same host."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from report import Goal, Report, Row, Table
from server_process import running_caller
from serving import INFERENCE, Host, running_host
from timing import Sample, Stopwatch, in_rotation, percentile
from workload import stored

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

SESSIONS: Final = 10_000
WINDOW_S: Final = 3.0
ADDED_MS: Final = "p99 added ms"
_PAGE: Final = 1_000

Question = tuple[str, str, str]
"""The method, the path and the body of a request."""


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    beside: dict[str, tuple[list[Question], dict[str, Goal]]] = {
        "alone": ([], {}),
        "beside 10,000 sessions in one page": ([_page(SESSIONS, 0)], {ADDED_MS: Goal(80)}),
        "beside 10,000 sessions in ten pages": (
            [_page(_PAGE, offset) for offset in range(0, SESSIONS, _PAGE)],
            {ADDED_MS: Goal(20)},
        ),
        "beside 10,000 sessions over REST": ([("GET", f"/rest/inference?limit={SESSIONS}", "")], {}),
    }
    async with stored(scratch, kernels=1, sessions=SESSIONS) as source:
        for freezes in (True, False):
            async with running_host(source.server.url, sessions=SESSIONS, freezes=freezes) as host:
                times_s: dict[str, list[float]] = {name: [] for name in beside}
                samples: list[Sample] = []
                for repeat in range(max(1, repeats // 4)):
                    for name in in_rotation(list(beside), repeat):
                        report.progress(f"a small query {name}")
                        async with AsyncExitStack() as stack:
                            helpers = [*source.helpers]
                            if questions := beside[name][0]:
                                helpers.append(await stack.enter_async_context(running_caller(_ask, host.url, questions)))
                            stopwatch = Stopwatch(pid=host.pid, helpers=helpers)
                            times_s[name] += await _small_queries_s(host)
                            samples.append(stopwatch.stop())
                frozen = "with gc.freeze()" if freezes else "without gc.freeze()"
                rows = [
                    _row(name, times_s[name], times_s["alone"], goals if freezes else {})
                    for name, (_, goals) in beside.items()
                ]
                title = f"a query of one session beside another caller, {frozen} after start-up, {source.version}"
                disturbed = sum(sample.disturbed for sample in samples)
                note = f"Of {len(samples)} periods, {disturbed} were disturbed by steal or another process; all are kept"
                report.add(Table(title=title, rows=rows, notes=[note]))


def _row(name: str, times_s: Sequence[float], alone_s: Sequence[float], goals: dict[str, Goal]) -> Row:
    times_s, alone_s = sorted(times_s), sorted(alone_s)
    p50_s, p99_s = percentile(times_s, 0.5), percentile(times_s, 0.99)
    figures = {"queries": float(len(times_s)), "p50 ms": p50_s * 1e3, "p99 ms": p99_s * 1e3}
    if name != "alone":
        figures[ADDED_MS] = (p99_s - percentile(alone_s, 0.99)) * 1e3
    return Row(contender=name, figures=figures, goals=goals)


async def _small_queries_s(host: Host) -> list[float]:
    times_s: list[float] = []
    end = time.monotonic() + WINDOW_S
    while time.monotonic() < end:
        started = time.perf_counter()
        await host.graphql(INFERENCE, limit=1)
        times_s.append(time.perf_counter() - started)
    return times_s


def _page(limit: int, offset: int) -> Question:
    return "POST", "/graphql", json.dumps({"query": INFERENCE, "variables": {"limit": limit, "offset": offset}})


def _ask(url: str, questions: Sequence[Question], answered: Event) -> None:
    """Ask the questions over and over."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    while True:
        for method, path, body in questions:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            assert response.status == http.HTTPStatus.OK, answer[:500]
        answered.set()
