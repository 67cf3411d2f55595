"""Answers that are errors, are no answers, or are only part of one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from statcore.errors import (
    PartialAnswerError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore_prometheus import PrometheusClient, PrometheusOptions

Start = Callable[..., Awaitable[Any]]
Reply = Callable[..., bytes]

RANGE = QueryTimeRange(start=1_795_341_600, end=1_795_341_660, step="60s")


def vector(*values: str, **members: object) -> str:
    """Return the answer to an instant query."""
    result = [{"metric": {"n": str(n)}, "value": [1_795_341_600, value]} for n, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **members})


def matrix(*values: str) -> str:
    """Return the answer to a range query, of one series."""
    samples = [[1_795_341_600 + n, value] for n, value in enumerate(values)]
    data = {"resultType": "matrix", "result": [{"metric": {}, "values": samples}]}
    return json.dumps({"status": "success", "data": data})


def refusal(kind: str, text: str) -> str:
    """Return an error as Prometheus words it."""
    return json.dumps({"status": "error", "errorType": kind, "error": text})


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Retry as often as ever, but at once."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@pytest.mark.parametrize(
    ("status", "body", "expected", "requests"),
    [
        (400, refusal("bad_data", "parse error: what"), QueryRejectedError, 1),
        (422, refusal("execution", "many-to-many what"), QueryRejectedError, 1),
        (413, "what", QueryRejectedError, 1),
        (431, "what", QueryRejectedError, 1),
        (404, "404 page not found what", ProtocolError, 1),
        (405, "what", ProtocolError, 1),
        (204, "", ProtocolError, 1),
        (500, refusal("internal", "what"), UnavailableError, 3),
        (502, "what", UnavailableError, 3),
        (503, refusal("unavailable", "what"), UnavailableError, 3),
        (503, refusal("timeout", "query timed out what"), TimedOutError, 3),
        (504, "what", UnavailableError, 3),
        (429, "what", UnavailableError, 3),
    ],
)
async def test_each_status_is_one_error(
    fake_prometheus: Start, http_reply: Reply, status: int, body: str, expected: type[StatcoreError], requests: int
) -> None:
    """A refusal is never asked again, a server in trouble three times; the server's own text is in the error."""
    server = await fake_prometheus(http_reply(body, status=status))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(StatcoreError) as caught:
            await client.query("up")
    assert expected is caught.type
    assert requests == len(server.seen)
    assert server.url in str(caught.value)
    assert ("what" in body) is ("what" in str(caught.value))


async def test_a_refused_query_says_which_and_why(fake_prometheus: Start, http_reply: Reply) -> None:
    """The error carries the query and the status."""
    server = await fake_prometheus(http_reply(refusal("bad_data", "parse error: x"), status=400))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(QueryRejectedError, match="parse error: x") as caught:
            await client.query_range("up{", RANGE)
    assert ("up{", 400) == (caught.value.query, caught.value.status)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("exceeded maximum resolution of 11,000 points per timeseries.", "lower max_points"),
        ("query processing would load too many samples into memory", "shorter range"),
    ],
)
async def test_a_server_limit_says_what_to_change(
    fake_prometheus: Start, http_reply: Reply, text: str, advice: str
) -> None:
    """A limit that is hit in spite of splitting is an error with a way out."""
    server = await fake_prometheus(http_reply(refusal("execution", text), status=422))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(QueryRejectedError, match=f"{text}.*{advice}"):
            await client.query_range("up", RANGE)
    assert 1 == len(server.seen)


async def test_trouble_that_passes_is_not_seen(fake_prometheus: Start, http_reply: Reply) -> None:
    """A proxy's page with 502, then a 503, then the answer: the caller gets the answer."""
    page = http_reply("<html>Bad Gateway</html>", status=502, content_type="text/html")
    server = await fake_prometheus(page, http_reply(status=503), http_reply(vector("7")))
    async with aclosing(PrometheusClient(server.url)) as client:
        result = await client.query("up")
    assert [7.0] == [sample.value for sample in result.samples]
    assert 3 == len(server.seen)


async def test_a_refusal_ends_the_retries(fake_prometheus: Start, http_reply: Reply) -> None:
    """Also where it comes after trouble."""
    server = await fake_prometheus(http_reply(status=503), http_reply(refusal("bad_data", "no"), status=400))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(QueryRejectedError, match="no"):
            await client.query("up")
    assert 2 == len(server.seen)


