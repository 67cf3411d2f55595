"""Batches from a real server: problems at their positions, ages, limits, and turns of the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest
from redis import Redis
from tests.support.turns import counting_turns, noting_replies

from statcore.errors import InputError, MalformedEntryError
from statcore.model import MetricValue, ProblemKind, StatisticsBatch
from statcore.statistics import StatisticsStatefulSource
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, statistics
from statcore_valkey import sink as sink_module
from statcore_valkey.codec import encode_map
from statcore_valkey.entry import read_metrics


def new_ids(count: int) -> list[str]:
    """Return `count` ids of kernels."""
    return [str(uuid4()) for _ in range(count)]


def metrics(number: int) -> dict[str, dict[str, str]]:
    """Return metrics with a number by which they are told apart."""
    return {"mem": {"current": str(number), "unit_hint": "bytes"}}


def plant(redis: Redis, ids: list[str]) -> None:
    """Store values with redis-py."""
    redis.mset({id_: msgpack.packb(metrics(number)) for number, id_ in enumerate(ids)})


def kinds(batch: StatisticsBatch) -> dict[int, ProblemKind]:
    """Return the kind of each problem by position."""
    return {position: problem.kind for position, problem in batch.problems.items()}


async def test_one_malformed_payload_harms_no_other(
    store: ValkeyStatistics, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A malformed payload becomes None and a problem at its position. All other entries are complete and in order."""
    ids = new_ids(100)
    plant(redis, ids)
    good = msgpack.packb(metrics(0))
    for payload in (good[:-1], b"", good + b"\x00", b"some text", b"\xff\xfe\xff", b"\x91\x01", b"\x81\xa1a\xd4\x06\x00"):
        redis.set(ids[42], payload)
        caplog.clear()
        batch = await store.fetch_kernel_statistics(ids)
        assert [metrics(number) if number != 42 else None for number in range(100)] == list(batch)
        assert {42: ProblemKind.MALFORMED} == kinds(batch)
        assert ids[42] == batch.problems[42].key
        (record,) = caplog.records
        assert logging.WARNING == record.levelno
        assert ids[42] in record.getMessage()
        assert f"{len(payload)} bytes, SHA-256 " in record.getMessage()


async def test_a_malformed_metric_is_found_when_it_is_read(store: ValkeyStatistics, redis: Redis) -> None:
    """The batch has no problem; reading the metric raises with key and metric; the other metrics can be read."""
    (id_,) = new_ids(1)
    redis.set(id_, msgpack.packb({**metrics(1), "io_read": 5}))
    batch = await store.fetch_kernel_statistics([id_])
    assert {} == batch.problems
    assert batch[0] is not None
    assert metrics(1)["mem"] == batch[0]["mem"]
    with pytest.raises(MalformedEntryError, match=f"'io_read' of key '{id_}'"):
        batch[0]["io_read"]


async def test_a_key_of_the_wrong_type_is_unavailable(store: ValkeyStatistics, redis: Redis) -> None:
    """MGET takes a list and a hash for missing; they are unavailable, and a missing key is no problem."""
    ids = new_ids(5)
    plant(redis, ids)
    redis.delete(ids[1], ids[2], ids[4])
    redis.lpush(ids[1], "x")
    redis.hset(ids[4], "x", "y")
    batch = await store.fetch_kernel_statistics(ids)
    assert [metrics(0), None, None, metrics(3), None] == list(batch)
    assert {1: ProblemKind.UNAVAILABLE, 4: ProblemKind.UNAVAILABLE} == kinds(batch)
    assert "list" in batch.problems[1].message
    assert ids[4] == batch.problems[4].key


