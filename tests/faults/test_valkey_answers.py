"""Answers that no real server gives: too few, errors among them, other types, not RESP at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

import pytest

from statcore.errors import ProtocolError, UnavailableError, UnsupportedError
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

StartFake: TypeAlias = Callable[..., Awaitable[str]]
IDS = ["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11", "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12"]
GOOD = b"*2\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"*1\r\n$1\r\n\x80\r\n", "1 values, not 2"),
        (b"*0\r\n", "0 values, not 2"),
        (b"*3\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n", "3 values, not 2"),
        (b"*-1\r\n", "NoneType, not a list of 2"),
        (b"$1\r\n\x80\r\n", "bytes, not a list of 2"),
        (b":5\r\n", "int, not a list of 2"),
        (b"*2\r\n$1\r\n\x80\r\n-ERR inside\r\n", "among the values: ResponseError"),
        (b"*2\r\n-ERR inside\r\n$1\r\n\x80\r\n", "among the values: ResponseError"),
        (b"*2\r\n$1\r\n\x80\r\n:7\r\n", "among the values: int"),
        (b"*2\r\n$1\r\n\x80\r\n*1\r\n$1\r\n\x80\r\n", "among the values: list"),
        (b"-ERR whatever\r\n", "unexpected: ResponseError"),
        (b"-WRONGTYPE Operation against a key\r\n", "WRONGTYPE"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "unexpected"),
    ],
)
async def test_an_answer_that_does_not_fit_is_a_protocol_error(fake_valkey: StartFake, answer: bytes, message: str) -> None:
    """At once, never with entries shifted to the wrong ids; the next answer is taken for what it is."""
    url = await fake_valkey({b"MGET": [answer, GOOD]})
    options = ValkeyOptions(timeout_s=60, pool_size=1)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match=message):
            await store.fetch_kernel_statistics(IDS)
        assert [{}, {}] == list(await store.fetch_kernel_statistics(IDS))


async def test_activity_answers_are_checked_likewise(fake_valkey: StartFake) -> None:
    """A pair short would give one session the other's numbers."""
    url = await fake_valkey({b"MGET": [b"*3\r\n" + b"$1\r\n7\r\n" * 3]})
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        with pytest.raises(ProtocolError, match="3 values, not 4"):
            await store.fetch_inference_metrics(IDS)


async def test_other_answers_are_checked_likewise(fake_valkey: StartFake) -> None:
    """The time to live, the count of keys, and what confirms a write."""
    url = await fake_valkey({b"MGET": [GOOD, b"*2\r\n$-1\r\n$-1\r\n"], b"SET": [b"$-1\r\n"]})
    options = ValkeyOptions(freshness_s=5)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match="bytes, not an integer"):
            await store.fetch_kernel_statistics(IDS)
        with pytest.raises(ProtocolError, match="bytes, not an integer"):
            await store.fetch_kernel_statistics(IDS)
    async with aclosing(ValkeyStatisticsSink.from_url(url)) as sink:
        with pytest.raises(ProtocolError, match="did not confirm"):
            await sink.store_container_count("i-1", 1)


async def test_an_error_among_many_answers_leaves_none_behind(fake_valkey: StartFake) -> None:
    """The answers after it, which come when the next call has been sent already, are not taken for those of that call."""
    late = b":1\r\n" + GOOD
    url = await fake_valkey(
        {b"PTTL": [b"-ERR no\r\n", b"", late], b"MGET": [b""]},
        {b"PTTL": [b":86400000\r\n"], b"MGET": [GOOD]},
    )
    options = ValkeyOptions(freshness_s=5, pool_size=1, timeout_s=60)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match="unexpected"):
            await store.fetch_kernel_statistics(IDS)
        batch = await store.fetch_kernel_statistics(IDS)
        assert ([{}, {}], {}) == (list(batch), dict(batch.problems))


async def test_an_entry_written_while_it_is_looked_at_is_fresh(fake_valkey: StartFake) -> None:
    """There was no key when its time to live was asked for, and there was one a moment later."""
    url = await fake_valkey({b"PTTL": [b":-2\r\n"], b"MGET": [GOOD]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(freshness_s=5))) as store:
        batch = await store.fetch_kernel_statistics(IDS)
    assert ([{}, {}], {}) == (list(batch), dict(batch.problems))


@pytest.mark.parametrize(
    "first",
    [
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-ERR max number of clients reached\r\n",
        b"*2\r\n-LOADING Valkey is loading the dataset in memory\r\n$1\r\n\x80\r\n",
    ],
)
async def test_not_now_is_tried_again(fake_valkey: StartFake, first: bytes) -> None:
    """Several times, within one call; when it does not end, it is unavailable in time."""
    url = await fake_valkey({b"MGET": [first, first, GOOD]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=60))) as store:
        assert [{}, {}] == list(await store.fetch_kernel_statistics(IDS))
    url = await fake_valkey({b"MGET": [first]})
    async with (
        aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.3))) as store,
        asyncio.timeout(30),
    ):
        with pytest.raises(UnavailableError):
            await store.fetch_kernel_statistics(IDS)


@pytest.mark.parametrize("answer", [b"-MOVED 3999 127.0.0.1:6381\r\n", b"-CROSSSLOT Keys don't hash to the same slot\r\n"])
async def test_a_cluster_is_said_not_to_be_supported(fake_valkey: StartFake, answer: bytes) -> None:
    """At once, in so many words."""
    url = await fake_valkey({b"MGET": [answer]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=60))) as store:
        with pytest.raises(UnsupportedError, match="cluster"):
            await store.fetch_kernel_statistics(IDS)
