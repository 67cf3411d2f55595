"""Batches and columns of thousands of ids from a real server: one exchange for each kind, and equal results."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from types import ModuleType
from typing import Any, cast
from uuid import uuid4

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from tests.support.stored_payloads import field_lists, payloads
from tests.support.turns import counting_turns, noting_replies

from statcore.model import ProblemKind, StatisticsColumns
from statcore.statistics import StatisticsRepositories
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, commands, node

FIELDS = ["mem.current", "mem.pct"]
DAY_S = 86_400


def new_ids(count: int) -> list[str]:
    """Return ids that the server does not have."""
    return [str(uuid4()) for _ in range(count)]


def metrics(number: int) -> dict[str, dict[str, str]]:
    """Return metrics with a number by which they are told apart."""
    return {"mem": {"current": str(number), "pct": "0.5"}}


def plant(valkey: Server, count: int) -> list[str]:
    """Store as many kernels that are sessions with activity, too, and return their ids."""
    ids = new_ids(count)
    with Redis(port=valkey.port).pipeline(transaction=False) as kernels:
        for number, id_ in enumerate(ids):
            kernels.set(id_, msgpack.packb(metrics(number)), ex=DAY_S)
            kernels.set(f"inference.{id_}.app", msgpack.packb(metrics(number)), ex=120)
            kernels.set(f"inference.{id_}.replica.{id_}", msgpack.packb(metrics(number)), ex=120)
        kernels.execute()
    with Redis(port=valkey.port, db=2) as live:
        live.mset({f"session.{id_}.requests": number for number, id_ in enumerate(ids)})
        live.mset({f"session.{id_}.last_response_time": 5 for id_ in ids})
    return ids


def calls_of(valkey: Server) -> Counter[str]:
    """Return how often the server was called with each command."""
    with Redis(port=valkey.port) as redis:
        found = cast("dict[str, dict[str, int]]", redis.info("commandstats"))
    return Counter({name.removeprefix("cmdstat_"): statistics["calls"] for name, statistics in found.items()})


Read = Callable[[Any, list[str]], Awaitable[Any]]
READS: dict[str, tuple[int, Read]] = {
    "kernels": (1, lambda of, ids: of.get_kernel_statistics_batch(ids)),
    "columns": (1, lambda of, ids: of.get_kernel_statistics_columns(ids, FIELDS)),
    "sessions": (2, lambda of, ids: of.get_inference_metrics_batch(ids)),
    "endpoints": (1, lambda of, ids: of.get_endpoint_statistics_batch(ids)),
    "replicas": (1, lambda of, ids: of.get_replica_statistics_batch(list(zip(ids, ids, strict=True)))),
}
"""How many keys an id has, and how a kind is read."""


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("count", [1_000, 5_000])
@pytest.mark.parametrize("freshness_s", [None, 600.0], ids=["", "with ages"])
async def test_a_kind_takes_one_exchange(
    valkey: Server, monkeypatch: pytest.MonkeyPatch, kind: str, count: int, freshness_s: float | None
) -> None:
    """All ids are sent at once, in commands of at most 1,000 keys, with their times to live where ages are read."""
    keys_of_each, read = READS[kind]
    ids = plant(valkey, count)
    sent: list[bytes] = []
    send = AbstractConnection.send_packed_command

    async def note(connection: AbstractConnection, command: Any, **options: Any) -> None:
        sent.append(command)
        await send(connection, command, **options)

    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=ValkeyOptions(freshness_s=freshness_s))) as store:
        repository = StatisticsRepositories.create(store).repository
        await store.ping()
        before = calls_of(valkey)
        with monkeypatch.context() as patch:
            patch.setattr(AbstractConnection, "send_packed_command", note)
            answer = await read(repository, ids)
        calls = calls_of(valkey) - before
    assert 1 == len(sent)
    assert {} == dict(answer.problems)
    keys = keys_of_each * count
    expected = {"mget": keys // 1_000, "pttl": keys if freshness_s and kind != "sessions" else 0}
    assert expected == {name: calls[name] for name in expected}
    assert {"mget", "pttl", "info", "select", "client|setinfo", "hello"} >= calls.keys()


@pytest.mark.parametrize("freshness_s", [None, 600.0], ids=["", "with ages"])
async def test_problems_are_at_their_positions_among_thousands(
    valkey: Server, redis: Redis, freshness_s: float | None
) -> None:
    """Missing, malformed, oversized, old and undated entries and other types, in each of the commands of an exchange."""
    ids = plant(valkey, 3_000)
    expected: dict[int, ProblemKind] = {}
    missing: set[int] = set()
    for start in (0, 993, 1_500, 2_993):
        oversized, malformed, listed, gone, bad_metric, old, undated = range(start, start + 7)
        redis.set(ids[oversized], b"x" * 20_000, ex=DAY_S)
        redis.set(ids[malformed], b"\x81", ex=DAY_S)
        redis.delete(ids[listed], ids[gone])
        redis.lpush(ids[listed], "x")
        redis.set(ids[bad_metric], msgpack.packb({"mem": 5}), ex=DAY_S)
        redis.expire(ids[old], DAY_S - 700)
        redis.persist(ids[undated])
        expected |= {oversized: ProblemKind.OVERSIZED, malformed: ProblemKind.MALFORMED, listed: ProblemKind.UNAVAILABLE}
        expected |= {old: ProblemKind.STALE, undated: ProblemKind.UNDATED} if freshness_s else {}
        missing |= {oversized, malformed, listed, gone}
    bad_metrics = [start + 4 for start in (0, 993, 1_500, 2_993)]
    options = ValkeyOptions(freshness_s=freshness_s, max_entry_bytes=10_000)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
        batch = await store.fetch_kernel_statistics(ids)
        columns = await store.fetch_kernel_columns(ids, FIELDS)
    assert expected == {position: problem.kind for position, problem in batch.problems.items()}
    assert missing == {position for position, entry in enumerate(batch) if entry is None}
    of_fields = {position: [ProblemKind.MALFORMED] for position in bad_metrics}
    of_entries = {position: [kind] for position, kind in expected.items()}
    assert of_entries | of_fields == {at: [problem.kind for problem in of] for at, of in columns.problems.items()}
    without_text = missing | set(bad_metrics)
    texts = [None if number in without_text else str(number) for number in range(3_000)]
    assert texts == list(columns["mem.current"])
    assert texts == [None if number in without_text else (batch[number] or {})["mem"]["current"] for number in range(3_000)]
    dated = {at for at in range(3_000) if at not in missing and expected.get(at) is not ProblemKind.UNDATED}
    assert (dated if freshness_s else set()) == set(batch.ages_s) == set(columns.ages_s)


async def test_others_get_their_turns_between_the_answers_of_an_exchange(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn of the event loop reads at most one list of values, although all have arrived."""
    ids = plant(valkey, 10_000)
    lists_in = Counter[int]()

    def answer(reply: object) -> None:
        lists_in[turns.count] += isinstance(reply, list)

    noting_replies(monkeypatch, answer)
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store, counting_turns() as turns:
        columns = await store.fetch_kernel_columns(ids, FIELDS)
    assert [str(number) for number in range(10_000)] == list(columns["mem.current"])
    assert (10, 1) == (lists_in.total(), max(lists_in.values()))