async def test_an_oversized_entry_is_not_read(valkey: Server, redis: Redis) -> None:
    """The limit is an option; an entry of exactly that size is read."""
    ids = new_ids(2)
    for id_, size in zip(ids, (1_000, 1_001), strict=True):
        empty = msgpack.packb({"m": {"current": "x" * 300}})
        redis.set(id_, msgpack.packb({"m": {"current": "x" * (300 + size - len(empty))}}))
        assert size == redis.strlen(id_)
    options = ValkeyOptions(max_entry_bytes=1_000)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
        batch = await store.fetch_kernel_statistics(ids)
    assert batch[0] is not None
    assert batch[1] is None
    assert {1: ProblemKind.OVERSIZED} == kinds(batch)
    assert "1001 bytes, more than max_entry_bytes = 1000" in batch.problems[1].message


@pytest.mark.parametrize("freshness_s", [None, 60.0])
async def test_a_huge_entry_is_not_transferred(valkey: Server, redis: Redis, freshness_s: float | None) -> None:
    """The server sends a small part of it before the connection is closed; the other entries are right, and in order."""
    ids = new_ids(4)
    plant(redis, ids)
    for id_ in ids:
        redis.expire(id_, 86_400)
    redis.delete(ids[2])
    redis.lpush(ids[2], "x")
    redis.set(ids[1], bytes(100_000_000), ex=86_400)
    before = redis.info("stats")["total_net_output_bytes"]
    options = ValkeyOptions(pool_size=1, freshness_s=freshness_s)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
        for _ in range(2):
            batch = await store.fetch_kernel_statistics(ids)
            assert [metrics(0), None, None, metrics(3)] == list(batch)
            assert {1: ProblemKind.OVERSIZED, 2: ProblemKind.UNAVAILABLE} == kinds(batch)
            assert f"'{ids[1]}' holds 100000000 bytes, more than max_entry_bytes = 262144" in batch.problems[1].message
    assert redis.info("stats")["total_net_output_bytes"] - before < 50_000_000


async def test_a_huge_entry_alone_is_oversized(store: ValkeyStatistics, redis: Redis) -> None:
    """Its length is read, and then there is nothing more to read."""
    (id_,) = new_ids(1)
    redis.set(id_, bytes(5_000_000))
    batch = await store.fetch_kernel_statistics([id_])
    assert {0: ProblemKind.OVERSIZED} == kinds(batch)


async def test_stale_entries_are_given_and_marked(valkey: Server, redis: Redis) -> None:
    """The age comes from the time to live; stale entries are in the batch, and a missing entry is no problem."""
    ids = new_ids(5)
    plant(redis, ids)
    redis.expire(ids[0], 86_400)
    redis.expire(ids[1], 86_400 - 61)
    redis.expire(ids[2], 86_400 - 30)
    redis.delete(ids[3], ids[4])
    options = ValkeyOptions(freshness_s=60)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
        batch = await store.fetch_kernel_statistics(ids)
    assert [metrics(0), metrics(1), metrics(2), None, None] == list(batch)
    assert {1: ProblemKind.STALE} == kinds(batch)
    assert "61." in batch.problems[1].message
    assert [0, 61, 30] == [int(batch.ages_s[position]) for position in range(3)]
    assert {0, 1, 2} == set(batch.ages_s)


async def test_an_unknown_age_is_neither_fresh_nor_stale(valkey: Server, redis: Redis) -> None:
    """Entries without expiry, entries that live too long, and agents of an unknown interval are undated."""
    for_ever, negative, known = ids = new_ids(3)
    plant(redis, ids)
    redis.expire(negative, 86_400 + 500)
    redis.expire(known, 86_400 - 1)
    redis.set("i-1", msgpack.packb({"node": {}, "devices": {}}), ex=40)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=ValkeyOptions(freshness_s=60))) as store:
        kernels = await store.fetch_kernel_statistics([for_ever, negative, known])
        agents = await store.fetch_agent_statistics(["i-1"])
    assert {0: ProblemKind.UNDATED, 1: ProblemKind.UNDATED} == kinds(kernels)
    assert [2] == list(kernels.ages_s)
    assert ({0: ProblemKind.UNDATED}, {}) == (kinds(agents), dict(agents.ages_s))
    assert "agent_interval_s is not set" in agents.problems[0].message
    assert None not in (*kernels, *agents)


