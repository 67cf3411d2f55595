"""Two faults at a time of a Prometheus, or one of each member of an HA pair."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.faults.fake_prometheus import (
    ANSWER,
    Answer,
    Begun,
    FakePrometheus,
    Reply,
    StartClient,
    StartFake,
    never,
    never_whole,
    refusal,
    values,
    vector,
)
from tests.faults.proxy import StartProxy

from statcore.errors import (
    AccessDeniedError,
    PartialAnswerError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)
from statcore.model import QueryTimeRange
from statcore_prometheus import PrometheusClient, PrometheusOptions

MIB = 2**20
ENOUGH_S = 30
"""Many times the short deadlines, so that a slow machine fails no test."""
PARTIAL = vector("1", warnings=["a store is down"], isPartial=True)
BOMB = gzip.compress(ANSWER.encode() + b" " * (64 * MIB))
LONG = QueryTimeRange(start=1_795_341_600, end=1_795_428_000, step="1s")  # eight requests


@asynccontextmanager
async def pair_of(first: FakePrometheus, second: FakePrometheus, **options: Any) -> AsyncGenerator[PrometheusClient]:
    """Open a client of an HA pair with options by name; nothing in the block may wait for long."""
    fixed = PrometheusOptions(fallback_urls=(second.url,), **options)
    async with asyncio.timeout(ENOUGH_S), aclosing(PrometheusClient(first.url, options=fixed)) as client:
        yield client


async def test_unavailable_and_then_a_bomb(fake_client: StartClient, http_reply: Reply) -> None:
    """The second attempt is stopped at the cap, with its own error, and there is no third."""
    bomb = http_reply(BOMB, content_encoding="gzip")
    server, client = await fake_client(http_reply(status=503), bomb, gzip=True, max_answer_bytes=MIB)
    with pytest.raises(ProtocolError, match=f"longer than max_answer_bytes, {MIB}"):
        await client.query("up")
    assert 2 == len(server.seen)


async def test_a_bomb_as_the_text_of_an_error(fake_client: StartClient, http_reply: Reply) -> None:
    """An endless text, compressed to little, is cut off; the status counts, and the next attempt is answered."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # gzip
    start, more = (packer.compress(b"no" * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Said\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n" + start)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0)

    async with asyncio.timeout(ENOUGH_S):
        server, client = await fake_client(pour, http_reply(ANSWER), gzip=True, timeout_s=60)
        assert [7.0] == await values(client)
        assert 2 == len(server.seen)
        _, client = await fake_client(pour, gzip=True, timeout_s=60, attempts=1)
        with pytest.raises(UnavailableError, match="HTTP 503: nono") as caught:
            await client.query("up")
    assert len(str(caught.value)) < 2_000


async def test_one_member_unavailable_and_a_bomb_of_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The error names both causes."""
    first = await fake_prometheus(http_reply(status=503))
    second = await fake_prometheus(http_reply(BOMB, content_encoding="gzip"))
    async with pair_of(first, second, gzip=True, max_answer_bytes=MIB) as client:
        with pytest.raises(UnavailableError, match=r"HTTP 503.*longer than max_answer_bytes"):
            await client.query("up")


async def test_a_bomb_of_one_member_and_an_answer_of_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The other member's answer counts."""
    first = await fake_prometheus(http_reply(BOMB, content_encoding="gzip"))
    second = await fake_prometheus(http_reply(ANSWER))
    async with pair_of(first, second, gzip=True, max_answer_bytes=MIB) as client:
        assert [7.0] == await values(client)


@pytest.mark.parametrize("late", [never, never_whole])
async def test_one_member_partial_and_the_other_late(fake_prometheus: StartFake, http_reply: Reply, late: Answer) -> None:
    """In strict mode the error says what is missing, at the deadline; otherwise the part is the answer."""
    for strict in (True, False):
        first, second = await fake_prometheus(http_reply(PARTIAL)), await fake_prometheus(late)
        async with pair_of(first, second, strict=strict, timeout_s=1) as client:
            if strict:
                with pytest.raises(PartialAnswerError, match="a store is down") as caught:
                    await client.query("up")
                assert ("a store is down",) == caught.value.warnings
            else:
                assert (await client.query("up")).partial
        assert (1, int(strict)) == (len(first.seen), len(second.seen))


async def test_one_member_late_and_the_other_partial(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The late one takes half of the deadline; then the part is the answer, or in strict mode the error."""
    for strict in (True, False):
        first, second = await fake_prometheus(never), await fake_prometheus(http_reply(PARTIAL))
        async with pair_of(first, second, strict=strict, timeout_s=1) as client:
            if strict:
                with pytest.raises(PartialAnswerError, match="a store is down"):
                    await client.query("up")
            else:
                assert (await client.query("up")).partial
        assert (1, 1) == (len(first.seen), len(second.seen))


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (503, {}, "HTTP 503"),
        (401, {"www_authenticate": "Basic"}, "a password is missing"),
        (302, {"location": "http://127.0.0.1:1/login"}, "a redirect to http://127.0.0.1:1/login"),
        (429, {"retry_after": "3600"}, "HTTP 429"),
    ],
)
async def test_one_member_refusing_and_the_other_late(
    fake_prometheus: StartFake, http_reply: Reply, status: int, headers: dict[str, str], reason: str
) -> None:
    """The error at the deadline names both members, and says what is wrong with each."""
    first, second = await fake_prometheus(http_reply(status=status, **headers)), await fake_prometheus(never)
    async with pair_of(first, second, timeout_s=1) as client:
        with pytest.raises(StatcoreError) as caught:
            await client.query("up")
    assert isinstance(caught.value, UnavailableError | TimedOutError)
    assert all(part in str(caught.value) for part in (first.url, reason, second.url))
    assert (1, 1) == (len(first.seen), len(second.seen))


async def test_a_redirect_of_one_member_and_a_pause_of_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The redirect is not followed and carries no credentials away; the pause is waited for, and then both are asked."""
    thief = await fake_prometheus(http_reply(ANSWER))
    times: list[float] = []

    async def not_yet(writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.write(http_reply(ANSWER) if len(times) > 1 else http_reply(status=429, retry_after="1"))

    first = await fake_prometheus(http_reply(status=307, location=f"{thief.url}/api/v1/query"))
    second = await fake_prometheus(not_yet)
    async with pair_of(first, second, bearer_token="hunter2") as client:  # noqa: S106 - of a server of this test
        assert [7.0] == await values(client)
    assert 1.0 <= times[1] - times[0]
    assert (2, 2, 0) == (len(first.seen), len(second.seen), len(thief.seen))


async def test_a_pause_beyond_the_deadline_and_another_member(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The other member answers at once; the next call goes to it, and not to the one that is to be left alone."""
    first = await fake_prometheus(http_reply(status=429, retry_after="3600"))
    second = await fake_prometheus(http_reply(vector("2")))
    async with pair_of(first, second, timeout_s=5) as client:
        assert [[2.0]] * 2 == [await values(client), await values(client)]
    assert (1, 2) == (len(first.seen), len(second.seen))


async def test_pauses_of_both_members(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The shorter one counts: it may fit into the deadline where the longer does not."""
    long, short = http_reply(status=429, retry_after="3600"), http_reply(status=503, retry_after="0")
    first = await fake_prometheus(long)
    second = await fake_prometheus(short, http_reply(vector("2")))
    async with pair_of(first, second, timeout_s=5) as client:
        assert [2.0] == await values(client)
    first, second = await fake_prometheus(long), await fake_prometheus(long)
    async with pair_of(first, second, timeout_s=5) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.query("up")
    assert pytest.approx(3600, abs=5) == caught.value.retry_after_s  # without the time that passed since
    assert (1, 1) == (len(first.seen), len(second.seen))


async def test_a_member_does_not_wait_for_the_pause_of_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """It asked for no pause, so it is tried again at once."""
    long = http_reply(status=429, retry_after="3600")
    first, second = await fake_prometheus(long), await fake_prometheus(http_reply(status=503), http_reply(vector("2")))
    async with pair_of(first, second, timeout_s=5) as client:
        assert [2.0] == await values(client)
    assert (1, 2) == (len(first.seen), len(second.seen))


async def test_a_member_that_stays_down_and_a_pause_of_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """Each has its own attempts: the pause is still waited for when those of the other are used up."""
    first = await fake_prometheus(http_reply(status=503))
    second = await fake_prometheus(http_reply(status=429, retry_after="1"), http_reply(vector("2")))
    async with pair_of(first, second) as client:
        assert [2.0] == await values(client)
    assert (3, 2) == (len(first.seen), len(second.seen))


async def test_the_error_of_a_pair_names_no_pause_of_one_member(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """Another call may succeed sooner, at the member that asked for none."""
    first = await fake_prometheus(http_reply(status=429, retry_after="3600"))
    second = await fake_prometheus(http_reply(status=503))
    async with pair_of(first, second, timeout_s=5) as client:
        with pytest.raises(UnavailableError, match=rf"{first.url}.*; {second.url}") as caught:
            await client.query("up")
    assert caught.value.retry_after_s is None
    assert (1, 3) == (len(first.seen), len(second.seen))


async def test_a_cancelled_pause_and_the_next_call(fake_client: StartClient, http_reply: Reply) -> None:
    """A call that is cancelled in a server's pause is not sent again; the next call is sent at once."""
    refused = Begun(http_reply(status=429, retry_after="20"))
    server, client = await fake_client(refused, http_reply(ANSWER))
    async with asyncio.timeout(ENOUGH_S / 2):
        call = asyncio.create_task(client.query("up"))
        await refused.wait()
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        assert [7.0] == await values(client)
        with pytest.raises(asyncio.CancelledError):
            await call
    assert 2 == len(server.seen)


async def test_strict_mode_and_a_fail_over_and_back(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A member that is down, then one that is partial: the part is no answer, and the other member is asked again."""
    now_s = [0.0]
    first = await fake_prometheus(http_reply(status=503), http_reply(vector("1")))
    second = await fake_prometheus(http_reply(vector("2")), http_reply(PARTIAL), http_reply(vector("2")))
    async with pair_of(first, second, strict=True, failback_s=30, clock=lambda: now_s[0]) as client:
        assert [2.0] == await values(client)
        assert [1.0] == await values(client)  # the second is partial now, and the first is up again
        now_s[0] += 30
        assert [1.0] == await values(client)
    assert (3, 2) == (len(first.seen), len(second.seen))


async def test_a_refused_post_and_an_outage(fake_client: StartClient, http_reply: Reply) -> None:
    """A GET that fails by chance teaches nothing: the next attempt begins with a POST, and its GET is answered."""
    refused, down = http_reply(status=405), http_reply(status=503)
    server, client = await fake_client(refused, down, refused, http_reply(ANSWER), http_reply(ANSWER))
    assert [[7.0]] * 2 == [await values(client), await values(client)]
    assert ["POST", "GET", "POST", "GET", "GET"] == [request.method for request in server.seen]


async def test_a_refused_post_and_a_missing_credential(fake_client: StartClient, http_reply: Reply) -> None:
    """A proxy that allows no POST, and refuses the GET for want of a token: the error is about the token."""
    server, client = await fake_client(http_reply(status=405), http_reply("who?", status=401, www_authenticate="Bearer"))
    with pytest.raises(AccessDeniedError, match="set bearer_token"):
        await client.query("up")
    assert ["POST", "GET"] == [request.method for request in server.seen]


async def test_a_compressed_answer_in_single_bytes_that_breaks_off(fake_client: StartClient, http_reply: Reply) -> None:
    """The beginning is dropped, and the answer of the next attempt is read, byte by byte as well."""
    whole = http_reply(gzip.compress(ANSWER.encode()), content_encoding="gzip")

    def trickling(data: bytes, *, ends: bool) -> Answer:
        async def trickle(writer: asyncio.StreamWriter) -> None:
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            if ends:
                writer.close()

        return trickle

    server, client = await fake_client(trickling(whole[:-9], ends=True), trickling(whole, ends=False), gzip=True)
    assert [7.0] == await values(client)
    assert 2 == len(server.seen)


async def test_a_query_cancelled_after_each_byte_of_its_answer(
    fake_prometheus: StartFake, http_reply: Reply, tcp_proxy: StartProxy
) -> None:
    """The rest of the answer comes later; the next query, on the only connection that is allowed, gets its own."""
    answer = http_reply(ANSWER)
    others = [http_reply(vector("3")), answer]
    server = await fake_prometheus(answer, *others * (len(answer) + 1))
    proxy = await tcp_proxy(int(server.url.rpartition(":")[2]), piece=1)
    options = PrometheusOptions(max_connections=1, timeout_s=60)
    async with (
        asyncio.timeout(ENOUGH_S),
        aclosing(PrometheusClient(f"http://127.0.0.1:{proxy.port}", options=options)) as client,
    ):
        for arrived in range(len(answer)):
            proxy.hold(after=arrived)
            call = asyncio.create_task(client.query("up"))
            await proxy.held.wait()
            for _ in range(3):
                await asyncio.sleep(0)
            call.cancel()
            proxy.let_go()
            assert [3.0] == await values(client)
            with pytest.raises(asyncio.CancelledError):
                await call
        assert [7.0] == await values(client)


@pytest.mark.parametrize("status", [200, 503])
async def test_a_trickle_that_outlasts_the_deadline(
    fake_prometheus: StartFake, http_reply: Reply, tcp_proxy: StartProxy, status: int
) -> None:
    """Bytes that keep arriving prolong nothing, and the next query is answered."""
    server = await fake_prometheus(http_reply(ANSWER + " " * 1_000, status=status), http_reply(ANSWER))
    proxy = await tcp_proxy(int(server.url.rpartition(":")[2]), piece=1, delay_s=0.01)
    options = PrometheusOptions(timeout_s=0.4)
    async with (
        asyncio.timeout(ENOUGH_S),
        aclosing(PrometheusClient(f"http://127.0.0.1:{proxy.port}", options=options)) as client,
    ):
        with pytest.raises(TimedOutError):
            await client.query("up")
        proxy.piece, proxy.delay_s = 65_536, 0
        assert [7.0] == await values(client)


async def test_busy_connections_and_the_deadline(fake_client: StartClient, http_reply: Reply) -> None:
    """Queries that wait for the only connection end with the deadline as the one that has it; the next is answered."""
    server, client = await fake_client(never, max_connections=1, timeout_s=0.3)
    async with asyncio.timeout(ENOUGH_S):
        results = await asyncio.gather(*(client.query("up") for _ in range(5)), return_exceptions=True)
        assert [TimedOutError] * 5 == [type(result) for result in results]
        server.answers = [http_reply(ANSWER)]
        assert [7.0] == await values(client)


async def test_one_part_unavailable_and_another_refused(fake_client: StartClient, http_reply: Reply) -> None:
    """A range of several requests fails with the refusal, without waiting for the pause of the other part."""
    refused = http_reply(refusal("execution", "query processing would load too many samples"), status=422)
    pause = http_reply(status=503, retry_after="20")
    _, client = await fake_client(pause, pause, refused, pause)
    async with asyncio.timeout(ENOUGH_S / 2):
        with pytest.raises(QueryRejectedError, match="shorter range"):
            await client.query_range("up", LONG)


async def test_a_part_that_is_partial_and_a_member_that_is_late(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """In strict mode a long range with one partial answer fails for it, at the deadline."""
    matrix = '{"status":"success","data":{"resultType":"matrix","result":[]}}'
    partial = matrix.replace('"data"', '"warnings":["a store is down"],"isPartial":true,"data"')
    first = await fake_prometheus(http_reply(partial), http_reply(matrix))
    second = await fake_prometheus(never)
    async with pair_of(first, second, strict=True, timeout_s=0.5) as client:
        with pytest.raises(PartialAnswerError, match="a store is down"):
            await client.query_range("up", LONG)
    assert 1 == len(second.seen)
