"""Servers that hang or are down: the deadline, the other member of a pair, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from statcore.errors import AccessDeniedError, InputError, QueryRejectedError, TimedOutError, UnavailableError
from statcore.model import QueryTimeRange, parse_duration
from statcore.testing.servers import free_port
from statcore_prometheus import PrometheusClient, PrometheusOptions

pytestmark = pytest.mark.usefixtures("no_pauses")

Start = Callable[..., Awaitable[Any]]
Reply = Callable[..., bytes]

ANSWER = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}'
PART = '{"status":"success","data":{"resultType":"matrix","result":[]}}'
TIMEOUT_S = 0.4
LONG = QueryTimeRange(start=1_795_341_600, end=1_795_428_000, step="1s")  # eight requests


async def never(_: asyncio.StreamWriter) -> None:
    """Take the request and do not answer."""
    await asyncio.Event().wait()


async def never_whole(writer: asyncio.StreamWriter) -> None:
    """Start to answer and do not go on."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{ANSWER}".encode())
    await asyncio.Event().wait()


def dead_url() -> str:
    """Return an address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


async def values(client: PrometheusClient) -> list[float]:
    """Return the values that a query gives."""
    return [sample.value for sample in (await client.query("up")).samples]


@pytest.mark.parametrize("hang", [never, never_whole])
async def test_a_hung_server_costs_no_more_than_the_deadline(fake_prometheus: Start, hang: Any) -> None:
    """The error says how long was waited, and for whom."""
    server = await fake_prometheus(hang)
    options = PrometheusOptions(timeout_s=TIMEOUT_S)
    async with asyncio.timeout(10 * TIMEOUT_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(TimedOutError, match=f"0.4 s for .*{server.url}") as caught:
            await client.query("up")
    assert TIMEOUT_S == caught.value.timeout_s
    assert 1 == len(server.seen)


async def test_the_deadline_is_for_all_parts_together(fake_prometheus: Start) -> None:
    """A long range, split into many requests, has one deadline."""
    server = await fake_prometheus(never)
    options = PrometheusOptions(timeout_s=TIMEOUT_S)
    async with asyncio.timeout(10 * TIMEOUT_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(TimedOutError):
            await client.query_range("up", LONG)
    assert 4 == len(server.seen)  # at once


async def test_connections_are_bounded(fake_prometheus: Start, http_reply: Reply) -> None:
    """However many ask at once, the server has so many requests at a time, and answers them all in the end."""
    now = most = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(100):  # turns, in which others would come in
            await asyncio.sleep(0)
        now -= 1
        writer.write(http_reply(ANSWER))

    server = await fake_prometheus(answer)
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(max_connections=3))) as client:
        answers = await asyncio.gather(*[values(client) for _ in range(10)])
    assert [[7.0]] * 10 == answers
    assert 3 == most


@pytest.mark.parametrize("longest_s", [0.0, 3600.0])
async def test_the_deadline_bounds_retries(
    fake_prometheus: Start, http_reply: Reply, monkeypatch: pytest.MonkeyPatch, longest_s: float
) -> None:
    """However many attempts are allowed, and however long the pauses get; the time is up, although a server answered."""
    monkeypatch.setattr("statcore_prometheus.transport._LONGEST_PAUSE_S", longest_s)
    monkeypatch.setattr("statcore_prometheus.transport._FIRST_PAUSE_S", min(longest_s, 0.02))
    server = await fake_prometheus(http_reply(status=503))
    options = PrometheusOptions(timeout_s=TIMEOUT_S, attempts=1_000_000)
    async with asyncio.timeout(10 * TIMEOUT_S), aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(TimedOutError):
            await client.query("up")
    assert 2 <= len(server.seen)


async def test_the_server_is_told_the_deadline(fake_prometheus: Start, http_reply: Reply) -> None:
    """What is left of it when the request is sent, in the server's own syntax."""
    server = await fake_prometheus(http_reply(ANSWER))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(timeout_s=20))) as client:
        assert [7.0] == await values(client)
    told = parse_duration(server.seen[0].form["timeout"])
    assert 10 < told.total_seconds() <= 20


@pytest.mark.parametrize("down", ["refused", "unavailable", "hung", "hung in the middle", "denied", "a page"])
async def test_the_second_of_a_pair_answers(fake_prometheus: Start, http_reply: Reply, down: str) -> None:
    """Within the same call and deadline, and from then on it is asked first."""
    ways = {"unavailable": http_reply(status=503), "hung": never, "hung in the middle": never_whole}
    ways |= {"denied": http_reply(status=401), "a page": http_reply("<html>Back soon.</html>")}
    first = await fake_prometheus(ways.get(down, never))
    second = await fake_prometheus(http_reply(ANSWER))
    options = PrometheusOptions(timeout_s=2, fallback_urls=(second.url,))
    url = dead_url() if down == "refused" else first.url
    async with aclosing(PrometheusClient(url, options=options)) as client:
        assert [7.0] == await values(client)
        assert [7.0] == await values(client)
    assert 2 == len(second.seen)
    assert (0 if down == "refused" else 1) == len(first.seen)