async def test_a_page_is_not_quoted(fake_prometheus: Start, http_reply: Reply) -> None:
    """An error does not drag a proxy's page along."""
    server = await fake_prometheus(http_reply("<html>Bad Gateway</html>", status=502, content_type="text/html"))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(attempts=1))) as client:
        with pytest.raises(UnavailableError, match=r"HTTP 502: a web page$"):
            await client.query("up")
    assert 1 == len(server.seen)


async def test_retry_after_is_waited_for(fake_prometheus: Start, http_reply: Reply) -> None:
    """The pause before the next attempt is what the server asked for."""
    server = await fake_prometheus(http_reply(status=429, retry_after="1"), http_reply(vector("7")))
    pauses: list[float] = []

    def note(details: RetryDetails) -> None:
        pauses.append(details.wait_for)

    hooks = get_on_retry_hooks()
    set_on_retry_hooks([note])
    try:
        with stamina.set_testing(False):
            async with aclosing(PrometheusClient(server.url)) as client:
                result = await client.query("up")
    finally:
        set_on_retry_hooks(hooks)
    assert [1.0] == pauses
    assert [7.0] == [sample.value for sample in result.samples]


async def test_retry_after_beyond_the_deadline_fails_at_once(fake_prometheus: Start, http_reply: Reply) -> None:
    """Nobody waits for what cannot come in time; the error says when it could."""
    server = await fake_prometheus(http_reply("slow down", status=429, retry_after="3600"))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(UnavailableError, match="slow down") as caught:
            await client.query("up")
    assert 3600.0 == caught.value.retry_after_s
    assert 1 == len(server.seen)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "<html></html>",
        "{}",
        refusal("execution", "with HTTP 200"),
        '{"status":"success"}',
        '{"status":"error","data":{"resultType":"matrix","result":[]}}',
        '{"data":{"resultType":"matrix","result":[]}}',
        '{"status":"success","data":null}',
        '{"status":"success","data":[]}',
        '{"status":"success","data":{"resultType":"matrix"}}',
        '{"status":"success","data":{"resultType":"matrix","result":null}}',
        '{"status":"success","data":{"resultType":"vector","result":[]}}',
        '{"status":"success","data":{"resultType":"what","result":[]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1},"values":[]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":null}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,2]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["1","2"]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2","3"],["4"]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"two"]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1_0"]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1-0"]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,""]]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[3,"4"',
        '{"status":"success","data":{"resultType":"matrix","result":[]}}}',
        '{"status":"success","warnings":"text","data":{"resultType":"matrix","result":[]}}',
        "[" * 100_000 + "]" * 100_000,
        '{"status":"success","data":' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":' + "[" * 100_000,
    ],
    ids=lambda body: f"{body[:60]}…{len(body)}",
)
async def test_what_is_no_answer(fake_prometheus: Start, http_reply: Reply, body: str) -> None:
    """HTTP 200 with anything but an answer is one error, at the first attempt."""
    server = await fake_prometheus(http_reply(body))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(ProtocolError, match=server.url):
            await client.query_range("up", RANGE)
    assert 1 == len(server.seen)


