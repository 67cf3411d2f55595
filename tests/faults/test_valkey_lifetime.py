"""Closing a store, cancellation meanwhile, and event loops: no connection is left, and each call says so."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgpack
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from tests.support.cancelling import cancelled_after, expect_count

from statcore.errors import ClosedError, InputError
from statcore.model import MetricValue, StatisticsBatch
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
METRICS = {"mem": {"current": "1"}}
OPTIONS = ValkeyOptions(timeout_s=30, pool_size=1)
TURNS = 40
"""More turns of the event loop than closing takes: after so many, the task is done, and cancelling it changes nothing."""


@pytest.fixture
def connections(valkey: Server) -> Callable[[], int]:
    """Return a function that counts the connections of a server without the one that counts."""

    def count() -> int:
        with Redis(host="127.0.0.1", port=valkey.port) as client:
            return len(client.client_list()) - 1

    return count


@pytest.mark.parametrize("turns", range(1, TURNS))
async def test_a_cancelled_close_leaves_no_connection(valkey: Server, connections: Callable[[], int], turns: int) -> None:
    """Closing is cancelled at each await, with several connections to each database."""
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
    """A call is cancelled while it connects, authenticates or reads; closing then closes everything."""
    before = connections()
    store = ValkeyStatistics.from_url(valkey.url)
    await cancelled_after(turns, store.fetch_inference_metrics([KERNEL]))
    await store.aclose()
    await expect_count(before, connections)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_runtime_left_or_opened_half_way_leaves_no_connection(
    valkey: Server, connections: Callable[[], int], turns: int
) -> None:
    """Entering and leaving the runtime are cancelled at each await."""
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
    """The store, which was opened first, is closed when the metric backend fails."""
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


@pytest.fixture
def planted(valkey: Server) -> Server:
    """A server with one kernel."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set(KERNEL, msgpack.packb(METRICS))
    return valkey


def in_another_loop(call: Callable[[], Awaitable[object]]) -> object:
    """Await a call in an event loop of another thread, and return its result or its error."""
    results: list[object] = []

    async def await_call() -> object:
        return await call()

    def run() -> None:
        try:
            results.append(asyncio.run(await_call()))
        except Exception as error:  # noqa: BLE001 - whatever it is
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture(params=["url", "clients"])
async def store(request: pytest.FixtureRequest, planted: Server) -> AsyncIterator[ValkeyStatistics]:
    """Return a store with its own connections, or one over the host's clients."""
    async with AsyncRedis(host="127.0.0.1", port=planted.port) as client:
        if request.param == "url":
            async with aclosing(ValkeyStatistics.from_url(planted.url, options=OPTIONS)) as opened:
                yield opened
        else:
            yield ValkeyStatistics.from_clients(client, client, options=OPTIONS)


async def test_calls_in_a_second_loop_raise_and_the_first_loop_goes_on(store: ValkeyStatistics) -> None:
    """Every call there raises at once, closing too; calls of the first loop are answered before, meanwhile and after."""
    assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))
    for call in (
        lambda: store.fetch_kernel_statistics([KERNEL]),
        lambda: store.fetch_inference_metrics([KERNEL]),
        store.aclose,
    ):
        error = in_another_loop(call)
        assert isinstance(error, ClosedError)
        assert "belongs to another event loop" in str(error)
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))


async def test_a_sink_in_a_second_loop_raises(planted: Server) -> None:
    """A sink raises in another event loop, and writes nothing."""
    async with aclosing(ValkeyStatisticsSink.from_url(planted.url, options=OPTIONS)) as sink:
        await sink.store_container_count("i-1", 1)
        error = in_another_loop(lambda: sink.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="2")}}))
        assert isinstance(error, ClosedError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the other loop left its connection open
async def test_a_hosts_client_of_another_loop_is_refused(planted: Server) -> None:
    """Its connection belongs to a loop that has ended; the call raises an error of ours, and the next call works."""
    client = AsyncRedis(host="127.0.0.1", port=planted.port)
    in_another_loop(client.ping)
    store = ValkeyStatistics.from_clients(client, client, options=OPTIONS)
    with pytest.raises(ClosedError, match="another event loop, or its loop is closed"):
        await store.fetch_kernel_statistics([KERNEL])
    assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))
    await client.aclose()
    gc.collect()


async def test_a_store_whose_loop_is_gone_can_be_closed(planted: Server) -> None:
    """Calls raise after its event loop has ended, but closing is allowed."""
    store = ValkeyStatistics.from_url(planted.url, options=OPTIONS)

    async def use() -> None:
        await store.ping()
        await store.aclose()

    in_another_loop(use)
    with pytest.raises(ClosedError):
        await store.ping()
    await store.aclose()


async def test_a_closed_store_says_so(store: ValkeyStatistics, planted: Server) -> None:
    """Each call raises at once, also a call under way; closing twice is allowed, and the host's clients stay open."""
    await store.ping()
    await store.aclose()
    await store.aclose()
    for call in (store.ping(), store.fetch_kernel_statistics([KERNEL]), store.fetch_inference_metrics([KERNEL])):
        with pytest.raises(ClosedError, match=f"127.0.0.1:{planted.port}.* is closed"):
            await call


async def test_calls_under_way_end_when_the_store_is_closed(planted: Server, tcp_proxy: Callable[..., Any]) -> None:
    """Calls that wait for an answer or for a connection raise."""
    proxy = await tcp_proxy(planted.port)
    store = ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=OPTIONS)
    await store.ping()
    proxy.hold()
    calls = [asyncio.create_task(store.fetch_kernel_statistics([KERNEL])) for _ in range(3)]
    await proxy.held.wait()
    await store.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [ClosedError] * 3 == [type(result) for result in results]
    proxy.let_go()
