"""Closing, cancelled at any await, leaves no connection: the server's own list of clients is the witness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis

from statcore.errors import ClosedError, InputError
from statcore.model import StatisticsBatch
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
TURNS = 40
"""More turns of the event loop than closing takes: after so many, the task is done, and cancelling it changes nothing."""


@pytest.fixture
def connections(valkey: Server) -> Callable[[], int]:
    """Count the connections of a server but for that which counts."""

    def count() -> int:
        with Redis(host="127.0.0.1", port=valkey.port) as client:
            return len(client.client_list()) - 1  # type: ignore[arg-type]

    return count


async def cancelled_after(turns: int, work: Coroutine[Any, Any, object]) -> None:
    """Start work, let the event loop turn so many times, and cancel it."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def expect_count(expected: int, connections: Callable[[], int]) -> None:
    """Wait until the server has so many connections; fail where it keeps others."""
    async with asyncio.timeout(30):
        while expected != connections():  # noqa: ASYNC110 - the server notices when it does
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("turns", range(1, TURNS))
async def test_a_cancelled_close_leaves_no_connection(valkey: Server, connections: Callable[[], int], turns: int) -> None:
    """At whichever await it is cancelled, with several connections to each database."""
    before = connections()
    store = ValkeyStatistics.from_url(valkey.url, options=ValkeyOptions(pool_size=4))
    calls = [
        call
        for _ in range(4)
        for call in (store.fetch_kernel_statistics([KERNEL]), store.fetch_inference_metrics([KERNEL]))
    ]
    await asyncio.gather(*calls)
    assert before + 2 < connections()
    await cancelled_after(turns, store.aclose())
    await expect_count(before, connections)


@pytest.mark.parametrize("turns", range(0, TURNS, 3))
async def test_closing_while_connections_are_made_leaves_none(
    valkey: Server, connections: Callable[[], int], turns: int
) -> None:
    """A call that is connecting gets no answer and leaves no connection."""
    before = connections()
    store = ValkeyStatistics.from_url(valkey.url)
    calls = [asyncio.create_task(store.fetch_inference_metrics([KERNEL])) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await store.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {ClosedError, StatisticsBatch} >= {type(result) for result in results}
    await expect_count(before, connections)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_cancelled_call_leaves_no_connection_behind(
    valkey: Server, connections: Callable[[], int], turns: int
) -> None:
    """Cancelled while it connects, greets or reads; closing afterwards closes everything."""
    before = connections()
    store = ValkeyStatistics.from_url(valkey.url)
    await cancelled_after(turns, store.fetch_inference_metrics([KERNEL]))
    await store.aclose()
    await expect_count(before, connections)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_runtime_left_or_opened_half_way_leaves_no_connection(
    valkey: Server, connections: Callable[[], int], turns: int
) -> None:
    """The exit and the entrance of the whole runtime, cancelled at any await."""
    before = connections()
    settings = Settings(statistics_url=valkey.url, metrics_url="memory://")
    registry = PluginRegistry.discover()
    leaving = asyncio.Event()

    async def use() -> None:
        async with open_runtime(settings, registry) as runtime:
            await runtime.statistics.ping()
            leaving.set()

    await cancelled_after(turns, use())
    await expect_count(before, connections)
    leaving.clear()
    task = asyncio.create_task(use())
    await leaving.wait()
    for _ in range(turns // 4):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await expect_count(before, connections)


async def test_a_backend_that_fails_to_open_closes_the_store(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened first is closed, whatever stops the second."""
    closed: list[ValkeyStatistics] = []
    right = ValkeyStatistics.aclose

    async def close(store: ValkeyStatistics) -> None:
        await right(store)
        closed.append(store)

    monkeypatch.setattr(ValkeyStatistics, "aclose", close)
    settings = Settings(statistics_url=valkey.url, metrics_url="memory://", metrics_options={"no": "such setting"})
    with pytest.raises(InputError, match="no setting 'no'"):
        await open_runtime(settings, PluginRegistry.discover()).__aenter__()
    assert 1 == len(closed)
