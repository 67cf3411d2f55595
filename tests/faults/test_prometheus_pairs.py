"""HA pairs: fail-over, fail-back and strict mode."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from tests.faults.fake_prometheus import ANSWER, RANGE, Reply, StartFake, never, never_whole, values, vector

from statcore.errors import AccessDeniedError, PartialAnswerError, QueryRejectedError, TimedOutError, UnavailableError
from statcore.testing.servers import free_port
from statcore_prometheus import PrometheusClient, PrometheusOptions

PARTIAL = vector("1", warnings=["a store is down"], isPartial=True)
WHOLE_MATRIX = '{"status":"success","data":{"resultType":"matrix","result":[]}}'
PARTIAL_MATRIX = WHOLE_MATRIX.replace('"data"', '"isPartial":true,"data"')


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        """Start anywhere."""
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


async def test_the_preferred_member_is_tried_again_after_a_while(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """It is asked again after `failback_s`, not before, and stays the first once it answers."""
    down, up = http_reply(status=503), http_reply(vector("1"))
    first = await fake_prometheus(down, down, up)
    second = await fake_prometheus(http_reply(vector("2")))
    clock = Clock()
    options = PrometheusOptions(fallback_urls=(second.url,), failback_s=30, clock=clock)
    async with aclosing(PrometheusClient(first.url, options=options)) as client:
        assert [[2.0]] * 2 == [await values(client), await values(client)]
        assert 1 == len(first.seen)
        clock.now_s += 29.9
        assert [2.0] == await values(client)
        assert 1 == len(first.seen)
        clock.now_s += 0.1
        assert [[2.0]] * 2 == [await values(client), await values(client)]  # it is still down, and left alone for as long
        assert 2 == len(first.seen)
        clock.now_s += 30
        assert [[1.0]] * 2 == [await values(client), await values(client)]
    assert (4, 5) == (len(first.seen), len(second.seen))


async def test_one_call_alone_waits_for_a_preferred_member_that_hangs(
    fake_prometheus: StartFake, http_reply: Reply
) -> None:
    """Later calls go to the member that answers."""
    first = await fake_prometheus(http_reply(status=503), never)
    second = await fake_prometheus(http_reply(vector("2")))
    clock = Clock()
    options = PrometheusOptions(fallback_urls=(second.url,), failback_s=30, clock=clock, timeout_s=2)
    async with aclosing(PrometheusClient(first.url, options=options)) as client:
        assert [2.0] == await values(client)
        clock.now_s += 30
        assert [[2.0]] * 5 == [await values(client) for _ in range(5)]
    assert 2 == len(first.seen)


async def test_of_three_the_one_that_answers_is_kept_until_then(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The member that answers is asked first until `failback_s` is over, then the first one again."""
    servers = [await fake_prometheus(http_reply(status=503)) for _ in range(2)]
    servers.append(await fake_prometheus(http_reply(vector("3"))))
    clock = Clock()
    options = PrometheusOptions(fallback_urls=tuple(server.url for server in servers[1:]), failback_s=30, clock=clock)
    async with aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        assert [[3.0]] * 2 == [await values(client), await values(client)]
        assert [1, 1, 2] == [len(server.seen) for server in servers]
        clock.now_s += 30
        assert [3.0] == await values(client)
    assert [2, 2, 3] == [len(server.seen) for server in servers]


