"""Primaries that sentinels replace, and sentinels that are killed, stopped or isolated, while callers read and write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest
from tests.support.cancelling import cancelled_after, expect_count
from tests.support.polling import until
from tests.support.valkey_nodes import WATCHER, Security, ValkeyNode
from tests.support.valkey_readers import CALLERS, Readers, metrics, numbered, payloads
from tests.support.valkey_topologies import MASTER, ValkeySentinels, running_sentinels

from statcore.errors import AccessDeniedError, ClosedError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import LOOPBACK
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, discovery

Harm: TypeAlias = Callable[[ValkeyNode], None]
SOON = ValkeyOptions(timeout_s=2)
PATIENT = ValkeyOptions(timeout_s=60)
REPLICAS = ValkeyOptions(timeout_s=60, read_from_replicas=True)
ENOUGH_S = 30
"""Half the long deadline, and many times the short one, so that a slow machine fails no test."""
REFUSES_OR_HANGS = [ValkeyNode.kill, ValkeyNode.stop]
HARMS = [*REFUSES_OR_HANGS, ValkeyNode.isolate]
TURNS = 60
"""More turns of the event loop than a call or closing takes; after so many, cancelling changes nothing."""


def plant(sentinels: ValkeySentinels, count: int) -> list[str]:
    """Store the metrics of `count` kernels, and return their ids; the number of each is its position."""
    values = payloads(count)
    sentinels.primary.store(values)
    return list(values)


@pytest.mark.parametrize("harm", HARMS)
async def test_a_fail_over_heals_by_itself(sentinels: ValkeySentinels, harm: Harm) -> None:
    """While the primary is replaced, no caller gets a wrong entry or *no data*; afterwards all is right."""
    ids = plant(sentinels, 300)
    primary = sentinels.primary
    async with aclosing(ValkeyStatistics.from_url(sentinels.url)) as store:
        readers = Readers(store=store, numbers=numbered(ids))
        async with readers.running():
            harm(primary)
            await asyncio.to_thread(sentinels.wait_until_failed_over, primary)
            batch = await store.fetch_kernel_statistics(ids)
            assert [metrics(number) for number in range(300)] == list(batch)
            assert not batch.problems
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        assert readers.right


async def test_writes_reach_the_new_primary(sentinels: ValkeySentinels) -> None:
    """A writer that knew the old primary writes to the one that the sentinels name now; the old one still answers."""
    async with (
        aclosing(ValkeyStatisticsSink.from_url(sentinels.url)) as sink,
        aclosing(ValkeyStatistics.from_url(sentinels.url)) as store,
    ):
        await sink.store_kernel_statistics({"k-1": {"mem": MetricValue(current="1")}})
        await asyncio.to_thread(sentinels.fail_over)
        await asyncio.to_thread(sentinels.wait_until_whole)
        await sink.store_kernel_statistics({"k-1": {"mem": MetricValue(current="2")}})
        assert sentinels.primary.command("EXISTS", "k-1")
        assert ["2"] == [entry["mem"]["current"] for entry in await store.fetch_kernel_statistics(["k-1"]) if entry]


async def test_a_primary_that_was_replaced_in_good_health_is_not_read(sentinels: ValkeySentinels) -> None:
    """No call fails when sentinels replace a well primary. After a restart it is empty, and its nil is not believed."""
    ids = plant(sentinels, 50)
    before = sentinels.primary
    async with aclosing(ValkeyStatistics.from_url(sentinels.url)) as store:
        assert [metrics(number) for number in range(50)] == list(await store.fetch_kernel_statistics(ids))
        await asyncio.to_thread(sentinels.fail_over)
        await asyncio.to_thread(sentinels.wait_until_whole)
        await asyncio.to_thread(before.empty)
        assert [metrics(number) for number in range(50)] == list(await store.fetch_kernel_statistics(ids))


def set_up_again(sentinels: ValkeySentinels, primary: ValkeyNode) -> None:
    """Make a replica the primary by hand, and let the sentinels watch it as if they were new."""
    primary.command("REPLICAOF", "NO", "ONE")
    for server in sentinels.servers:
        if server is not primary:
            server.command("REPLICAOF", LOOPBACK, primary.announced_port)
    for sentinel in sentinels.sentinels:
        sentinel.command("SENTINEL", "REMOVE", MASTER)
    for sentinel in sentinels.sentinels:
        sentinel.command("SENTINEL", "MONITOR", MASTER, LOOPBACK, primary.announced_port, 2)
        sentinel.command("SENTINEL", "SET", MASTER, "down-after-milliseconds", 1_000, "failover-timeout", 3_000)


async def test_sentinels_that_were_set_up_again_are_believed(sentinels: ValkeySentinels) -> None:
    """They count fail-overs from the start; a client that knew a later one follows them."""
    async with aclosing(ValkeyStatisticsSink.from_url(sentinels.url, options=PATIENT)) as sink:
        await asyncio.to_thread(sentinels.fail_over)
        await asyncio.to_thread(sentinels.wait_until_whole)
        await sink.store_kernel_statistics({"k-1": {"mem": MetricValue(current="1")}})
        await asyncio.to_thread(set_up_again, sentinels, sentinels.replicas[0])
        async with asyncio.timeout(ENOUGH_S):
            await sink.store_kernel_statistics({"k-2": {"mem": MetricValue(current="2")}})
        assert sentinels.primary.command("EXISTS", "k-2")


async def test_nil_of_an_empty_replica_is_incomplete(sentinels: ValkeySentinels) -> None:
    """A replica that was promoted without data has no *no data*; once an agent has written again, the entry is right."""
    ids = plant(sentinels, 50)
    async with (
        aclosing(ValkeyStatistics.from_url(sentinels.url)) as store,
        aclosing(ValkeyStatisticsSink.from_url(sentinels.url)) as sink,
    ):
        assert metrics(0) == (await store.fetch_kernel_statistics(ids))[0]
        primary = sentinels.primary
        sentinels.empty_replicas()
        primary.kill()
        readers = Readers(store=store, numbers=numbered(ids))
        async with readers.running():
            await asyncio.to_thread(sentinels.wait_until_failed_over, primary)
            batch = await store.fetch_kernel_statistics(ids)
            assert [None] * 50 == list(batch)
            assert [ProblemKind.INCOMPLETE] * 50 == [batch.problems[position].kind for position in range(50)]
            await readers.read_more(CALLERS)
        assert [] == readers.wrong
        await sink.store_kernel_statistics({ids[0]: {"mem": MetricValue(current="new")}})
        batch = await store.fetch_kernel_statistics(ids[:1])
        assert ["new"] == [entry["mem"]["current"] for entry in batch if entry]
        assert not batch.problems


async def test_nil_is_no_data_again_after_a_while(sentinels: ValkeySentinels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time after a fail-over, agents have written again, and a key that is missing does not exist."""
    monkeypatch.setattr(discovery, "UNSYNCED_S", 0.5)
    ids = [*plant(sentinels, 1), "unknown"]
    primary = sentinels.primary
    async with aclosing(ValkeyStatistics.from_url(sentinels.url)) as store:
        assert [metrics(0), None] == list(await store.fetch_kernel_statistics(ids))
        primary.kill()
        await asyncio.to_thread(sentinels.wait_until_failed_over, primary)

        async def is_believed() -> bool:
            batch = await store.fetch_kernel_statistics(ids)
            assert [metrics(0), None] == list(batch)
            assert {ProblemKind.INCOMPLETE} >= {problem.kind for problem in batch.problems.values()}
            return not batch.problems

        await until(is_believed, "an answer without problems")


