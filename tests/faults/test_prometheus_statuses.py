"""Answers with an HTTP status that is an error: the error that is raised, and the retries."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.fake_prometheus import RANGE, Reply, StartClient, refusal, values, vector

from statcore.errors import ProtocolError, QueryRejectedError, StatcoreError, TimedOutError, UnavailableError


@pytest.mark.parametrize(
    ("status", "body", "expected", "requests"),
    [
        (400, refusal("bad_data", "parse error: what"), QueryRejectedError, 1),
        (422, refusal("execution", "many-to-many what"), QueryRejectedError, 1),
        (413, "what", QueryRejectedError, 1),
        (431, "what", QueryRejectedError, 1),
        (404, "404 page not found what", ProtocolError, 1),
        (405, "what", ProtocolError, 2),
        (501, "what", UnavailableError, 6),
        (204, "", ProtocolError, 1),
        (500, refusal("internal", "what"), UnavailableError, 3),
        (502, "what", UnavailableError, 3),
        (503, refusal("unavailable", "what"), UnavailableError, 3),
        (503, refusal("timeout", "query timed out what"), TimedOutError, 3),
        (422, refusal("422", "timeout exceeded during query execution: 0.5 seconds what"), TimedOutError, 3),
        (504, "what", UnavailableError, 3),
        (429, "what", UnavailableError, 3),
        (499, "what", UnavailableError, 3),
    ],
)
async def test_each_status_is_one_error(
    fake_client: StartClient, http_reply: Reply, status: int, body: str, expected: type[StatcoreError], requests: int
) -> None:
    """A refusal gets one request, a server in trouble three; the error holds the server's text.

    Where only the POST may have been refused, a GET follows.
    """
    server, client = await fake_client(http_reply(body, status=status))
    with pytest.raises(StatcoreError) as caught:
        await client.query("up")
    assert expected is caught.type
    assert requests == len(server.seen)
    assert server.url in str(caught.value)
    assert ("what" in body) is ("what" in str(caught.value))


async def test_a_refused_query_says_which_and_why(fake_client: StartClient, http_reply: Reply) -> None:
    """The error carries the query and the status."""
    _, client = await fake_client(http_reply(refusal("bad_data", "parse error: x"), status=400))
    with pytest.raises(QueryRejectedError, match="parse error: x") as caught:
        await client.query_range("up{", RANGE)
    assert ("up{", 400) == (caught.value.query, caught.value.status)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("exceeded maximum resolution of 11,000 points per timeseries.", "lower max_points"),
        ("query processing would load too many samples into memory", "shorter range"),
        ("too long query; got 25911 bytes", "larger -search.maxQueryLen, or name fewer values"),
    ],
)
async def test_a_server_limit_says_what_to_change(
    fake_client: StartClient, http_reply: Reply, text: str, advice: str
) -> None:
    """The error says how to stay below the limit."""
    server, client = await fake_client(http_reply(refusal("execution", text), status=422))
    with pytest.raises(QueryRejectedError, match=f"{text}.*{advice}"):
        await client.query_range("up", RANGE)
    assert 1 == len(server.seen)


async def test_trouble_that_passes_is_not_seen(fake_client: StartClient, http_reply: Reply) -> None:
    """After a proxy's page with 502 and a 503, the caller gets the answer of the third attempt."""
    page = http_reply("<html>Bad Gateway</html>", status=502, content_type="text/html")
    server, client = await fake_client(page, http_reply(status=503), http_reply(vector("7")))
    assert [7.0] == await values(client)
    assert 3 == len(server.seen)


async def test_a_refusal_ends_the_retries(fake_client: StartClient, http_reply: Reply) -> None:
    """A refusal after an outage is raised at once."""
    server, client = await fake_client(http_reply(status=503), http_reply(refusal("bad_data", "no"), status=400))
    with pytest.raises(QueryRejectedError, match="no"):
        await client.query("up")
    assert 2 == len(server.seen)


async def test_a_page_is_not_quoted(fake_client: StartClient, http_reply: Reply) -> None:
    """The error says that the answer was a web page."""
    server, client = await fake_client(
        http_reply("<html>Bad Gateway</html>", status=502, content_type="text/html"), attempts=1
    )
    with pytest.raises(UnavailableError, match=r"HTTP 502: a web page$"):
        await client.query("up")
    assert 1 == len(server.seen)


async def test_retry_after_is_waited_for(fake_client: StartClient, http_reply: Reply) -> None:
    """The second attempt does not come before the pause that the server wants is over."""
    times: list[float] = []

    async def refuse_once(writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.write(http_reply(vector("7")) if len(times) > 1 else http_reply(status=429, retry_after="1"))

    _, client = await fake_client(refuse_once)
    result = await client.query("up")
    first, second = times
    assert 1.0 <= second - first
    assert [7.0] == [sample.value for sample in result.samples]


async def test_retry_after_beyond_the_deadline_fails_at_once(fake_client: StartClient, http_reply: Reply) -> None:
    """The error is raised without a pause, and holds the seconds that the server wants."""
    server, client = await fake_client(http_reply("slow down", status=429, retry_after="3600"))
    with pytest.raises(UnavailableError, match="slow down") as caught:
        await client.query("up")
    assert 3600.0 == caught.value.retry_after_s
    assert 1 == len(server.seen)