async def test_the_age_follows_from_the_time_to_live_of_each_kind(valkey: Server, redis: Redis) -> None:
    """Endpoints and replicas live two minutes, agents four of the configured intervals."""
    ids = new_ids(1)
    agent = msgpack.packb({"node": {}, "devices": {}})
    for left_s, expected in ((120, {}), (100, {0: ProblemKind.STALE})):
        redis.set(f"inference.{ids[0]}.app", b"\x80", ex=left_s)
        redis.set(f"inference.{ids[0]}.replica.{ids[0]}", b"\x80", ex=left_s)
        redis.set("i-1", agent, ex=left_s - 80)
        options = ValkeyOptions(freshness_s=15, agent_interval_s=10)
        async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
            assert expected == kinds(await store.fetch_endpoint_statistics(ids))
            assert expected == kinds(await store.fetch_replica_statistics([(ids[0], ids[0])]))
            assert expected == kinds(await store.fetch_agent_statistics(["i-1"]))


async def test_half_of_an_activity_is_zeros_and_incomplete(valkey: Server, store: ValkeyStatistics) -> None:
    """If a number is missing, unreadable, huge or of the wrong type, both are zero, and the problem names the keys."""
    whole, no_requests, no_time, unreadable, wrong_type, huge, nothing = ids = new_ids(7)
    with Redis(host="127.0.0.1", port=valkey.port, db=2) as live:
        for id_ in ids[:-1]:
            live.mset({f"session.{id_}.requests": 7, f"session.{id_}.last_response_time": 9})
        live.delete(f"session.{no_requests}.requests")
        live.delete(f"session.{no_time}.last_response_time")
        live.set(f"session.{unreadable}.requests", "many")
        live.set(f"session.{huge}.requests", bytes(5_000_000))
        live.delete(f"session.{wrong_type}.requests")
        live.lpush(f"session.{wrong_type}.requests", "7")
    batch = await store.fetch_inference_metrics(ids)
    assert [{"requests": 7, "last_response_ms": 9}, *[{"requests": 0, "last_response_ms": 0}] * 6] == list(batch)
    assert dict.fromkeys(range(1, 7), ProblemKind.INCOMPLETE) == kinds(batch)
    assert f"session.{no_time}.last_response_time" == batch.problems[2].key
    assert f"session.{nothing}.requests and session.{nothing}.last_response_time" in batch.problems[6].message
    assert whole not in str(batch.problems)


async def test_many_ids_are_answered_in_order(valkey: Server, redis: Redis) -> None:
    """The batch takes several commands; every third id is missing, some occur twice, with ages and without."""
    ids = new_ids(10_000)
    plant(redis, ids)
    with redis.pipeline(transaction=False) as pipeline:
        for id_ in ids:
            pipeline.expire(id_, 86_400)
        pipeline.execute()
    redis.delete(*ids[::3])
    expected = [metrics(number) if number % 3 else None for number in range(10_000)]
    for options in (ValkeyOptions(), ValkeyOptions(freshness_s=600)):
        async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
            assert StatisticsBatch([*expected, *expected[:10]]) == await store.fetch_kernel_statistics([*ids, *ids[:10]])
            source = StatisticsStatefulSource(store, chunk_size=700)
            assert StatisticsBatch(expected[::-1]) == await source.read_kernel_statistics_batch(ids[::-1])


