"""Servers that are down, hang, load, fail over or drop connections: retries within one deadline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest
from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from tests.faults.fake_valkey import StartFake
from tests.faults.proxy import StartProxy
from tests.support.polling import until
from tests.support.valkey_readers import refusals

from statcore.errors import StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue
from statcore.statistics import StatisticsStatefulSource
from statcore.testing.servers import Server, free_port, start_program
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, node
from statcore_valkey.error_mapping import from_driver

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
METRICS = {"mem": {"current": "1"}}
SOON = ValkeyOptions(timeout_s=2)
PATIENT = ValkeyOptions(timeout_s=60)
ENOUGH_S = 30
"""Many times the short deadline, so that a slow machine fails no test."""


def plant(server: Server) -> None:
    """Store the metrics of one kernel."""
    with Redis(host="127.0.0.1", port=server.port) as client:
        client.set(KERNEL, msgpack.packb(METRICS))


async def test_a_refused_connection_is_unavailable_in_time() -> None:
    """The call is repeated until the deadline; the error holds the reason and the address."""
    port, options = free_port(), ValkeyOptions(timeout_s=0.3)
    async with (
        aclosing(ValkeyStatistics.from_url(f"valkey://me:hunter2@127.0.0.1:{port}", options=options)) as store,
        asyncio.timeout(ENOUGH_S),
    ):
        for call in (store.ping(), store.fetch_kernel_statistics([KERNEL]), store.fetch_inference_metrics([KERNEL])):
            with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}.*cannot be reached") as error:
                await call
            assert error.value.retryable
            assert "hunter2" not in str(error.value)


async def test_a_server_that_comes_back_is_read_within_the_same_call(
    valkey: Server, tcp_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that began while nothing listened is answered."""
    plant(valkey)
    port, refused = free_port(), asyncio.Event()

    def note(error: Exception, **context: str) -> StatcoreError:
        refused.set()
        return from_driver(error, **context)

    monkeypatch.setattr(node, "from_driver", note)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{port}", options=PATIENT)) as store:
        call = asyncio.create_task(store.fetch_kernel_statistics([KERNEL]))
        await refused.wait()
        await tcp_proxy(valkey.port, port=port)
        assert [METRICS] == list(await call)


async def test_a_restarted_server_is_read_again(start_valkey: Callable[..., Server], tcp_proxy: StartProxy) -> None:
    """Dead connections in the pool make no call fail."""
    first, second = start_valkey(), start_valkey()
    plant(second)
    proxy = await tcp_proxy(first.port)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=PATIENT)) as store:
        assert [None] == list(await store.fetch_kernel_statistics([KERNEL]))
        first.process.terminate()
        first.process.wait()
        proxy.server_port = second.port
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))


async def test_a_reset_connection_is_tried_again(valkey: Server, tcp_proxy: StartProxy) -> None:
    """It may be reset while the answer is under way, or while it is idle in the pool."""
    plant(valkey)
    proxy = await tcp_proxy(valkey.port)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=PATIENT)) as store:
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))
        proxy.hold()
        call = asyncio.create_task(store.fetch_kernel_statistics([KERNEL]))
        await proxy.held.wait()
        proxy.cut()
        proxy.let_go()
        assert [METRICS] == list(await call)
        proxy.cut()
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))
        assert 3 == proxy.connections


async def test_an_exchange_is_tried_again_as_a_whole(fake_valkey: StartFake) -> None:
    """Answers that arrived before a failure are not mixed with answers of the next try."""
    ids = [str(UUID(int=number)) for number in range(1_001)]

    def answers(number: int) -> list[bytes]:
        payload = msgpack.packb({"mem": {"current": str(number)}})
        value = b"$%d\r\n%b\r\n" % (len(payload), payload)
        return [b"*1000\r\n" + value * 1_000, b"*1\r\n" + value]

    reads: list[Callable[[ValkeyStatistics], Awaitable[Any]]] = [
        lambda store: store.fetch_kernel_statistics(ids),
        lambda store: store.fetch_kernel_columns(ids, ["mem.current"]),
    ]
    answered: list[Any] = []
    for read in reads:
        first_try = {b"MGET": [answers(1)[0], b"-LOADING the data set\r\n"]}
        url = await fake_valkey(first_try, {b"MGET": answers(2)})
        async with aclosing(ValkeyStatistics.from_url(url, options=PATIENT)) as store:
            answered.append(await read(store))
    batch, columns = answered
    assert [{"mem": {"current": "2"}}] * 1_001 == list(batch)
    assert ["2"] * 1_001 == list(columns["mem.current"])