async def test_replicas_answer_where_it_is_set(sentinels: ValkeySentinels) -> None:
    """Reads go to replicas; where one or both do not answer, the others or the primary do, before the deadline."""
    ids = plant(sentinels, 50)
    async with aclosing(ValkeyStatistics.from_url(sentinels.url, options=REPLICAS)) as store, asyncio.timeout(ENOUGH_S):
        sentinels.primary.command("CONFIG", "RESETSTAT")
        assert [metrics(number) for number in range(50)] == list(await store.fetch_kernel_statistics(ids))
        assert not {"cmdstat_get", "cmdstat_mget"} & set(sentinels.primary.command("INFO", "commandstats"))
        for replica in sentinels.replicas:
            replica.kill()
            for _ in range(4):
                assert [metrics(number) for number in range(50)] == list(await store.fetch_kernel_statistics(ids))


@pytest.fixture
def blind_sentinels(sentinels: ValkeySentinels) -> Iterator[ValkeySentinels]:
    """Sentinels that do not notice when the role of a server changes."""
    primary, replicas = sentinels.primary, sentinels.replicas
    for sentinel in sentinels.sentinels:
        sentinel.command("SENTINEL", "DEBUG", "INFO-PERIOD", 3_600_000)
    try:
        yield sentinels
    finally:
        primary.command("REPLICAOF", "NO", "ONE")
        for replica in replicas:
            replica.command("REPLICAOF", LOOPBACK, primary.announced_port)
        for sentinel in sentinels.sentinels:
            sentinel.command("SENTINEL", "DEBUG", "INFO-PERIOD", 200)