async def test_others_get_their_turns_while_commands_are_packed_and_ages_are_read(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of short commands and of their answers are worked on in slices, too."""
    ids = plant(valkey, 2_000)
    work_in: dict[str, Counter[int]] = {"_pack": Counter(), "expect_integer": Counter()}

    def noting(module: ModuleType, name: str) -> None:
        function = vars(module)[name]

        def work(*arguments: Any, **options: Any) -> Any:
            work_in[name][turns.count] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, work)

    options = ValkeyOptions(freshness_s=600)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store, counting_turns() as turns:
        noting(node, "_pack")
        noting(commands, "expect_integer")
        await store.fetch_kernel_columns(ids, FIELDS)
    assert {"_pack": 2_002, "expect_integer": 2_000} == {name: of.total() for name, of in work_in.items()}
    assert 130 >= max(max(of.values()) for of in work_in.values())


async def test_cancelled_reads_of_columns_leave_the_store_usable(valkey: Server) -> None:
    """The rest of an exchange of several commands is never read by the next caller."""
    ids = plant(valkey, 3_000)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=ValkeyOptions(pool_size=1))) as store:

        async def read_many() -> None:
            await store.fetch_kernel_columns(ids, FIELDS)

        async def read_one() -> None:
            assert ("7",) == (await store.fetch_kernel_columns([ids[7]], FIELDS))["mem.current"].texts

        await cancel_at_every_step(read_many, then=read_one)


def described(columns: StatisticsColumns) -> dict[int, list[tuple[ProblemKind, str | None, str]]]:
    """Return kinds, keys and messages of problems, without messages that have an age."""
    with_age = {ProblemKind.STALE, ProblemKind.UNDATED}
    return {
        position: [(of.kind, of.key, "" if of.kind in with_age else of.message) for of in problems]
        for position, problems in columns.problems.items()
    }


def is_utf8(payload: bytes) -> bool:
    """Return whether no text in a payload has other bytes."""
    try:
        msgpack.unpackb(payload, strict_map_key=False)
    except UnicodeDecodeError:
        return False
    except (ValueError, TypeError, msgpack.UnpackException):
        pass
    return True


@settings(max_examples=30)
@given(
    st.lists(st.none() | payloads().filter(is_utf8) | st.just(b"\x80" * 600), max_size=5),
    field_lists(),
    st.sampled_from([None, 60.0]),
    st.sampled_from([400, 10_000]),
)
def test_fetched_columns_are_those_of_the_fetched_batch(
    valkey_server: Server, stored: list[bytes | None], fields: list[str], freshness_s: float | None, limit: int
) -> None:
    """Texts, problems and ages are equal; columns alone may not notice the name of another metric that is not UTF-8."""
    ids = new_ids(len(stored) + 1)
    with Redis(port=valkey_server.port) as redis:
        for number, (id_, payload) in enumerate(zip(ids, stored, strict=False)):
            if payload is not None:
                redis.set(id_, payload, ex=[DAY_S, DAY_S - 1_000, 2 * DAY_S][number % 3])
        redis.lpush(ids[-1], "x")

    async def read() -> None:
        options = ValkeyOptions(freshness_s=freshness_s, max_entry_bytes=limit)
        async with aclosing(ValkeyStatistics.from_url(valkey_server.url, options=options)) as store:
            batch = await store.fetch_kernel_statistics(ids)
            columns = await store.fetch_kernel_columns(ids, fields)
        expected = await batch.columns(*fields)
        assert dict(expected) == dict(columns)
        assert described(expected) == described(columns)
        assert expected.ages_s.keys() == columns.ages_s.keys()

    asyncio.run(read())