async def test_a_hung_server_ends_at_the_deadline(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The error of each call says what was waited for and how long; later calls are answered."""
    plant(valkey)
    proxy = await tcp_proxy(valkey.port)
    url = f"valkey://127.0.0.1:{proxy.port}"
    async with (
        aclosing(ValkeyStatistics.from_url(url, options=SOON)) as store,
        aclosing(ValkeyStatisticsSink.from_url(url, options=SOON)) as sink,
    ):
        await store.ping()
        proxy.hold()
        async with asyncio.timeout(ENOUGH_S):
            for call in (
                store.fetch_kernel_statistics([KERNEL]),
                store.fetch_inference_metrics([KERNEL]),
                store.ping(),
                sink.remove([KERNEL]),
            ):
                with pytest.raises(TimedOutError, match=rf"waited 2 s for .*127\.0\.0\.1:{proxy.port}") as error:
                    await call
                assert 2 == error.value.timeout_s
        proxy.let_go()
        plant(valkey)
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))


async def test_a_server_that_hangs_after_a_reset_ends_at_the_deadline(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The error is the failure of the first attempt, not the deadline of the second."""
    proxy = await tcp_proxy(valkey.port)
    options = ValkeyOptions(timeout_s=3)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store:
        await store.ping()
        proxy.hold()
        call = asyncio.create_task(store.fetch_kernel_statistics([KERNEL]))
        await proxy.held.wait()
        proxy.cut()
        async with asyncio.timeout(ENOUGH_S):
            with pytest.raises(UnavailableError, match=r"cannot be reached: .*reset"):
                await call
        proxy.let_go()


async def test_a_server_that_hangs_while_connecting_ends_at_the_deadline(valkey: Server, tcp_proxy: StartProxy) -> None:
    """The server accepts the connection and sends nothing."""
    proxy = await tcp_proxy(valkey.port)
    proxy.hold()
    async with (
        aclosing(ValkeyStatistics.from_url(f"valkey://me:x@127.0.0.1:{proxy.port}", options=SOON)) as store,
        asyncio.timeout(ENOUGH_S),
    ):
        with pytest.raises(TimedOutError, match="a connection to"):
            await store.fetch_kernel_statistics([KERNEL])


async def test_a_stopped_server_in_the_middle_of_a_large_batch(
    start_valkey: Callable[..., Server], tcp_proxy: StartProxy
) -> None:
    """The whole batch fails in time with an error of ours: half of it would look like kernels that are gone."""
    server = start_valkey()
    proxy = await tcp_proxy(server.port)
    ids = [str(uuid4()) for _ in range(10_000)]
    options = ValkeyOptions(timeout_s=3)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store:
        await store.ping()
        proxy.hold()
        call = asyncio.create_task(StatisticsStatefulSource(store).read_kernel_statistics_batch(ids))
        await proxy.held.wait()
        server.process.kill()
        proxy.let_go()
        async with asyncio.timeout(ENOUGH_S):
            with pytest.raises(StatcoreError, match=f"127.0.0.1:{proxy.port}") as error:
                await call
        assert isinstance(error.value, UnavailableError | TimedOutError)


async def test_callers_wait_for_a_connection_but_not_for_ever(valkey: Server, tcp_proxy: StartProxy) -> None:
    """While the only connection is busy, other calls open no second one, and raise at the deadline that all are busy."""
    plant(valkey)
    proxy = await tcp_proxy(valkey.port)
    options = ValkeyOptions(timeout_s=2, pool_size=1)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store:
        assert [[METRICS]] * 20 == [
            list(batch) for batch in await asyncio.gather(*(store.fetch_kernel_statistics([KERNEL]) for _ in range(20)))
        ]
        assert 1 == proxy.connections
        proxy.hold()
        async with asyncio.timeout(ENOUGH_S):
            first, *others = await asyncio.gather(
                *(store.fetch_kernel_statistics([KERNEL]) for _ in range(5)), return_exceptions=True
            )
        assert "an answer" in str(first)
        assert all("one of the 1 connections" in str(other) for other in others)
        assert all(isinstance(error, TimedOutError) for error in (first, *others))
        proxy.let_go()
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_busy_pool_of_the_host_is_waited_for(valkey: Server, *, blocking: bool) -> None:
    """The pool may block callers or refuse them; while it stays busy, the call ends in time with an error of ours."""
    plant(valkey)
    options = {"host": "127.0.0.1", "port": valkey.port, "max_connections": 1}
    client = AsyncRedis(connection_pool=BlockingConnectionPool(**options)) if blocking else AsyncRedis(**options)  # type: ignore[arg-type]
    try:
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        hurried = ValkeyStatistics.from_clients(client, client, options=SOON)
        async with asyncio.timeout(ENOUGH_S):
            with pytest.raises(TimedOutError if blocking else UnavailableError, match="connection"):
                await hurried.fetch_kernel_statistics([KERNEL])
        patient = ValkeyStatistics.from_clients(client, client, options=PATIENT)
        call = asyncio.create_task(patient.fetch_kernel_statistics([KERNEL]))
        await asyncio.sleep(0)
        await client.connection_pool.release(connection)
        assert [METRICS] == list(await call)
    finally:
        await client.connection_pool.aclose()


async def test_a_read_only_server_is_tried_again_until_it_takes_writes(start_valkey: Callable[..., Server]) -> None:
    """During a fail-over the replica becomes the primary while the write waits, on a new connection."""
    replica = start_valkey(arguments=["--replicaof", "127.0.0.1", "1"])
    url = f"valkey://127.0.0.1:{replica.port}"
    entries = {KERNEL: {"mem": MetricValue(current="1")}}
    async with aclosing(ValkeyStatisticsSink.from_url(url, options=SOON)) as sink, asyncio.timeout(ENOUGH_S):
        with pytest.raises(UnavailableError, match="cannot answer now: You can't write against a read only replica"):
            await sink.store_kernel_statistics(entries)
    with Redis(host="127.0.0.1", port=replica.port) as client:
        refused = refusals(client, "READONLY")
        async with aclosing(ValkeyStatisticsSink.from_url(url, options=PATIENT)) as sink:
            call = asyncio.create_task(sink.store_kernel_statistics(entries))
            await until(lambda: refused < refusals(client, "READONLY"), "a refused write of the second writer")
            client.replicaof("NO", "ONE")
            await call
            assert client.exists(KERNEL)


async def test_a_server_that_loads_its_data_is_tried_again(
    tmp_path: Path, start_valkey: Callable[..., Server], require_program: Callable[..., str]
) -> None:
    """Until the data is there, a call with a short deadline says so; a call that can wait gets its answer."""
    with Redis(host="127.0.0.1", port=start_valkey(arguments=["--dir", str(tmp_path)]).port) as client:
        client.mset({f"filler-{number}": os.urandom(500) for number in range(1_000)} | {KERNEL: msgpack.packb(METRICS)})
        client.save()
    # It waits 20 ms for each key, until it is told otherwise, and looks for commands every two keys.
    slowly = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
    port, program = free_port(), require_program("valkey-server", "redis-server")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), *slowly]
    process = start_program(command, tmp_path / "valkey.log")
    try:
        url = f"valkey://127.0.0.1:{port}"
        async with (
            aclosing(ValkeyStatistics.from_url(url, options=SOON)) as hurried,
            aclosing(ValkeyStatistics.from_url(url, options=PATIENT)) as patient,
            asyncio.timeout(ENOUGH_S),
        ):

            async def is_loading() -> bool:
                try:
                    await hurried.ping()
                except StatcoreError as error:
                    return "is loading" in str(error)
                return False

            await until(is_loading, "a server that is loading")
            with pytest.raises(UnavailableError, match=r"cannot answer now: .* is loading the dataset in memory"):
                await hurried.fetch_kernel_statistics([KERNEL])
            with Redis(host="127.0.0.1", port=port) as client:
                refused = refusals(client, "LOADING")
                call = asyncio.create_task(patient.fetch_kernel_statistics([KERNEL]))
                await until(lambda: refused < refusals(client, "LOADING"), "a refused attempt")
                client.config_set("key-load-delay", 0)
            assert [METRICS] == list(await call)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("piece", [1, 7])
async def test_an_answer_in_pieces_is_the_same_answer(valkey: Server, tcp_proxy: StartProxy, piece: int) -> None:
    """An answer may be cut into single bytes, or in the middle of its parts."""
    plant(valkey)
    proxy = await tcp_proxy(valkey.port, piece=piece)
    options = ValkeyOptions(timeout_s=60, freshness_s=600)
    async with aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store:
        batch = await store.fetch_kernel_statistics([KERNEL, "none", KERNEL])
        assert [METRICS, None, METRICS] == list(batch)
        assert [0, 2] == list(batch.problems)
