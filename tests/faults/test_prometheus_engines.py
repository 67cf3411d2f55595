"""Scripted Thanos, Mimir and VictoriaMetrics cluster: their options, their partial answers, and the texts of their limits.

These engines do not run in the tests. The texts are those of their documentation and source, except where a test of the
plugin statcore-victoriametrics gets them from a real server.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing
from typing import Any, Final

import pytest
from tests.e2e.program import statcore
from tests.faults.fake_prometheus import ANSWER, RANGE, Reply, StartClient, StartFake, refusal, values, vector

from statcore.errors import (
    AccessDeniedError,
    InputError,
    PartialAnswerError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)
from statcore.promql import Selector
from statcore_prometheus import PrometheusClient, PrometheusOptions

MATRIX: Final = '{"status":"success","data":{"resultType":"matrix","result":[]}}'
LISTING: Final = '{"status":"success","data":[]}'
STORE: Final = "receive series from Addr: 10.0.0.1:10901 LabelSets: {a=1}: rpc error: code = Unavailable desc = closing"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"dedup": False, "partial_response": True}, {"dedup": "false", "partial_response": "true"}),
        ({"dedup": True, "parameters": {"max_source_resolution": "5m"}}, {"dedup": "true", "max_source_resolution": "5m"}),
    ],
)
async def test_the_options_of_thanos_go_with_every_request(
    fake_client: StartClient, http_reply: Reply, options: dict[str, Any], expected: dict[str, str]
) -> None:
    """Instants, ranges and lists alike; an option that is not set is not sent."""
    server, client = await fake_client(*map(http_reply, (ANSWER, MATRIX, LISTING, LISTING)), **options)
    await client.query("up")
    await client.query_range("up", RANGE)
    await client.series(Selector("up"))
    await client.label_values("job")
    for request in server.seen:
        sent = {**request.parameters, **request.form}
        assert expected == {
            name: sent[name] for name in ("dedup", "partial_response", "max_source_resolution") if name in sent
        }


@pytest.mark.parametrize("name", ["dedup", "partial_response"])
def test_an_option_and_its_parameter_exclude_each_other(name: str) -> None:
    """The error names the option."""
    with pytest.raises(InputError, match=f"^{name} is an option and among the parameters"):
        PrometheusOptions.from_settings({"parameters": {name: "1"}, name: True})


LACKING: Final = pytest.mark.parametrize(
    "members",
    [
        pytest.param({"warnings": [STORE]}, id="Thanos, a store is down"),
        pytest.param({"warnings": ["No StoreAPIs matched for this query"]}, id="Thanos, no store"),
        pytest.param({"isPartial": True}, id="VictoriaMetrics"),
    ],
)


@LACKING
async def test_an_engine_that_lacks_a_store_is_partial(
    fake_client: StartClient, http_reply: Reply, members: dict[str, Any]
) -> None:
    """The answer has what there is, and says so; in strict mode it is an error."""
    answers = [json.dumps({**json.loads(body), **members}) for body in (vector("1"), MATRIX)]
    _, client = await fake_client(*map(http_reply, answers))
    assert (await client.query("up")).partial
    assert (await client.query_range("up", RANGE)).partial
    _, strict = await fake_client(*map(http_reply, answers), strict=True)
    for reading in (strict.query("up"), strict.query_range("up", RANGE)):
        with pytest.raises(PartialAnswerError):
            await reading


@LACKING
async def test_a_list_that_lacks_a_store_is_an_error(
    fake_prometheus: StartFake, http_reply: Reply, members: dict[str, Any]
) -> None:
    """A list has no place for notes; the other member of a pair may have everything."""
    lacking = await fake_prometheus(http_reply(json.dumps({**json.loads(LISTING), **members})))
    whole = await fake_prometheus(http_reply('{"status":"success","data":["a"],"infos":["slow"]}'))
    async with aclosing(PrometheusClient(lacking.url)) as client:
        for reading in (
            client.series(Selector("up")),
            client.label_values("job"),
            client.query_available_container_metrics(),
        ):
            with pytest.raises(PartialAnswerError):
                await reading
    async with aclosing(PrometheusClient(lacking.url, options=PrometheusOptions(fallback_urls=(whole.url,)))) as pair:
        assert ["a"] == list(await pair.label_values("job"))


@pytest.mark.parametrize("command", ["metrics container", "grafana", "rules"])
async def test_the_program_writes_no_list_that_lacks_a_store(
    fake_prometheus: StartFake, http_reply: Reply, command: str
) -> None:
    """It says in one line what is missing, and writes nothing."""
    answer = {"status": "success", "data": ["mem"], "warnings": [STORE]}
    server = await fake_prometheus(http_reply(json.dumps(answer)))
    done = await asyncio.to_thread(statcore, *command.split(), metrics_url=server.url)
    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"statcore: .*rpc error: code = Unavailable.*\n", done.stderr)


async def test_the_program_shows_other_warnings_about_a_list(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The list is the answer, and the warning is on standard error."""
    answer = {"status": "success", "data": ["mem"], "warnings": ["results truncated\x1b due to limit"]}
    server = await fake_prometheus(http_reply(json.dumps(answer)))
    done = await asyncio.to_thread(statcore, "metrics", "container", "--format", "json", metrics_url=server.url)
    assert (0, {"metrics": ["mem"]}) == (done.returncode, json.loads(done.stdout))
    assert re.fullmatch(r"statcore: .*results truncated\\x1b due to limit\n", done.stderr)


