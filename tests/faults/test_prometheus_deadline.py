"""The deadline of a call to Prometheus, and its cancellation."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from tests.faults.fake_prometheus import ANSWER, Begun, Reply, StartClient, StartFake, never, never_whole, values

from statcore.errors import QueryRejectedError, TimedOutError, UnavailableError
from statcore.model import QueryTimeRange, parse_duration
from statcore_prometheus import PrometheusClient, PrometheusOptions

PART = '{"status":"success","data":{"resultType":"matrix","result":[]}}'
TIMEOUT_S = 0.4
ENOUGH_S = 30
"""Many times the short deadline, so that a slow machine fails no test."""
LONG = QueryTimeRange(start=1_795_341_600, end=1_795_428_000, step="1s")  # eight requests


@pytest.mark.parametrize("hang", [never, never_whole])
async def test_a_hung_server_costs_no_more_than_the_deadline(fake_prometheus: StartFake, hang: Any) -> None:
    """The error names the server and the seconds that were waited."""
    server = await fake_prometheus(hang)
    options = PrometheusOptions(timeout_s=TIMEOUT_S)
    async with asyncio.timeout(ENOUGH_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(TimedOutError, match=f"0.4 s for .*{server.url}") as caught:
            await client.query("up")
    assert TIMEOUT_S == caught.value.timeout_s
    assert 1 == len(server.seen)


async def test_the_deadline_is_for_all_parts_together(fake_prometheus: StartFake) -> None:
    """A long range, split into many requests, has one deadline."""
    server = await fake_prometheus(never)
    options = PrometheusOptions(timeout_s=TIMEOUT_S)
    async with asyncio.timeout(ENOUGH_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(TimedOutError):
            await client.query_range("up", LONG)
    assert 4 == len(server.seen)  # at once


async def test_connections_are_bounded(fake_client: StartClient, http_reply: Reply) -> None:
    """Ten queries at once use three connections, and all are answered."""
    now = most = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(100):  # turns, in which others would come in
            await asyncio.sleep(0)
        now -= 1
        writer.write(http_reply(ANSWER))

    _, client = await fake_client(answer, max_connections=3)
    answers = await asyncio.gather(*[values(client) for _ in range(10)])
    assert [[7.0]] * 10 == answers
    assert 3 == most


@pytest.mark.parametrize("longest_s", [0.0, 3600.0])
async def test_the_deadline_bounds_retries(
    fake_prometheus: StartFake, http_reply: Reply, monkeypatch: pytest.MonkeyPatch, longest_s: float
) -> None:
    """With any number of attempts and any length of pauses, the call ends at the deadline, in an attempt or in a pause."""
    monkeypatch.setattr("statcore_prometheus.transport._LONGEST_PAUSE_S", longest_s)
    monkeypatch.setattr("statcore_prometheus.transport._FIRST_PAUSE_S", min(longest_s, 0.02))
    server = await fake_prometheus(http_reply(status=503))
    options = PrometheusOptions(timeout_s=TIMEOUT_S, attempts=1_000_000)
    async with asyncio.timeout(ENOUGH_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises((UnavailableError, TimedOutError)):
            await client.query("up")
    assert 2 <= len(server.seen)


async def test_the_server_gets_the_remaining_time(fake_client: StartClient, http_reply: Reply) -> None:
    """The request holds the remaining time in the server's own syntax."""
    server, client = await fake_client(http_reply(ANSWER), timeout_s=20)
    assert [7.0] == await values(client)
    timeout = parse_duration(server.seen[0].form["timeout"])
    assert 10 < timeout.total_seconds() <= 20


async def test_a_failed_part_fails_the_range_with_its_own_error(fake_client: StartClient, http_reply: Reply) -> None:
    """The error of the part is raised, in no group, and no value is made up for it."""
    _, client = await fake_client(http_reply(PART), http_reply("bad", status=400))
    with pytest.raises(QueryRejectedError, match="bad") as caught:
        await client.query_range("up", LONG)
    assert 400 == caught.value.status


@pytest.mark.parametrize("hang", [never, never_whole])
async def test_cancelling_is_never_swallowed(fake_client: StartClient, http_reply: Reply, hang: Any) -> None:
    """A cancelled query ends as cancelled, is not sent again, and the next query gets its own answer."""
    begun = Begun(hang)
    server, client = await fake_client(begun, http_reply(ANSWER))
    task = asyncio.create_task(client.query("up"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [7.0] == await values(client)
    assert 2 == len(server.seen)


async def test_cancelling_ends_the_pause_before_a_retry(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A query can be cancelled while it waits for its next attempt."""
    answered = Begun(http_reply(status=429, retry_after="20"))
    server = await fake_prometheus(answered)
    async with asyncio.timeout(10), aclosing(PrometheusClient(server.url)) as client:
        task = asyncio.create_task(client.query("up"))
        await answered.wait()
        await asyncio.wait([task], timeout=0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert 1 == len(server.seen)
