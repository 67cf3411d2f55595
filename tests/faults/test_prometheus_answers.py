"""Answers with HTTP 200 that are no answers, are partial, or have warnings."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import Any

import pytest
from tests.e2e.program import ID_1, ID_2, statcore
from tests.faults.fake_prometheus import RANGE, Reply, StartClient, StartFake, refusal, vector

from statcore.errors import PartialAnswerError, ProtocolError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient, PrometheusOptions


@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "<html></html>", "{}", '{"status":"success"}', refusal("execution", "with HTTP 200")),
        '{"status":"error","data":{"resultType":"matrix","result":[]}}',
        *('{"data":{"resultType":"matrix","result":[]}}', '{"status":"success","data":[]}'),
        '{"status":"success","data":{"resultType":"matrix"}}',
        '{"status":"success","data":{"resultType":"vector","result":[]}}',
        '{"status":"success","data":{"resultType":"what","result":[]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1},"values":[]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":null}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[1]}]}}',
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[1]},{"metric":{},"values":[[1,"2"]]}]}}',
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
        *("[" * 100_000 + "]" * 100_000, '{"status":"success","data":' + '{"a":' * 100_000 + "1" + "}" * 100_001),
        '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":' + "[" * 100_000,
    ],
    ids=lambda body: f"{body[:60]}…{len(body)}",
)
async def test_a_body_that_is_no_answer(fake_client: StartClient, http_reply: Reply, body: str) -> None:
    """HTTP 200 with a body that is no answer is a ProtocolError, after one attempt."""
    server, client = await fake_client(http_reply(body))
    with pytest.raises(ProtocolError, match=server.url):
        await client.query_range("up", RANGE)
    assert 1 == len(server.seen)


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success","data":null}',
        '{"status":"success","data":{"resultType":"%s","result":null}}',
        '{"status":"success","isPartial":null,"data":{"resultType":"%s","result":null},"errorType":null,"error":null}',
    ],
)
async def test_null_is_nothing_found(fake_client: StartClient, http_reply: Reply, body: str) -> None:
    """Servers write null for an empty list of series, samples, values or label sets."""
    kinds = ("matrix", "vector", "scalar")
    bodies = [body.replace("%s", kind) for kind in kinds] + 2 * ['{"status":"success","data":null,"warnings":null}']
    server, client = await fake_client(*map(http_reply, bodies))
    assert () == (await client.query_range("up", RANGE)).series
    assert () == (await client.query("up")).samples
    assert () == (await client.query("scalar(up)")).samples
    assert [] == list(await client.label_values("job"))
    assert [] == list(await client.series(Selector("up")))
    assert 5 == len(server.seen)


ODD_VALUES: list[list[object]] = [[2], ["2", 3], ["0x10"]]
NO_TEXTS: list[object] = [{}, "text", [1], [["a"]], [{"a": "b"}]]
LONG = [f'[{1_795_341_600 + n},"{n}.5"]' for n in range(10_000)]


@pytest.mark.parametrize("length", [1, len(LONG)], ids=["short", "long"])
@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize(
    "sample",
    [
        *('[1,"2"3"]', '[1,2"3"]', '[1,"2"3]', '[1,""2]', '[1,2""]', '1[,"2"]', '[1,"2"]3', '[,"2"]', '[1,""]'),
        *("", "[]", "[[]]"),
        *('[1,"2"', '1,"2"]', '[1"2"]', '["1",2]', '[1,"2",]', '[1,"2"],', '[1,"2-3"]', '[1 ,"2 "]', '[01,"2"]'),
    ],
)
async def test_a_sample_that_is_almost_json_is_no_answer(
    fake_client: StartClient, http_reply: Reply, sample: str, length: int, position: str
) -> None:
    """A malformed sample is refused in a short series and in a long one, which are read in different ways."""
    samples = [sample, *LONG[:length]] if position == "first" else [*LONG[:length], sample, LONG[0]]
    result = f'[{{"metric":{{}},"values":[{",".join(samples)}]}}]'
    _, client = await fake_client(http_reply(f'{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}'))
    with pytest.raises(ProtocolError, match="not an answer"):
        await client.query_range("up", RANGE)


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success","data":{"resultType":"K","result":[{"metric":{"a":"?"},"V":S}]}}',
        '{"status":"success","data":{"resultType":"K","result":[{"metric":{"?":"a"},"V":S}]}}',
        '{"status":"success","data":{"resultType":"K","result":[]},"warnings":["?"]}',
        '{"status":"success","data":{"resultType":"K","result":[]},"infos":["?"]}',
        '{"status":"success","data":{"resultType":"K","result":[],"stats":{"?":"?"}}}',
        '{"status":"error","errorType":"execution","error":"?"}',
    ],
)
@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
async def test_invalid_utf8_is_no_answer(fake_client: StartClient, http_reply: Reply, body: str, text: bytes) -> None:
    """Invalid UTF-8 is refused in parts that are read and in parts that are skipped."""
    matrix = body.replace("K", "matrix").replace("V", "values").replace("S", '[[1,"2"]]').encode().replace(b"?", text)
    vector = body.replace("K", "vector").replace("V", "value").replace("S", '[1,"2"]').encode().replace(b"?", text)
    values = b'{"status":"success","data":["a"],"stats":"%b"}' % text
    _, client = await fake_client(*map(http_reply, (matrix, vector, values)))
    for ask in (
        lambda: client.query_range("up", RANGE),
        lambda: client.query("up"),
        lambda: client.label_values("job"),
    ):
        with pytest.raises(ProtocolError, match="utf-8"):
            await ask()


async def test_an_error_with_http_200_is_one_line(fake_client: StartClient, http_reply: Reply) -> None:
    """The text of a server cannot add a line to a log."""
    _, client = await fake_client(http_reply('{"status":"error","error":"no\\nERROR\\u001b[31m"}'))
    with pytest.raises(ProtocolError, match=r"no.*ERROR") as caught:
        await client.query_range("up", RANGE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("query", {"resultType": "vector", "result": [{"metric": {}}]}),
        *(("query", {"resultType": "vector", "result": [{"metric": {}, "value": [1, *rest]}]}) for rest in ODD_VALUES),
        ("query", {"resultType": "scalar", "result": [1, "one"]}),
        ("query", {"resultType": "what", "result": []}),
        *(("label_values", data) for data in NO_TEXTS),
    ],
)
async def test_a_result_that_does_not_fit_the_call(
    fake_client: StartClient, http_reply: Reply, method: str, data: object
) -> None:
    """Data that is no instant answer, or no list of texts, is a ProtocolError after one attempt."""
    server, client = await fake_client(http_reply(json.dumps({"status": "success", "data": data})))
    with pytest.raises(ProtocolError, match=server.url):
        await getattr(client, method)("up")
    assert 1 == len(server.seen)


@pytest.mark.parametrize("kind", ["histogram", "histograms"])
async def test_native_histograms_are_refused(fake_client: StartClient, http_reply: Reply, kind: str) -> None:
    """Histograms are no floats; the answer is refused as a whole, so that no series is missing from it."""
    plain = {"metric": {}, "values": [[1, "2"]], "value": [1, "2"]}
    data = {"result": [plain, plain | {kind: [[1, {"count": "1", "buckets": [[0, "1", "2", "3"], [0, "1", "2", "3"]]}]]}]}
    reply = [
        http_reply(json.dumps({"status": "success", "data": data | {"resultType": kind}})) for kind in ("matrix", "vector")
    ]
    server, client = await fake_client(*reply)
    with pytest.raises(UnsupportedError, match="histogram"):
        await client.query_range("h", RANGE)
    del data["result"][0]["values"]
    with pytest.raises(UnsupportedError):
        await client.query("h")
    assert 2 == len(server.seen)


@pytest.mark.parametrize(
    ("members", "is_partial"),
    [
        ({"warnings": ["w"], "infos": ["i", "j"]}, False),
        ({"isPartial": True}, True),
        ({"warnings": ["2 errors: store down: Partial Response is enabled"]}, True),
    ],
    ids=["notes", "VictoriaMetrics", "Thanos"],
)
async def test_the_result_has_the_notes_of_the_answer(
    fake_client: StartClient, http_reply: Reply, members: dict[str, Any], *, is_partial: bool
) -> None:
    """Warnings and infos alone do not make it partial; a member of VictoriaMetrics and a warning of Thanos do."""
    _, client = await fake_client(http_reply(vector("1", **members)))
    result = await client.query("up")
    notes = (tuple(members.get("warnings", ())), tuple(members.get("infos", ())), is_partial)
    assert notes == (result.warnings, result.infos, result.partial)
    assert [1.0] == [sample.value for sample in result.samples]


@pytest.mark.parametrize("members", [{"isPartial": True}, {"warnings": ["w"]}, {"warnings": ["w"], "isPartial": True}])
async def test_strict_raises(fake_client: StartClient, http_reply: Reply, members: dict[str, Any]) -> None:
    """In strict mode a partial answer, or one with warnings, is an error that holds the warnings."""
    _, client = await fake_client(http_reply(vector("1", **members)), strict=True)
    with pytest.raises(PartialAnswerError) as caught:
        await client.query("up")
    assert tuple(members.get("warnings", ())) == caught.value.warnings


async def test_strict_lets_infos_pass(fake_client: StartClient, http_reply: Reply) -> None:
    """An info says nothing of missing data."""
    _, client = await fake_client(http_reply(vector("1", infos=["i"])), strict=True)
    result = await client.query("up")
    assert ("i",) == result.infos


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ('[{"metric":{"n":"a"},"values":[[3,"1"],[2,"1"]]}]', "are not in order of time"),
        ('[{"metric":{"n":"a"},"values":[[3,"1"],[3,"2"]]}]', "are not in order of time"),
        ('[{"metric":{"n":"a"},"values":[[2,"1"]]},{"metric":{"n":"a"},"values":[[3,"1"]]}]', "twice"),
    ],
)
async def test_a_part_with_unsorted_samples_or_a_repeated_series_is_no_answer(
    fake_client: StartClient, http_reply: Reply, result: str, message: str
) -> None:
    """Such a part of a split range is not joined to the others."""
    right = '[{"metric":{"n":"a"},"values":[[0,"1"],[1,"1"]]}]'
    body = '{"status":"success","data":{"resultType":"matrix","result":%s}}'
    server, client = await fake_client(*(http_reply(body % part) for part in (right, result)), max_points=2)
    with pytest.raises(ProtocolError, match=message):
        await client.query_range("up", QueryTimeRange(start=0, end=3, step=1))
    assert 2 == len(server.seen)


async def test_warnings_about_a_list_are_logged(
    fake_prometheus: StartFake, http_reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """A list has no place for warnings, so they are logged; in strict mode they are an error."""
    body = json.dumps({"status": "success", "data": [{"__name__": "up"}], "warnings": ["a store is down"]})
    server = await fake_prometheus(http_reply(body))
    async with aclosing(PrometheusClient(server.url)) as client:
        assert [{"__name__": "up"}] == list(await client.series(Selector("up")))
    assert ["series up: a store is down"] == [record.getMessage() for record in caplog.records]
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(strict=True))) as client:
        with pytest.raises(PartialAnswerError, match="a store is down"):
            await client.series(Selector("up"))


async def test_the_program_says_which_ids_of_series_do_not_fit(
    fake_prometheus: StartFake, http_reply: Reply, valkey: Server
) -> None:
    """A kernel whose id is none is not listed, and standard error says so."""
    labels = [{"kernel_id": id_, "session_id": ID_2} for id_ in (ID_1, "kernel-7")]
    result = [{"metric": each, "values": [[time.time(), "1"]]} for each in labels]
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    server = await fake_prometheus(http_reply(body))
    urls = {"statistics_url": valkey.url, "metrics_url": server.url}
    done = await asyncio.to_thread(statcore, "kernels", "--format", "json", **urls)
    assert [ID_1] == [kernel["id"] for kernel in json.loads(done.stdout)["kernels"]]
    assert "statcore: 1 label values are not ids and count as unknown, such as kernel_id 'kernel-7'\n" == done.stderr
