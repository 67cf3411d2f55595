"""Cancelled calls: an answer that arrives later is never read by the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeAlias
from unittest.mock import AsyncMock
from uuid import uuid4

import msgpack
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from tests.faults.proxy import StartProxy, TcpProxy
from tests.support.valkey_readers import metrics

from statcore.model import MetricValue
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

Call: TypeAlias = Callable[[ValkeyStatistics, list[str]], Coroutine[Any, Any, object]]


def plant(server: Server, count: int) -> list[str]:
    """Store the metrics of `count` kernels, and return their ids."""
    ids = [str(uuid4()) for _ in range(count)]
    with Redis(host="127.0.0.1", port=server.port) as client:
        for number, id_ in enumerate(ids):
            client.set(id_, msgpack.packb(metrics(number)), ex=86_400)
    return ids


async def cancel_once_the_answer_is_held(proxy: TcpProxy, call: Coroutine[Any, Any, object]) -> None:
    """Start a call, cancel it while the proxy has its answer, and then let the answer go."""
    proxy.hold()
    task = asyncio.create_task(call)
    await proxy.held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proxy.let_go()


SINGLE = ValkeyOptions(pool_size=1)
PIPELINED = ValkeyOptions(pool_size=1, freshness_s=600)


@pytest.mark.parametrize("options", [SINGLE, PIPELINED], ids=["single", "pipelined"])
async def test_the_next_caller_gets_its_own_data(valkey: Server, tcp_proxy: StartProxy, options: ValkeyOptions) -> None:
    """A single command and many commands in one exchange leave no answer on the only connection."""
    ids = plant(valkey, 3)
    proxy = await tcp_proxy(valkey.port)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store:
        assert [metrics(0)] == list(await store.fetch_kernel_statistics(ids[:1]))
        for _ in range(3):
            await cancel_once_the_answer_is_held(proxy, store.fetch_kernel_statistics(ids[:2]))
            assert [metrics(2)] == list(await store.fetch_kernel_statistics(ids[2:]))
            await store.ping()


async def test_the_next_caller_of_the_hosts_client_gets_its_own_data(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The connection goes back into the host's pool, where other code uses it."""
    ids = plant(valkey, 2)
    proxy = await tcp_proxy(valkey.port)
    async with AsyncRedis(host="127.0.0.1", port=proxy.port, max_connections=1) as client:
        store = ValkeyStatistics.from_clients(client, client)
        await store.ping()
        await cancel_once_the_answer_is_held(proxy, store.fetch_kernel_statistics(ids[:1]))
        assert msgpack.packb(metrics(1)) == await client.get(ids[1])


async def test_a_cancellation_that_the_hosts_client_loses_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12, a client with a time-out raises the error of a write that fails as the call is cancelled."""
    writing = asyncio.Event()

    async def write(*_: object, **__: object) -> None:
        writing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the connection was reset") from None

    async with AsyncRedis(host="127.0.0.1", port=1) as client:
        monkeypatch.setattr(client.connection_pool, "ensure_connection", AsyncMock())
        monkeypatch.setattr(client.connection_pool.connection_class, "send_packed_command", write)
        store = ValkeyStatistics.from_clients(client, client)
        task = asyncio.create_task(store.fetch_kernel_statistics(["k-1"]))
        await writing.wait()
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()


async def test_a_cancelled_write_leaves_nothing_for_a_read(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The confirmation of the write is not read as the answer to the read."""
    ids = plant(valkey, 2)
    proxy = await tcp_proxy(valkey.port)
    async with AsyncRedis(host="127.0.0.1", port=proxy.port, max_connections=1) as client:
        store, sink = (kind.from_clients(client, client) for kind in (ValkeyStatistics, ValkeyStatisticsSink))
        assert isinstance(store, ValkeyStatistics)
        assert isinstance(sink, ValkeyStatisticsSink)
        await store.ping()
        entries = {id_: {"mem": MetricValue(current="9")} for id_ in ids}
        await cancel_once_the_answer_is_held(proxy, sink.store_kernel_statistics(entries))
        batch = await store.fetch_kernel_statistics(ids)
        assert ["9", "9"] == [entry["mem"]["current"] for entry in batch if entry is not None]


async def test_the_rest_of_a_cancelled_answer_is_dropped(valkey: Server, tcp_proxy: StartProxy) -> None:
    """Calls are cancelled between the pieces of an answer, at many places."""
    ids = plant(valkey, 40)
    proxy = await tcp_proxy(valkey.port, piece=97)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=PIPELINED)) as store:
        for turns in range(60):
            task = asyncio.create_task(store.fetch_kernel_statistics(ids))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_running = task.cancel()
            await asyncio.wait([task])
            assert was_running == task.cancelled()
            assert [metrics(7), metrics(3)] == list(await store.fetch_kernel_statistics([ids[7], ids[3]]))


async def test_a_caller_cancelled_while_it_waits_takes_no_connection(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The connection is free for the next caller once its holder is done."""
    ids = plant(valkey, 2)
    proxy = await tcp_proxy(valkey.port)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=SINGLE)) as store:
        proxy.hold()
        holding = asyncio.create_task(store.fetch_kernel_statistics(ids[:1]))
        await proxy.held.wait()
        waiting = asyncio.create_task(store.fetch_kernel_statistics(ids[1:]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        proxy.let_go()
        assert [metrics(0)] == list(await holding)
        assert [metrics(1)] == list(await store.fetch_kernel_statistics(ids[1:]))
    assert 1 == proxy.connections