async def is_missing(server: ValkeyNode, key: str) -> bool:
    """Tell whether a server does not have a key."""
    return not await asyncio.to_thread(server.command, "EXISTS", key)


async def test_a_replica_that_follows_no_primary_is_not_read(blind_sentinels: ValkeySentinels) -> None:
    """A server that calls itself a primary has data of its own, though the sentinels list it as a replica."""
    ids = plant(blind_sentinels, 20)
    first, second = blind_sentinels.replicas
    for server in (first, second):
        server.command("REPLICAOF", "NO", "ONE")
        server.store(dict.fromkeys(ids, next(iter(payloads(1).values()))))
    async with aclosing(ValkeyStatistics.from_url(blind_sentinels.url, options=REPLICAS)) as store:
        for _ in range(4):
            assert [metrics(number) for number in range(20)] == list(await store.fetch_kernel_statistics(ids))


async def test_a_primary_that_follows_another_is_not_read(blind_sentinels: ValkeySentinels) -> None:
    """The sentinels name a server as the primary that calls itself a replica; keys that it lacks may exist elsewhere."""
    ids = plant(blind_sentinels, 1)
    other = blind_sentinels.replicas[0]
    other.command("REPLICAOF", "NO", "ONE")
    other.command("FLUSHALL")
    blind_sentinels.primary.command("REPLICAOF", LOOPBACK, other.announced_port)
    await until(partial(is_missing, blind_sentinels.primary, ids[0]), "the data of the other server")
    async with aclosing(ValkeyStatistics.from_url(blind_sentinels.url, options=SOON)) as store:
        with pytest.raises(UnavailableError, match="role"):
            await store.fetch_kernel_statistics(ids)