@pytest.mark.parametrize(
    "warning",
    [
        'PromQL warning: encountered a mix of histograms and floats for metric name "partial_response_total" (1:1)',
        "results truncated due to limit",
    ],
)
async def test_other_warnings_are_shown_and_not_judged(fake_client: StartClient, http_reply: Reply, warning: str) -> None:
    """They are in the result, which does not claim to know that data is missing; a name in a query says nothing of data."""
    _, client = await fake_client(http_reply(vector("1", warnings=[warning])))
    result = await client.query("up")
    assert ((warning,), False) == (result.warnings, result.partial)


MIMIR: Final = "expanding series: the query exceeded the maximum number of"


@pytest.mark.parametrize(
    ("status", "text", "expected", "advice", "requests"),
    [
        (422, f"{MIMIR} series (limit: 3 series) (err-mimir-max-series-per-query).", QueryRejectedError, "fewer series", 1),
        (422, f"{MIMIR} chunks (err-mimir-max-chunks-per-query).", QueryRejectedError, "the tenant's limit", 1),
        (400, "time range (err-mimir-max-total-query-length).", QueryRejectedError, "shorter range", 1),
        (400, "query (err-mimir-max-query-expression-size-bytes).", QueryRejectedError, "max_values", 1),
        (429, "too many outstanding requests", UnavailableError, "lower max_connections", 2),
        (
            429,
            "the request has been rejected because the tenant exceeded the request rate limit",
            UnavailableError,
            "send f",
            2,
        ),
        (
            422,
            "rpc error: code = Aborted desc = rpc error: code = ResourceExhausted desc = x",
            QueryRejectedError,
            "stores",
            1,
        ),
        (422, f"expanding series: proxy Series(): rpc error: code = Aborted desc = {STORE}", UnavailableError, "", 2),
        (422, "expanding series: context deadline exceeded: request timed out after 1m0s", UnavailableError, "", 2),
        (503, "cannot return full response, since some of vmstorage nodes are unavailable", UnavailableError, "", 2),
        (422, "cannot return full response, since some of vmstorage nodes are unavailable", UnavailableError, "", 2),
        (429, "-search.maxConcurrentRequests=8 concurrent requests are executed", UnavailableError, "lower max_conn", 2),
        (503, "-search.maxConcurrentRequests=8 concurrent requests are executed", UnavailableError, "lower max_conn", 2),
        (503, "more than 8 …; increase `-search.maxConcurrentRequests`", UnavailableError, "lower max_conn", 2),
        (422, "the number of matching timeseries exceeds 300000; either", QueryRejectedError, "maxUniqueTimeseries", 1),
        (422, "many-to-many matching not allowed", QueryRejectedError, "", 1),
    ],
)
async def test_a_limit_or_an_outage_of_an_engine_is_our_error(
    fake_client: StartClient,
    http_reply: Reply,
    status: int,
    text: str,
    expected: type[StatcoreError],
    advice: str,
    requests: int,
) -> None:
    """A limit says what to change and is not retried; an outage is retried, whatever its status."""
    server, client = await fake_client(http_reply(refusal("execution", text), status=status), attempts=2)
    with pytest.raises(StatcoreError) as caught:
        await client.query("up")
    assert expected is caught.type
    assert text in str(caught.value)
    assert advice in str(caught.value)
    assert requests == len(server.seen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot return full response, since some of vmstorage nodes are unavailable", UnavailableError),
        ("timeout exceeded during the query: 1.000 seconds", TimedOutError),
        ("cannot select more than -search.maxSamplesPerQuery=1 samples", QueryRejectedError),
    ],
)
async def test_a_cause_after_a_long_query_counts(
    fake_client: StartClient, http_reply: Reply, text: str, expected: type[StatcoreError]
) -> None:
    """VictoriaMetrics repeats the query before the cause; the error shows the cause and not the whole query."""
    long = f'error when executing query="{"a + " * 3000}a": {text}'
    _, client = await fake_client(http_reply(refusal("422", long), status=422), attempts=1)
    with pytest.raises(expected) as caught:
        await client.query("up")
    assert text in str(caught.value)
    assert 2000 > len(str(caught.value))


async def test_a_store_that_is_down_is_a_reason_for_the_other_member(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A Thanos that must not answer partially refuses with the status of a bad query; another Thanos may have the store."""
    first = await fake_prometheus(http_reply(refusal("execution", STORE), status=422))
    second = await fake_prometheus(http_reply(vector("7")))
    client = PrometheusClient(first.url, options=PrometheusOptions(partial_response=False, fallback_urls=(second.url,)))
    assert [7.0] == await values(client)
    await client.aclose()
    assert "false" == second.seen[0].form["partial_response"]


@pytest.mark.parametrize(
    ("text", "finding"), [(STORE, f"queries of stored data fail.*{re.escape(STORE)}"), ("the query is not allowed", None)]
)
async def test_the_doctor_reports_a_store_without_which_nothing_is_answered(
    fake_client: StartClient, http_reply: Reply, text: str, finding: str | None
) -> None:
    """Without partial answers the ping works and every query of data fails; a proxy that refuses a query is no outage."""
    build = http_reply('{"status":"success","data":{"version":"0.34","revision":"a"}}')
    refused = http_reply(refusal("execution", text), status=422)
    _, client = await fake_client(build, refused, partial_response=False, attempts=1)
    found = await client.diagnose()
    assert found is None if finding is None else re.match(finding, found or "")


async def test_a_missing_tenant_is_named(fake_client: StartClient, http_reply: Reply) -> None:
    """Mimir's answer without a tenant has a status that elsewhere means a missing credential."""
    _, client = await fake_client(http_reply("no org id\n", status=401, content_type="text/plain"))
    with pytest.raises(AccessDeniedError, match=r"for_tenant\(name\)"):
        await client.query("up")
