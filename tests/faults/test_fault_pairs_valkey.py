"""Two faults at a time of one Valkey: a bad entry and a cut, a cancellation and a trickle, LOADING and a lost password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from tests.faults.fake_valkey import StartFake
from tests.faults.proxy import StartProxy, TcpProxy
from tests.support.polling import until
from tests.support.valkey_readers import metrics, payloads, refusals

from statcore.errors import AccessDeniedError, ProtocolError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue, ProblemKind, StatisticsBatch
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey.databases import DatabasePair

SOON = ValkeyOptions(timeout_s=3)
PATIENT = ValkeyOptions(timeout_s=60)
SINGLE = ValkeyOptions(timeout_s=60, pool_size=1)
DATED = ValkeyOptions(timeout_s=60, pool_size=1, freshness_s=600)
ENOUGH_S = 30
"""Half the long deadline, and many times the short one, so that a slow machine fails no test."""
TURNS_TO_SEND = 20
"""In so many turns, a call sends its commands if it has a connection."""
TURNS_TO_READ = 5
"""In so many turns of the event loop, a client reads the bytes that have arrived."""
LOADING = b"-LOADING Valkey is loading the dataset in memory\r\n"
BAD = b"\x81\xa3mem"
"""An entry that breaks off."""


def plant(values: dict[str, bytes], *servers: Server) -> None:
    """Store the same values on servers."""
    for server in servers:
        with Redis(host="127.0.0.1", port=server.port) as client, client.pipeline(transaction=False) as pipeline:
            for id_, value in values.items():
                pipeline.set(id_, value, ex=86_400)
            pipeline.execute()


def kinds(batch: StatisticsBatch) -> dict[int, ProblemKind]:
    """Return the kind of each problem by its position."""
    return {position: problem.kind for position, problem in batch.problems.items()}


@asynccontextmanager
async def reading(proxy: TcpProxy, options: ValkeyOptions) -> AsyncGenerator[ValkeyStatistics]:
    """Open a reader behind a proxy, which has a connection."""
    async with (
        aclosing(ValkeyStatistics.from_url(f"valkey://127.0.0.1:{proxy.port}", options=options)) as store,
        asyncio.timeout(ENOUGH_S),
    ):
        await store.ping()
        yield store


@pytest.mark.parametrize("is_replaced", [True, False], ids=["another server answers", "none answers"])
async def test_a_malformed_entry_and_a_server_killed_in_mid_batch(
    start_valkey: Callable[..., Server], tcp_proxy: StartProxy, *, is_replaced: bool
) -> None:
    """The whole batch comes from one answer, with the bad entry as its only problem; or all of it fails as unavailable."""
    first, second = start_valkey(), start_valkey()
    values = payloads(2_000)
    ids = list(values)
    bad = 3
    plant({**values, ids[bad]: BAD}, first, second)
    proxy = await tcp_proxy(first.port)
    async with reading(proxy, PATIENT if is_replaced else SOON) as store:
        proxy.hold(after=40_000)  # more than the first thousand entries take
        call = asyncio.create_task(store.fetch_kernel_statistics(ids))
        await proxy.held.wait()
        if is_replaced:
            proxy.server_port = second.port
        first.process.kill()
        first.process.wait()
        proxy.cut()
        proxy.let_go()
        if not is_replaced:
            with pytest.raises(UnavailableError, match=f"127.0.0.1:{proxy.port}"):
                await call
            return
        batch = await call
        assert {bad: ProblemKind.MALFORMED} == kinds(batch)
        assert [None if number == bad else metrics(number) for number in range(2_000)] == list(batch)


@pytest.mark.parametrize("options", [SINGLE, DATED], ids=["one command", "many commands"])
async def test_a_call_cancelled_after_each_byte_of_its_answer(
    valkey: Server, tcp_proxy: StartProxy, options: ValkeyOptions
) -> None:
    """The rest of the answer comes later, byte by byte, and the next caller gets its own."""
    values = payloads(2)
    ids = list(values)
    plant(values, valkey)
    proxy = await tcp_proxy(valkey.port, piece=1)
    async with reading(proxy, options) as store:
        arrived, is_whole = 0, False
        while not is_whole:
            for turns in range(TURNS_TO_READ):
                proxy.hold(after=arrived)
                call = asyncio.create_task(store.fetch_kernel_statistics(ids[:1]))
                held = asyncio.create_task(proxy.held.wait())
                await asyncio.wait([call, held], return_when=asyncio.FIRST_COMPLETED)
                if is_whole := call.done():
                    held.cancel()
                    break
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                proxy.let_go()
                assert [metrics(1)] == list(await store.fetch_kernel_statistics(ids[1:]))
                with pytest.raises(asyncio.CancelledError):
                    await call
            arrived += 1
        assert [metrics(0)] == list(await call)
        assert len(values[ids[0]]) < arrived


async def test_a_trickle_that_outlasts_the_deadline(valkey: Server, tcp_proxy: StartProxy) -> None:
    """Bytes that keep arriving prolong nothing; the next call does not read those that come later."""
    values = payloads(100)
    plant(values, valkey)
    proxy = await tcp_proxy(valkey.port)
    async with reading(proxy, SOON) as store:
        proxy.piece, proxy.delay_s = 1, 0.01
        with pytest.raises(TimedOutError, match="waited 3 s for an answer"):
            await store.fetch_kernel_statistics(list(values))
        proxy.piece, proxy.delay_s = 65_536, 0
        assert [metrics(99)] == list(await store.fetch_kernel_statistics(list(values)[99:]))


async def test_a_busy_pool_whose_holder_and_some_waiters_are_cancelled(valkey: Server, tcp_proxy: StartProxy) -> None:
    """Every other waiter gets the connection in turn, and its own entry."""
    values = payloads(12)
    plant(values, valkey)
    proxy = await tcp_proxy(valkey.port)
    async with reading(proxy, SINGLE) as store:
        proxy.hold()
        holder, *waiters = (asyncio.create_task(store.fetch_kernel_statistics([id_])) for id_ in values)
        await proxy.held.wait()
        for call in (holder, *waiters[::3]):
            call.cancel()
        for _ in range(TURNS_TO_READ):
            await asyncio.sleep(0)
        waiters[1].cancel()  # it is its turn
        proxy.let_go()
        results = await asyncio.gather(holder, *waiters, return_exceptions=True)
    cancelled = {0, 1, 2, 4, 7, 10}
    assert cancelled == {number for number, result in enumerate(results) if isinstance(result, asyncio.CancelledError)}
    answered = [list(result) for result in results if isinstance(result, StatisticsBatch)]
    assert [[metrics(number)] for number in range(12) if number not in cancelled] == answered


@pytest.mark.parametrize("pool", ["own", "the host's"])
async def test_a_busy_pool_whose_holder_runs_out_of_time(valkey: Server, tcp_proxy: StartProxy, pool: str) -> None:
    """A waiter with more time gets the place of the one that timed out, and its own entry."""
    values = payloads(2)
    first, second = values
    plant(values, valkey)
    proxy = await tcp_proxy(valkey.port)
    if pool == "own":
        databases = DatabasePair.from_url(f"valkey://127.0.0.1:{proxy.port}", options=SINGLE)
        hurried, patient = (
            ValkeyStatistics.from_keyspaces(databases.statistics, databases.live, options=options)
            for options in (SOON, PATIENT)
        )
        close = patient.aclose
    else:
        connections = BlockingConnectionPool(host="127.0.0.1", port=proxy.port, max_connections=1)
        client = AsyncRedis(connection_pool=connections)
        hurried, patient = (ValkeyStatistics.from_clients(client, client, options=options) for options in (SOON, PATIENT))
        close = connections.aclose
    try:
        async with asyncio.timeout(ENOUGH_S):
            await patient.fetch_kernel_statistics([first])
            proxy.hold()
            holder = asyncio.create_task(hurried.fetch_kernel_statistics([first]))
            await proxy.held.wait()
            waiter = asyncio.create_task(patient.fetch_kernel_statistics([second]))
            with pytest.raises(TimedOutError, match="an answer from"):
                await holder
            proxy.let_go()
            assert [metrics(1)] == list(await waiter)
    finally:
        await close()


async def test_lost_requests_and_a_busy_pool(valkey: Server, tcp_proxy: StartProxy) -> None:
    """Holder and waiters each end at their deadline; the connection that hangs is not used again."""
    values = payloads(4)
    plant(values, valkey)
    proxy = await tcp_proxy(valkey.port)
    async with reading(proxy, ValkeyOptions(timeout_s=3, pool_size=1)) as store:
        proxy.lose_requests()
        calls = (store.fetch_kernel_statistics([id_]) for id_ in values)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [TimedOutError] * 4 == [type(result) for result in results]
        proxy.lose_requests(lose=False)
        assert [metrics(number) for number in range(4)] == list(await store.fetch_kernel_statistics(list(values)))


@asynccontextmanager
async def loading(server: Server) -> AsyncGenerator[Redis]:
    """Have a server load its data set during the block, in which it answers LOADING; yield a client for its settings.

    The server needs `--enable-debug-command yes`, and enough data that it answers while it loads.
    """
    with Redis(host="127.0.0.1", port=server.port) as admin, Redis(host="127.0.0.1", port=server.port) as other:
        admin.config_set("loading-process-events-interval-bytes", 1_024)
        admin.config_set("key-load-delay", 10_000)
        reload = asyncio.create_task(asyncio.to_thread(other.execute_command, "DEBUG", "RELOAD"))
        try:
            await until(lambda: bool(admin.info("persistence")["loading"]), "a server that loads")
            yield admin
        finally:
            admin.config_set("key-load-delay", 0)
            await reload


@pytest.fixture
def secured(start_valkey: Callable[..., Server]) -> Server:
    """A server that can be made to load, with a user `reader`, whose password is `one`."""
    server = start_valkey(arguments=["--enable-debug-command", "yes"])
    plant({f"padding-{number}": bytes(2_000) for number in range(500)}, server)
    with Redis(host="127.0.0.1", port=server.port) as admin:
        admin.config_set("rdbcompression", "no")
        admin.execute_command("ACL", "SETUSER", "reader", "on", ">one", "~*", "+@all")
    return server


async def test_loading_and_a_refused_password(secured: Server) -> None:
    """The user is refused at once, by name, although the server might answer later."""
    url = f"valkey://reader:hunter2@127.0.0.1:{secured.port}"
    async with loading(secured), aclosing(ValkeyStatistics.from_url(url, options=PATIENT)) as store:
        async with asyncio.timeout(ENOUGH_S):
            with pytest.raises(AccessDeniedError, match="'reader'") as error:
                await store.fetch_kernel_statistics(["k"])
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("is_told", [True, False], ids=["the file has the new one", "the file has the old one"])
async def test_loading_and_a_password_that_changes_meanwhile(secured: Server, tmp_path: Path, *, is_told: bool) -> None:
    """A call that waits for the server uses the new password of its file; without it, it is refused at once."""
    values = payloads(1)
    plant(values, secured)
    file = tmp_path / "password"
    file.write_text("one\n")
    options = ValkeyOptions(timeout_s=60, password_file=str(file))
    url = f"valkey://reader@127.0.0.1:{secured.port}"
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store, asyncio.timeout(ENOUGH_S):
        await store.ping()
        async with loading(secured) as admin:
            call = asyncio.create_task(store.fetch_kernel_statistics(list(values)))
            await until(lambda: refusals(admin, "LOADING") > 0, "an answer LOADING")
            admin.execute_command("ACL", "SETUSER", "reader", ">two")  # type: ignore[no-untyped-call]
            if is_told:
                file.write_text("two\n")
            admin.execute_command("ACL", "SETUSER", "reader", "<one")  # type: ignore[no-untyped-call]
            if not is_told:
                with pytest.raises(AccessDeniedError, match="'reader'"):
                    await call
                return
        assert [metrics(0)] == list(await call)


@pytest.mark.parametrize("first", [LOADING, b"-ERR max number of clients reached\r\n"])
async def test_not_now_in_the_place_of_a_login(fake_valkey: StartFake, first: bytes) -> None:
    """A login that is answered LOADING is repeated; the answer to it is not taken for one about the password."""
    good = b"*1\r\n$1\r\n\x80\r\n"
    url = await fake_valkey({b"AUTH": [first], b"HELLO": [first]}, {b"MGET": [good]})
    async with (
        aclosing(ValkeyStatistics.from_url(url.replace("://", "://reader:one@"), options=PATIENT)) as store,
        asyncio.timeout(ENOUGH_S),
    ):
        assert [{}] == list(await store.fetch_kernel_statistics(["k"]))


@pytest.mark.parametrize(
    ("value", "answer", "kind"),
    [(None, b"+list\r\n", ProblemKind.UNAVAILABLE), (bytes(3_000_000), b":3000000\r\n", ProblemKind.OVERSIZED)],
    ids=["another type", "oversized"],
)
async def test_a_bad_entry_whose_second_look_is_cut_off(
    valkey: Server, tcp_proxy: StartProxy, value: bytes | None, answer: bytes, kind: ProblemKind
) -> None:
    """All is read again on a new connection: the bad entry alone has its problem."""
    values = payloads(3)
    ids = list(values)
    plant(values, valkey)
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.delete(ids[1])
        if value is None:
            client.lpush(ids[1], "x")
        else:
            client.set(ids[1], value)
    proxy = await tcp_proxy(valkey.port)
    cuts = 0

    def cut_once(data: bytes) -> bytes:
        nonlocal cuts
        if answer in data and not cuts:
            cuts += 1
            proxy.cut()
        return data

    proxy.rewrite = cut_once
    async with reading(proxy, PATIENT) as store:
        batch = await store.fetch_kernel_statistics(ids)
    assert 1 == cuts
    assert {1: kind} == kinds(batch)
    assert [metrics(0), None, metrics(2)] == list(batch)


async def test_a_write_cancelled_while_the_server_is_read_only(start_valkey: Callable[..., Server]) -> None:
    """It is not sent again: nothing is written when the server takes writes later."""
    replica = start_valkey(arguments=["--replicaof", "127.0.0.1", "1"])
    entries = {"k": {"mem": MetricValue(current="1")}}
    sink = ValkeyStatisticsSink.from_url(f"valkey://127.0.0.1:{replica.port}", options=PATIENT)
    async with aclosing(sink):
        call = asyncio.create_task(sink.store_kernel_statistics(entries))
        with Redis(host="127.0.0.1", port=replica.port) as client:
            await until(lambda: refusals(client, "READONLY") > 0, "an answer READONLY")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            client.replicaof("NO", "ONE")
            await sink.store_container_count("i-1", 1)  # a second write is not followed by the first
            assert 0 == client.exists("k")


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (b"", UnavailableError, "is loading the dataset"),
        (b"*3\r\n" + 3 * b"$1\r\n\x80\r\n", ProtocolError, "3 values, not 2"),
        (b"-NOPERM No permissions to access a key\r\n", AccessDeniedError, "'default'"),
    ],
    ids=["hang", "wrong length", "no permission"],
)
async def test_loading_and_then_another_fault(
    fake_valkey: StartFake, second: bytes, error: type[StatcoreError], message: str
) -> None:
    """The error is that of the last answer; where none came, it is the first failure and not only the deadline."""
    url = await fake_valkey({b"MGET": [LOADING]}, {b"MGET": [second]})
    async with aclosing(ValkeyStatistics.from_url(url, options=SOON)) as store, asyncio.timeout(ENOUGH_S):
        with pytest.raises(StatcoreError, match=message) as caught:
            await store.fetch_kernel_statistics(["k", "l"])
    assert error is caught.type


@pytest.mark.parametrize("options", [SINGLE, DATED], ids=["one command", "many commands"])
async def test_an_answer_that_is_too_short_and_its_rest_that_is_late(
    valkey: Server, tcp_proxy: StartProxy, options: ValkeyOptions
) -> None:
    """The rest arrives while later calls wait for their answers; none of them reads it, or the answer of another call."""
    values = payloads(9)
    ids = list(values)
    plant(values, valkey)
    lies = 0

    def lie(data: bytes) -> bytes:
        nonlocal lies
        if b"*3\r\n" not in data or lies:
            return data
        lies += 1
        return data.replace(b"*3\r\n", b"*2\r\n")

    proxy = await tcp_proxy(valkey.port, rewrite=lie)
    async with reading(proxy, options) as store:
        entry = len(b"$%d\r\n\r\n" % len(values[ids[0]])) + len(values[ids[0]])
        proxy.hold()
        call = asyncio.create_task(store.fetch_kernel_statistics(ids[:3]))
        await proxy.held.wait()
        proxy.let_go(only=len(b"*2\r\n") + 2 * entry + (3 * len(b":86400000\r\n") if options.freshness_s else 0))
        with pytest.raises(ProtocolError, match="2 values, not 3"):
            await call
        for start in (3, 6):
            call = asyncio.create_task(store.fetch_kernel_statistics(ids[start : start + 3]))
            for _ in range(TURNS_TO_SEND):
                await asyncio.sleep(0)
            proxy.let_go(only=entry)
            for _ in range(TURNS_TO_SEND):
                await asyncio.sleep(0)
            proxy.let_go()
            assert [metrics(number) for number in range(start, start + 3)] == list(await call)
            proxy.hold()
    assert 1 == lies