@pytest.mark.parametrize("harm", REFUSES_OR_HANGS)
async def test_other_sentinels_answer_for_a_sick_one(sentinels: ValkeySentinels, harm: Harm) -> None:
    """The first sentinel of the URL does not answer; the primary is found through the others before the deadline."""
    ids = plant(sentinels, 1)
    harm(sentinels.sentinels[0])
    async with aclosing(ValkeyStatistics.from_url(sentinels.url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        assert [metrics(0)] == list(await store.fetch_kernel_statistics(ids))


@pytest.mark.parametrize("harm", REFUSES_OR_HANGS)
async def test_without_sentinels_the_error_names_them(sentinels: ValkeySentinels, harm: Harm) -> None:
    """A store that never found the primary names a sentinel that it tried, in time."""
    for sentinel in sentinels.sentinels:
        harm(sentinel)
    async with aclosing(ValkeyStatistics.from_url(sentinels.url, options=SOON)) as store, asyncio.timeout(ENOUGH_S):
        with pytest.raises(StatcoreError) as error:
            await store.fetch_kernel_statistics(["a"])
    assert isinstance(error.value, UnavailableError | TimedOutError)
    assert any(str(sentinel) in str(error.value) for sentinel in sentinels.sentinels)


async def test_a_known_primary_is_read_while_all_sentinels_are_dead(sentinels: ValkeySentinels) -> None:
    """The sentinels are needed to find the primary, not to read from it."""
    ids = plant(sentinels, 1)
    async with aclosing(ValkeyStatistics.from_url(sentinels.url)) as store:
        await store.ping()
        for sentinel in sentinels.sentinels:
            sentinel.kill()
        assert [metrics(0)] == list(await store.fetch_kernel_statistics(ids))


async def test_a_name_that_the_sentinels_do_not_know(sentinels: ValkeySentinels) -> None:
    """The error says that the sentinels answered, but do not know it."""
    url = sentinels.url.replace("mymaster", "nobody")
    async with aclosing(ValkeyStatistics.from_url(url, options=SOON)) as store, asyncio.timeout(ENOUGH_S):
        with pytest.raises(StatcoreError, match="does not know the master"):
            await store.fetch_kernel_statistics(["a"])


@pytest.mark.parametrize("wrong", ["sentinel", "server"])
async def test_a_refused_user_is_named_but_not_the_password(tmp_path: Path, security: Security, wrong: str) -> None:
    """Sentinels and servers have users of their own: each that is refused is an error of access at once."""
    password = tmp_path / "password"
    password.write_text("hunter2" if wrong == "sentinel" else WATCHER.password)
    options = ValkeyOptions.from_settings(
        {
            "timeout_s": 60,
            "tls_ca_file": str(security.ca_file),
            "sentinel_username": WATCHER.name,
            "sentinel_password_file": str(password),
        }
    )
    with running_sentinels(tmp_path, replicas=0, sentinels=1, security=security) as sentinels:
        url = sentinels.url if wrong == "sentinel" else sentinels.url.replace("readers-word", "hunter2")
        async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store, asyncio.timeout(ENOUGH_S):
            with pytest.raises(AccessDeniedError, match="watcher" if wrong == "sentinel" else "statcore") as error:
                await store.fetch_kernel_statistics(["a"])
    assert "hunter2" not in str(error.value)


async def test_a_rotated_password_of_the_sentinels_is_used_by_new_connections(tmp_path: Path, security: Security) -> None:
    """A writer finds the new primary through sentinels that have refused its old password."""
    password = tmp_path / "password"
    password.write_text(WATCHER.password)
    options = attrs.evolve(
        PATIENT,
        tls_ca_file=str(security.ca_file),
        sentinel_username=WATCHER.name,
        sentinel_password_file=str(password),
    )
    with running_sentinels(tmp_path, replicas=1, sentinels=1, security=security) as sentinels:
        (sentinel,) = sentinels.sentinels
        async with aclosing(ValkeyStatisticsSink.from_url(sentinels.url, options=options)) as sink:
            await sink.store_container_count("i-1", 1)
            sentinel.command("ACL", "SETUSER", WATCHER.name, "resetpass", ">hunter2")
            sentinel.command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
            await asyncio.to_thread(sentinels.fail_over)
            await asyncio.to_thread(sentinels.wait_until_whole)
            async with asyncio.timeout(ENOUGH_S):
                with pytest.raises(AccessDeniedError, match=WATCHER.name):
                    await sink.store_container_count("i-1", 2)
                password.write_text("hunter2")
                await sink.store_container_count("i-1", 3)
        assert b"3" == sentinels.primary.command("GET", "container_count.i-1")


async def test_calls_in_a_second_loop_raise_and_the_first_loop_goes_on(sentinels: ValkeySentinels) -> None:
    """A call in another event loop raises at once, before and after the primary is known, and harms nothing."""
    ids = plant(sentinels, 1)
    async with aclosing(ValkeyStatistics.from_url(sentinels.url, options=PATIENT)) as store, asyncio.timeout(ENOUGH_S):
        first = asyncio.create_task(store.fetch_kernel_statistics(ids))
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(ClosedError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, store.fetch_kernel_statistics(ids))
            assert [metrics(0)] == list(await first)
            assert [metrics(0)] == list(await store.fetch_kernel_statistics(ids))


@pytest.fixture
def connections(sentinels: ValkeySentinels) -> Callable[[], int]:
    """Return a function that counts the connections of all servers and sentinels, without those of sentinels."""

    def count() -> int:
        nodes = (*sentinels.servers, *sentinels.sentinels)
        lines = b"".join(node.command("CLIENT", "LIST", "TYPE", "NORMAL") for node in nodes).splitlines()
        return sum(b" name=sentinel-" not in line for line in lines)

    return count


async def test_a_cancelled_close_leaves_no_connection(sentinels: ValkeySentinels, connections: Callable[[], int]) -> None:
    """Closing is cancelled after each number of turns; neither servers nor sentinels keep a connection."""
    before = connections()
    for turns in range(1, TURNS // 2):
        store = ValkeyStatistics.from_url(sentinels.url, options=ValkeyOptions(pool_size=4))
        await asyncio.gather(*(store.fetch_kernel_statistics(["a"]) for _ in range(4)))
        assert before < connections()
        await cancelled_after(turns, store.aclose())
        await expect_count(before, connections)


async def test_a_cancelled_call_leaves_no_connection(sentinels: ValkeySentinels, connections: Callable[[], int]) -> None:
    """A call is cancelled while it looks for the primary, connects or reads; closing then closes everything."""
    before = connections()
    for turns in range(TURNS):
        store = ValkeyStatistics.from_url(sentinels.url)
        await cancelled_after(turns, store.fetch_kernel_statistics(["a"]))
        await store.aclose()
        await expect_count(before, connections)