async def test_others_get_their_turns_while_a_large_batch_is_checked_and_packed(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two turns of the event loop a small part of the entries is read or written."""
    read_in, packed_in, answered_in = Counter[int](), Counter[int](), Counter[int]()

    def read(payload: bytes, *, key: str) -> Mapping[str, Any]:
        read_in[turns.count] += 1
        return read_metrics(payload, key=key)

    def pack(entry: Mapping[str, Any], *, key: str) -> bytes:
        packed_in[turns.count] += 1
        return encode_map(entry, key=key)

    def answer(_: object) -> None:
        answered_in[turns.count] += 1

    noting_replies(monkeypatch, answer)
    monkeypatch.setattr(statistics, "read_metrics", read)
    monkeypatch.setattr(sink_module, "encode_map", pack)
    ids = new_ids(3_000)
    options = ValkeyOptions(freshness_s=600)
    async with (
        aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store,
        aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink,
        counting_turns() as turns,
    ):
        await sink.store_kernel_statistics({id_: {"mem": MetricValue(current="1")} for id_ in ids})
        await store.fetch_kernel_statistics(ids)
    assert (3_000, 3_000) == (read_in.total(), packed_in.total())
    assert 150 >= max(read_in.values())
    assert 64 >= max(packed_in.values())
    assert 6_000 < answered_in.total()
    assert 130 >= max(answered_in.values())


async def test_large_entries_are_checked_one_a_turn(valkey: Server, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of entries count, too."""
    ids = new_ids(5)
    redis.mset(dict.fromkeys(ids, msgpack.packb({"mem": {"current": "1" * 1_100_000}})))
    between = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        between.append(len(read_so_far))
        await sleep(seconds)

    read_so_far: list[str] = []

    def read(payload: bytes, *, key: str) -> Mapping[str, Any]:
        read_so_far.append(key)
        return read_metrics(payload, key=key)

    monkeypatch.setattr(statistics, "read_metrics", read)
    monkeypatch.setattr(asyncio, "sleep", note)
    options = ValkeyOptions(max_entry_bytes=2_000_000)
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=options)) as store:
        assert 5 == len(await store.fetch_kernel_statistics(ids))
    assert [1, 2, 3, 4, 5] == between


async def test_no_ids_need_no_server() -> None:
    """The batch is empty, and nothing is sent to this address, where nothing listens."""
    async with (
        aclosing(ValkeyStatistics.from_url("valkey://127.0.0.1:1")) as store,
        aclosing(ValkeyStatisticsSink.from_url("valkey://127.0.0.1:1")) as sink,
    ):
        assert StatisticsBatch() == await store.fetch_kernel_statistics([])
        assert StatisticsBatch() == await store.fetch_inference_metrics([])
        assert StatisticsBatch() == await store.fetch_endpoint_statistics([])
        assert StatisticsBatch() == await store.fetch_replica_statistics([])
        assert StatisticsBatch() == await store.fetch_agent_statistics([])
        assert await sink.store_kernel_statistics({}) is None  # type: ignore[func-returns-value]
        assert await sink.remove([]) is None  # type: ignore[func-returns-value]


async def test_values_that_cannot_be_stored_are_input_errors() -> None:
    """Objects, numbers beyond 64 bits, lone surrogates and bad intervals are refused before anything is sent."""
    async with (
        aclosing(ValkeyStatistics.from_url("valkey://127.0.0.1:1")) as store,
        aclosing(ValkeyStatisticsSink.from_url("valkey://127.0.0.1:1")) as sink,
    ):
        for bad in (object(), 2**64, "\ud800"):
            with pytest.raises(InputError, match=r"inference\.e\.app"):
                await sink.store_endpoint_statistics({"e": {"running": {"current": bad}}})
        for interval_s in (0, -1, float("nan"), float("inf"), "5", None):
            with pytest.raises(InputError, match=r"^interval_s must be a number of seconds"):
                await sink.store_agent_statistics("i-1", node={}, devices={}, interval_s=interval_s)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="surrogate"):
            await store.fetch_agent_statistics(["i-\ud800"])
        with pytest.raises(InputError, match="text"):
            await store.fetch_kernel_statistics([UUID(int=1)])  # type: ignore[list-item]
        with pytest.raises(InputError, match="surrogate"):
            await sink.store_container_count("i-\ud800", 1)
