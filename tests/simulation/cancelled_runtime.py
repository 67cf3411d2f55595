"""The coroutines that open ports, run others together, and run in the background, with calls of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import Any

import attrs
from tests.simulation.cancelled_cases import Call, Subject
from tests.simulation.cancelled_graphql import plugins
from tests.simulation.cancelled_statistics import KERNEL_IDS, value
from tests.simulation.cancelled_world import NOW, PROMETHEUS, VALKEY, Ports, on_memory, on_servers, querier

from statcore import concurrency, runtime
from statcore.concurrency import Deadline
from statcore.errors import UnavailableError
from statcore.runtime import Settings
from statcore_collector import Collector
from statcore_web import Observation

SETTINGS = Settings(
    statistics_url=VALKEY,
    metrics_url=PROMETHEUS,
    statistics_options={"pool_size": 2},
    metrics_options={"max_connections": 2},
)
AGENT = "i-9"


def within(open_: Callable[..., AbstractAsyncContextManager[Any]], use: Call) -> Call:
    """Return a call that opens something by the settings, uses it, and closes it."""

    async def call(_: object) -> object:
        async with open_(SETTINGS, plugins()) as opened:
            return await use(opened)

    return call


async def read_both(opened: Any) -> object:
    """Read from both ports of a runtime, over several connections."""
    batch, *answers = await asyncio.gather(
        opened.repository.get_kernel_statistics_batch(KERNEL_IDS[:2]),
        opened.repository.get_inference_metrics_batch(KERNEL_IDS[:1]),
        opened.metrics.query_utilization_now(querier(2), time=NOW),
        opened.metrics.query_utilization_now(querier(3), time=NOW),
    )
    return repr([list(batch), answers])


async def work(number: int) -> int:
    """Return a number after a while."""
    await asyncio.sleep(number / 100)
    return number


async def retried() -> int:
    """Return the result of the third attempt."""
    attempts = iter(range(1, 4))

    async def attempt() -> int:
        if (number := await work(next(attempts))) < 3:
            raise UnavailableError("not yet", service="none")
        return number

    async with Deadline(60, waiting_for="an attempt") as deadline:
        return await concurrency.retry(
            attempt, deadline=deadline, is_retryable=attrgetter("retryable"), first_pause_s=0.1, longest_pause_s=1
        )


async def ended_tasks() -> int:
    """End tasks that clean up for a while."""

    async def cleaning() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(cleaning()) for _ in range(3)]
    try:
        await asyncio.sleep(0)
    finally:
        await concurrency.end_tasks(tasks)
    return len(tasks)


async def slices() -> object:
    """Return the slices of a sequence."""
    return [part async for part in concurrency.in_turns(range(10), size=3)]


async def watched(ports: Ports) -> object:
    """Read while the event loop is watched."""
    async with Observation().watching_loop():
        return [*await ports.statistics.fetch_kernel_statistics(KERNEL_IDS[:1])]


@attrs.frozen
class Agent:
    """A collector, and the store that it writes to."""

    ports: Ports
    collector: Collector

    async def collect(self) -> object:
        """Do a round, and return what kinds of metrics are stored then."""
        await self.collector.collect()
        return await self._stored()

    async def run(self) -> object:
        """Do rounds for a while, and withdraw."""
        stop = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(2.5 * self.collector.interval_s, stop.set)
        try:
            await self.collector.run(stop)
        finally:
            timer.cancel()
        return await self._stored()

    async def withdraw(self) -> object:
        """Do a round, and withdraw."""
        await self.collector.collect()
        await self.collector.withdraw()
        return await self._stored()

    async def _stored(self) -> object:
        (entry,) = await self.ports.statistics.fetch_agent_statistics([AGENT])
        return entry and sorted(entry)


SUBJECTS = [
    Subject(
        home=runtime,
        ports=on_servers,
        is_client=True,
        calls={
            "open_runtime": [within(runtime.open_runtime, read_both)],
            "open_statistics": [
                within(runtime.open_statistics, lambda store: store.fetch_agent_statistics(["i-1"])),
                within(runtime.open_statistics, lambda store: store.fetch_agent_statistics(["i-2"])),
            ],
            "open_sink": [
                within(runtime.open_sink, lambda sink: sink.store_kernel_statistics({KERNEL_IDS[6]: value(66)})),
                within(runtime.open_sink, lambda sink: sink.store_kernel_statistics({KERNEL_IDS[3]: value(33)})),
            ],
            "open_metrics": [
                within(runtime.open_metrics, lambda metrics: metrics.query_utilization_now(querier(2), time=NOW)),
                within(runtime.open_metrics, lambda metrics: metrics.query_utilization_now(querier(3), time=NOW)),
            ],
        },
    ),
    Subject(
        home=concurrency,
        ports=on_memory,
        calls={
            "run_concurrently": [lambda _: concurrency.run_concurrently(map(work, range(4)))],
            "run_both": [lambda _: concurrency.run_both(work(1), work(2))],
            "map_concurrently": [lambda _: concurrency.map_concurrently(range(9), work)],
            "map_keeping_errors": [lambda _: concurrency.map_keeping_errors(range(9), work)],
            "retry": [lambda _: retried()],
            "end_tasks": [lambda _: ended_tasks()],
            "give_way": [lambda _: concurrency.give_way()],
            "in_thread": [lambda _: concurrency.in_thread(lambda: 1)],
            "in_turns": [lambda _: slices()],
        },
    ),
    Subject(home=Observation, ports=on_servers, calls={"watching_loop": [watched]}),
    Subject(
        home=Collector,
        ports=on_servers,
        of=lambda ports: Agent(ports, Collector(ports.sink, agent_id=AGENT)),
        calls={
            "collect": [lambda agent: agent.collect()],
            "run": [lambda agent: agent.run()],
            "withdraw": [lambda agent: agent.withdraw()],
        },
    ),
]
