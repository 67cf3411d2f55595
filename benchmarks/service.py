"""Measures 50 callers of the service at once, each with a token, alone and beside a token that has reached its limit."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from report import Goal, Report, Row, Table
from server_process import running_caller
from serving import LIVE, Host, running_host
from timing import Sample, Stopwatch, in_rotation, percentile
from workload import stored

from statcore_web import new_secret, secret_hash

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

SESSIONS: Final = 1_000
PAGE: Final = 100
CALLERS: Final = 50
P99_OF_P50: Final = "p99 / p50"
P50_RATIO: Final = "p50 ratio"
ALONE: Final = "alone"
BESIDE: Final = "beside a token at its limit"
_REQUESTS: Final = 2_000
_BODY: Final = json.dumps({"query": LIVE, "variables": {"limit": PAGE, "offset": 0}}).encode()
_PATH: Final = "/service/graphql"


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    tokens = scratch / "tokens.toml"
    secrets = write_tokens(tokens)
    async with (
        stored(scratch, kernels=SESSIONS, sessions=SESSIONS) as source,
        running_host(source.server.url, sessions=SESSIONS, tokens=tokens) as host,
    ):
        times_s: dict[str, list[float]] = {ALONE: [], BESIDE: []}
        samples: list[Sample] = []
        title = f"{CALLERS} callers of pages of {PAGE} sessions, {source.version}"
        run = partial(pages_s, host, secrets["callers"])
        await run(_REQUESTS // 10)  # connects
        for repeat in range(max(1, repeats // 2)):
            for name in in_rotation([ALONE, BESIDE], repeat):
                report.progress(f"{title}, {name}")
                async with AsyncExitStack() as stack:
                    helpers = [*source.helpers]
                    if name == BESIDE:
                        caller = running_caller(be_refused, host.url, secrets["limited"])
                        helpers.append(await stack.enter_async_context(caller))
                    stopwatch = Stopwatch(pid=host.pid, helpers=helpers)
                    times_s[name] += await run(_REQUESTS)
                    samples.append(stopwatch.stop())
        rows = [_row(name, times_s[name], times_s[ALONE]) for name in times_s]
        disturbed = sum(sample.disturbed for sample in samples)
        note = f"Of {len(samples)} periods, {disturbed} were disturbed by steal or another process; all are kept"
        report.add(Table(title=title, rows=rows, notes=[f"Ratios to: {ALONE}", note]))
        if report.profiles and any(row.missed for row in rows):
            report.add_profile(title, await host.profile(partial(run, _REQUESTS // 10)))


def write_tokens(path: Path) -> Mapping[str, str]:
    """Write a file with a token for the callers and one that may make a request in 1,000 seconds; return the secrets."""
    secrets = {"callers": new_secret(), "limited": new_secret()}
    rates = {"callers": "", "limited": "requests_per_s = 0.001\n"}
    tables = (
        f'[tokens.{name}]\nhash = "{secret_hash(secret)}"\nscope = "everything"\n{rates[name]}'
        for name, secret in secrets.items()
    )
    path.write_text("".join(tables))
    return secrets


async def pages_s(host: Host, secret: str, requests: int) -> list[float]:
    """Let the callers request pages without a pause, and return how long each of the requests took, in seconds."""
    times_s: list[float] = []
    numbers = count()

    async def call() -> None:
        while next(numbers) < requests:
            started = time.perf_counter()
            async with host.client.post(host.url + _PATH, data=_BODY, headers=headers_of(secret)) as response:
                answer = await response.read()
            times_s.append(time.perf_counter() - started)
            assert response.status == HTTPStatus.OK, answer[:500]
            assert b'"errors"' not in answer, answer[:500]

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return times_s


def headers_of(secret: str) -> dict[str, str]:
    """Return the headers of a request."""
    return {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}


def be_refused(url: str, secret: str, refused: Event) -> None:
    """Send requests with a token over and over, of which nearly all are refused."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    while True:
        connection.request("POST", _PATH, _BODY, headers_of(secret))
        response = connection.getresponse()
        response.read()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            refused.set()


def _row(name: str, times_s: list[float], alone_s: list[float]) -> Row:
    p50_s, p99_s = (percentile(sorted(times_s), share) for share in (0.5, 0.99))
    figures = {
        "requests": float(len(times_s)),
        "p50 ms": p50_s * 1e3,
        "p99 ms": p99_s * 1e3,
        P99_OF_P50: p99_s / p50_s,
        P50_RATIO: p50_s / percentile(sorted(alone_s), 0.5),
    }
    goals = {P99_OF_P50: Goal(3.0), **({P50_RATIO: Goal(1.25)} if name == BESIDE else {})}
    return Row(contender=name, figures=figures, goals=goals)