async def test_an_error_with_http_200_is_one_line(fake_prometheus: Start, http_reply: Reply) -> None:
    """As with any other status, what the server says can fake no line of a log."""
    server = await fake_prometheus(http_reply('{"status":"error","error":"no\\nERROR\\u001b[31m"}'))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(ProtocolError, match=r"no.*ERROR") as caught:
            await client.query_range("up", RANGE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "data",
    [
        {"resultType": "vector", "result": [{"metric": {}}]},
        {"resultType": "vector", "result": [{"metric": {}, "value": [1, 2]}]},
        {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2", 3]}]},
        {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0x10"]}]},
        {"resultType": "scalar", "result": [1, "one"]},
        {"resultType": "what", "result": []},
    ],
)
async def test_what_is_no_instant_answer(fake_prometheus: Start, http_reply: Reply, data: object) -> None:
    """Likewise for instant queries."""
    server = await fake_prometheus(http_reply(json.dumps({"status": "success", "data": data})))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(ProtocolError, match=server.url):
            await client.query("up")
    assert 1 == len(server.seen)


@pytest.mark.parametrize("data", [None, {}, "text", [1], [["a"]], [{"a": "b"}]])
async def test_what_is_no_list_of_values(fake_prometheus: Start, http_reply: Reply, data: object) -> None:
    """Likewise for label values."""
    server = await fake_prometheus(http_reply(json.dumps({"status": "success", "data": data})))
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(ProtocolError, match=server.url):
            await client.label_values("job")
    assert 1 == len(server.seen)


@pytest.mark.parametrize("kind", ["histogram", "histograms"])
async def test_native_histograms_are_refused(fake_prometheus: Start, http_reply: Reply, kind: str) -> None:
    """They are no floats, and no part of an answer is left out silently."""
    plain = {"metric": {}, "values": [[1, "2"]], "value": [1, "2"]}
    data = {"result": [plain, plain | {kind: [[1, {"count": "1", "buckets": [[0, "1", "2", "3"], [0, "1", "2", "3"]]}]]}]}
    reply = [
        http_reply(json.dumps({"status": "success", "data": data | {"resultType": kind}})) for kind in ("matrix", "vector")
    ]
    server = await fake_prometheus(*reply)
    async with aclosing(PrometheusClient(server.url)) as client:
        with pytest.raises(UnsupportedError, match="histogram"):
            await client.query_range("h", RANGE)
        del data["result"][0]["values"]  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError):
            await client.query("h")
    assert 2 == len(server.seen)


async def test_warnings_and_infos_are_in_the_result(fake_prometheus: Start, http_reply: Reply) -> None:
    """What the server remarks is not lost, and does not by itself make an answer partial."""
    server = await fake_prometheus(http_reply(vector("1", warnings=["w"], infos=["i", "j"])))
    async with aclosing(PrometheusClient(server.url)) as client:
        result = await client.query("up")
    assert (("w",), ("i", "j"), False) == (result.warnings, result.infos, result.partial)


@pytest.mark.parametrize(
    "members", [{"isPartial": True}, {"warnings": ["2 errors: store down: Partial Response is enabled"]}]
)
async def test_a_partial_answer_says_so(fake_prometheus: Start, http_reply: Reply, members: dict[str, object]) -> None:
    """Of VictoriaMetrics and of Thanos."""
    server = await fake_prometheus(http_reply(vector("1", **members)))
    async with aclosing(PrometheusClient(server.url)) as client:
        result = await client.query("up")
    assert result.partial
    assert [1.0] == [sample.value for sample in result.samples]


@pytest.mark.parametrize("members", [{"isPartial": True}, {"warnings": ["w"]}, {"warnings": ["w"], "isPartial": True}])
async def test_strict_raises(fake_prometheus: Start, http_reply: Reply, members: dict[str, Any]) -> None:
    """In strict mode an answer that may lack something is an error that carries the warnings."""
    server = await fake_prometheus(http_reply(vector("1", **members)))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(strict=True))) as client:
        with pytest.raises(PartialAnswerError) as caught:
            await client.query("up")
    assert tuple(members.get("warnings", ())) == caught.value.warnings


async def test_strict_lets_infos_pass(fake_prometheus: Start, http_reply: Reply) -> None:
    """An info never means that something is missing."""
    server = await fake_prometheus(http_reply(vector("1", infos=["i"])))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(strict=True))) as client:
        result = await client.query("up")
    assert ("i",) == result.infos


async def test_warnings_about_a_list_are_logged(
    fake_prometheus: Start, http_reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """A list has no place for warnings, so they are logged; in strict mode they are an error all the same."""
    body = json.dumps({"status": "success", "data": [{"__name__": "up"}], "warnings": ["a store is down"]})
    server = await fake_prometheus(http_reply(body))
    async with aclosing(PrometheusClient(server.url)) as client:
        assert [{"__name__": "up"}] == list(await client.series(Selector("up")))
    assert ["series up: a store is down"] == [record.getMessage() for record in caplog.records]
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(strict=True))) as client:
        with pytest.raises(PartialAnswerError, match="a store is down"):
            await client.series(Selector("up"))


async def test_a_base_path_comes_before_the_api(fake_prometheus: Start, http_reply: Reply) -> None:
    """A server behind a proxy lives at a path of it; queries are forms, and all else has parameters in the URL."""
    server = await fake_prometheus(http_reply(vector("7")), http_reply('{"status":"success","data":["a"]}'))
    async with aclosing(PrometheusClient(f"{server.url}/a/prometheus/")) as client:
        await client.query("up == 1 + 1")
        assert ["a"] == list(await client.label_values("job", match=Selector("up")))
    asked, listed = server.seen
    assert ("POST", "/a/prometheus/api/v1/query", "up == 1 + 1") == (asked.method, asked.path, asked.form["query"])
    assert ("GET", "/a/prometheus/api/v1/label/job/values", {}) == (listed.method, listed.path, listed.form)
    assert {"match[]": "up"} == listed.parameters