async def test_strict_mode_asks_the_other_member_before_it_gives_up(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A partial answer of one member is replaced by the complete one of the other, also for ranges and lists."""
    whole_list = '{"status":"success","data":["a"]}'
    partial_list = '{"status":"success","isPartial":true,"data":["b"]}'
    first = await fake_prometheus(*map(http_reply, (PARTIAL, WHOLE_MATRIX, partial_list)))
    second = await fake_prometheus(*map(http_reply, (vector("2"), PARTIAL_MATRIX, whole_list)))
    options = PrometheusOptions(fallback_urls=(second.url,), strict=True)
    async with aclosing(PrometheusClient(first.url, options=options)) as client:
        assert [2.0] == await values(client)
        assert not (await client.query_range("up", RANGE)).partial
        assert ["a"] == list(await client.label_values("job"))
    assert (3, 3) == (len(first.seen), len(second.seen))


@pytest.mark.parametrize("other", ["partial", "down", "none"])
async def test_strict_mode_gives_up_where_no_member_is_whole(
    fake_prometheus: StartFake, http_reply: Reply, other: str
) -> None:
    """The error is about the partial answer, after one request to each member."""
    servers = [await fake_prometheus(http_reply(PARTIAL))]
    if other != "none":
        servers.append(await fake_prometheus(http_reply(PARTIAL) if other == "partial" else http_reply(status=503)))
    options = PrometheusOptions(fallback_urls=tuple(server.url for server in servers[1:]), strict=True)
    async with aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        with pytest.raises(PartialAnswerError, match="a store is down") as caught:
            await client.query("up")
    assert ("a store is down",) == caught.value.warnings
    assert [1] * len(servers) == [len(server.seen) for server in servers]


async def test_without_strict_mode_a_part_is_an_answer(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The answer is partial, and the other member gets no request."""
    first, second = [await fake_prometheus(http_reply(PARTIAL)) for _ in range(2)]
    async with aclosing(PrometheusClient(first.url, options=PrometheusOptions(fallback_urls=(second.url,)))) as client:
        assert (await client.query("up")).partial
    assert (1, 0) == (len(first.seen), len(second.seen))


def dead_url() -> str:
    """Return an address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("down", ["refused", "unavailable", "hung", "hung in the middle", "denied", "a page"])
async def test_the_second_of_a_pair_answers(fake_prometheus: StartFake, http_reply: Reply, down: str) -> None:
    """It answers within the same call and deadline, and is asked first from then on."""
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


async def test_the_first_of_a_pair_gets_the_first_request(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The second gets no request while the first answers, also where the first refuses a query."""
    first = await fake_prometheus(http_reply(ANSWER), http_reply("no", status=400))
    second = await fake_prometheus(http_reply(ANSWER))
    async with aclosing(PrometheusClient(first.url, options=PrometheusOptions(fallback_urls=(second.url,)))) as client:
        assert [7.0] == await values(client)
        with pytest.raises(QueryRejectedError, match=first.url):
            await client.query("up")
    assert (2, 0) == (len(first.seen), len(second.seen))


async def test_both_of_a_pair_down_is_one_error_that_names_both() -> None:
    """The error holds the reason of each member."""
    urls = dead_url(), dead_url()
    options = PrometheusOptions(timeout_s=5, fallback_urls=(urls[1],))
    async with aclosing(PrometheusClient(urls[0], options=options)) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.query("up")
    assert ", ".join(urls) == caught.value.service
    assert 2 == str(caught.value).count("Cannot connect")
    assert all(url in str(caught.value) for url in urls)


async def test_both_of_a_pair_refusing_is_no_reason_to_try_again(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The first member's error is raised after one request to each."""
    servers = [await fake_prometheus(http_reply(status=401)) for _ in range(2)]
    options = PrometheusOptions(fallback_urls=(servers[1].url,))
    async with aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        with pytest.raises(AccessDeniedError, match=servers[0].url):
            await client.query("up")
    assert [1, 1] == [len(server.seen) for server in servers]


async def test_both_of_a_pair_hung_is_one_error_that_names_both(fake_prometheus: StartFake) -> None:
    """The deadline is for both members together."""
    servers = [await fake_prometheus(never), await fake_prometheus(never)]
    options = PrometheusOptions(timeout_s=0.4, fallback_urls=(servers[1].url,))
    async with asyncio.timeout(10), aclosing(PrometheusClient(servers[0].url, options=options)) as client:
        with pytest.raises(TimedOutError) as caught:
            await client.query("up")
    assert all(server.url in str(caught.value) for server in servers)
    assert [1, 1] == [len(server.seen) for server in servers]