async def test_the_first_of_a_pair_is_asked_first(fake_prometheus: Start, http_reply: Reply) -> None:
    """The second is left alone while the first answers, also when it refuses a query."""
    first = await fake_prometheus(http_reply(ANSWER), http_reply("no", status=400))
    second = await fake_prometheus(http_reply(ANSWER))
    async with aclosing(PrometheusClient(first.url, options=PrometheusOptions(fallback_urls=(second.url,)))) as client:
        assert [7.0] == await values(client)
        with pytest.raises(QueryRejectedError, match=first.url):
            await client.query("up")
    assert (2, 0) == (len(first.seen), len(second.seen))


async def test_both_of_a_pair_down_is_one_error_that_names_both() -> None:
    """With the reason of each."""
    urls = dead_url(), dead_url()
    options = PrometheusOptions(timeout_s=5, fallback_urls=(urls[1],))
    async with aclosing(PrometheusClient(urls[0], options=options)) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.query("up")
    assert ", ".join(urls) == caught.value.service
    assert 2 == str(caught.value).count("Cannot connect")
    assert all(url in str(caught.value) for url in urls)


async def test_both_of_a_pair_refusing_is_no_reason_to_try_again(fake_prometheus: Start, http_reply: Reply) -> None:
    """What would not help with one does not help with two: the first one's error, after one request to each."""
    servers = [await fake_prometheus(http_reply(status=401)) for _ in range(2)]
    options = PrometheusOptions(fallback_urls=(servers[1].url,))
    async with aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        with pytest.raises(AccessDeniedError, match=servers[0].url):
            await client.query("up")
    assert [1, 1] == [len(server.seen) for server in servers]


async def test_both_of_a_pair_hung_is_one_error_that_names_both(fake_prometheus: Start) -> None:
    """And the deadline holds for the two together."""
    servers = [await fake_prometheus(never), await fake_prometheus(never)]
    options = PrometheusOptions(timeout_s=TIMEOUT_S, fallback_urls=(servers[1].url,))
    async with asyncio.timeout(10 * TIMEOUT_S), aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        with pytest.raises(TimedOutError) as caught:
            await client.query("up")
    assert all(server.url in str(caught.value) for server in servers)
    assert [1, 1] == [len(server.seen) for server in servers]


async def test_a_failed_part_fails_the_range_with_its_own_error(fake_prometheus: Start, http_reply: Reply) -> None:
    """One error, not a group of them, and nothing is made up for the part."""
    server = await fake_prometheus(http_reply(PART), http_reply("bad", status=400))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(QueryRejectedError, match="bad") as caught:
            await client.query_range("up", LONG)
    assert 400 == caught.value.status


@pytest.mark.parametrize("hang", [never, never_whole])
async def test_cancelling_is_never_swallowed(fake_prometheus: Start, http_reply: Reply, hang: Any) -> None:
    """A cancelled query ends as such, is not sent again, and the next one gets its own answer."""
    begun = asyncio.Event()

    async def begin(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await hang(writer)

    server = await fake_prometheus(begin, http_reply(ANSWER))
    async with aclosing(PrometheusClient(server.url)) as client:
        task = asyncio.create_task(client.query("up"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [7.0] == await values(client)
    assert 2 == len(server.seen)


async def test_cancelling_ends_the_pause_before_a_retry(fake_prometheus: Start, http_reply: Reply) -> None:
    """Also while nothing is on its way."""
    answered = asyncio.Event()

    async def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(http_reply(status=429, retry_after="20"))
        answered.set()

    server = await fake_prometheus(refuse)
    async with asyncio.timeout(10), aclosing(PrometheusClient(server.url)) as client:
        task = asyncio.create_task(client.query("up"))
        await answered.wait()
        await asyncio.wait([task], timeout=0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert 1 == len(server.seen)


async def test_a_closed_client_says_so(fake_prometheus: Start, http_reply: Reply) -> None:
    """Closing twice is allowed; asking afterwards is a mistake of the caller's."""
    server = await fake_prometheus(http_reply(ANSWER))
    client = PrometheusClient(server.url)
    assert [7.0] == await values(client)
    await client.aclose()
    await client.aclose()
    with pytest.raises(InputError, match="closed"):
        await client.query("up")
    assert 1 == len(server.seen)
