"""The demo's course: collect, hand over, read back; once a second until it is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count

from statcore.ports import ScrapeSinkPort
from statcore_cli.demo.children import Child
from statcore_cli.demo.reading import Reading, read
from statcore_cli.demo.stage import AGENT_ID, INTERVAL_S, Stage


async def readings(
    stage: Stage, children: Sequence[Child], stop: asyncio.Event, *, rounds: int | None = None
) -> AsyncGenerator[Reading]:
    """Yield what can be read back after every round, until `stop` is set or that many `rounds` are done.

    Raises:
        StatcoreError: a round cannot be collected, or its live statistics cannot be read.
    """
    for child in children:
        stage.collector.add(child.target)
    loop = asyncio.get_running_loop()
    since, started = datetime.now(UTC), loop.time()
    for number in count(1):
        await stage.collector.collect()
        if isinstance(stage.metrics, ScrapeSinkPort):
            stage.metrics.append_scrape(stage.collector.samples(), target=AGENT_ID, time=time.time())
        yield await read(stage, children, since=since, now=datetime.now(UTC))
        if number == rounds:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(started + number * INTERVAL_S):
                await stop.wait()
        if stop.is_set():
            return
