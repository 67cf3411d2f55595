"""Requests, answers, and the choice of the client by the URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from statcore.errors import ClosedError, InputError, PartialAnswerError, QueryRejectedError
from statcore.model import QueryTimeRange
from statcore.plugins import PluginRegistry
from statcore.ports import MetricQuerierPort, PromQLPort, TenantPort
from statcore.promql import Selector
from statcore.queriers import QueryStrategy
from statcore.runtime import Settings, open_metrics
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_cli.app import cli
from statcore_prometheus import PrometheusClient
from statcore_victoriametrics.client import VictoriaMetricsClient, http_url

TIME = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = QueryTimeRange(start=TIME, end=TIME + timedelta(hours=1), step="1m")
NOTHING = {"status": "success", "data": {"resultType": "vector", "result": []}}
PARTIAL = {"status": "success", "isPartial": True, "data": {"resultType": "matrix", "result": []}}
Scripted = Callable[..., Awaitable[Any]]
Open = Callable[..., Awaitable[VictoriaMetricsClient]]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginRegistry:
    """A registry of an environment in which the plugin is installed, as far as discovery can tell."""
    if "victoriametrics" not in metadata.entry_points(group="statcore").names:
        folder = tmp_path / "statcore_victoriametrics-0.1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: statcore-victoriametrics\nVersion: 0.1.0\n")
        (folder / "entry_points.txt").write_text("[statcore]\nvictoriametrics = statcore_victoriametrics.plugin\n")
        monkeypatch.syspath_prepend(tmp_path)
    return PluginRegistry.discover()


async def test_the_scheme_of_a_url_chooses_it(registry: PluginRegistry, server: Server) -> None:
    """Settings name a URL, and what is opened answers from a real server, queriers and text alike."""
    url = f"VictoriaMetrics://127.0.0.1:{server.port}"
    async with open_metrics(Settings(metrics_url=url, metrics_options={"timeout_s": 20}), registry) as backend:
        assert isinstance(backend, VictoriaMetricsClient)
        assert isinstance(backend, MetricQuerierPort)
        assert isinstance(backend, PromQLPort)
        assert isinstance(backend, TenantPort)
        await backend.ping()
        assert [2.0] == [sample.value for sample in (await backend.query("1 + 1")).samples]
        ranged = await backend.query_range("vector(3)", HOUR)
        assert [3.0] * 61 == list(ranged.series[0].values)
    with pytest.raises(InputError, match="closed"):
        await backend.query("1")
    with pytest.raises(InputError, match="'tiemout_s'"):
        async with open_metrics(Settings(metrics_url=url, metrics_options={"tiemout_s": 1}), registry):
            pytest.fail("opened")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("victoriametrics://a:8428/select/0/prometheus", "http://a:8428/select/0/prometheus"),
        ("victoriametrics+https://u:p@a", "https://u:p@a"),
        ("VictoriaMetrics+HTTPS://a", "https://a"),
        ("https://a", "https://a"),
        ("a", "a"),
    ],
)
def test_the_scheme_says_whether_there_is_tls(url: str, expected: str) -> None:
    """The rest of the URL is unchanged."""
    assert expected == http_url(url)


async def test_a_partial_answer_is_marked(scripted: Scripted, open_client: Open) -> None:
    """`isPartial` is in the result, and an error in strict mode; a range in parts is partial when one part is."""
    recorder = await scripted(PARTIAL)
    whole, cutting = await open_client(recorder.url), await open_client(recorder.url, max_points=7)
    assert (await whole.query_utilization(FixedQuerier("up"), HOUR)).partial
    assert (await cutting.query_utilization(FixedQuerier("up"), HOUR)).partial
    assert (await whole.query_range("up", HOUR)).partial
    strict = await open_client(recorder.url, strict=True)
    with pytest.raises(PartialAnswerError, match="partial"):
        await strict.query_utilization(FixedQuerier("up"), HOUR)


@pytest.mark.parametrize("strict", [False, True])
async def test_the_doctor_reports_a_cluster_that_lacks_data(scripted: Scripted, open_client: Open, *, strict: bool) -> None:
    """While a storage node is missing, every answer is partial, also that to a query of no series."""
    partial = await scripted({**NOTHING, "isPartial": True})
    assert "answers lack data" in (await (await open_client(partial.url, strict=strict)).diagnose() or "")
    whole = await scripted({**NOTHING, "isPartial": False})
    assert await (await open_client(whole.url, strict=strict)).diagnose() is None


async def test_the_doctor_sees_the_clock_of_the_server(server: Server) -> None:
    """The server evaluates a query without a time 30 seconds in the past; this is not taken for its clock."""
    url = f"victoriametrics://127.0.0.1:{server.port}"
    async with aclosing(VictoriaMetricsClient(url)) as own, aclosing(PrometheusClient(server.url)) as other:
        for client in (own, other):
            (facts,) = await client.server_facts()
            assert facts.clock_offset_s is not None
            assert abs(facts.clock_offset_s) < 15
            assert "VictoriaMetrics" == facts.program
            assert {True} == {*(facts.reads or {}).values()}


async def test_a_range_of_text_is_never_cut(scripted: Scripted, open_client: Open) -> None:
    """What does not fit into one request is refused, with the step that would do, and nothing is sent."""
    recorder = await scripted(PARTIAL)
    client = await open_client(recorder.url, max_points=7)
    week = QueryTimeRange(start=TIME, end=TIME + timedelta(days=7), step="1d")
    with pytest.raises(InputError, match=r"^8 points are too many: max_points is 7, .* take a step of 2d or more"):
        await client.query_range("integrate(up[1d])", week)
    assert [] == recorder.seen
    await client.query_range("integrate(up[1d])", QueryTimeRange(start=TIME, end=week.end, step="2d"))
    assert ["integrate(up[1d])"] == [request["query"] for request in recorder.seen]


async def test_queriers_switch_the_servers_own_behaviour_off(scripted: Scripted, open_client: Open) -> None:
    """No cache, no sample from before the window, a lookback of five minutes, and the caller's own parameters."""
    recorder = await scripted(NOTHING)
    parameters = {"extra_label": "team=a", "nocache": "0"}
    client = await open_client(recorder.url, parameters=parameters, normalization_interval_s=2.0)
    await client.query_utilization_now(FixedQuerier("m", {"a": "x"}, group_by=["b"]), time=TIME)
    normalized = FixedQuerier("m", strategy=QueryStrategy.RATE_NORMALIZED)
    await client.query_utilization_now(normalized, rate_interval="1m")
    await client.query("m", time=TIME)
    gauge, rate, text = recorder.seen
    ours = {"extra_label": "team=a", "nocache": "1", "max_lookback": "1ms"}
    assert {"query": 'sum by (b)(default_rollup(m{a="x"}[5m]))', **ours}.items() <= gauge.items()
    assert {"query": "sum(rate(m[1m])) / 2.0", **ours}.items() <= rate.items()
    assert client.utilization_text(normalized, rate_interval="1m") == rate["query"]
    assert {"query": "m", "extra_label": "team=a", "nocache": "1", "step": "1m"}.items() <= text.items()
    assert "max_lookback" not in text
    assert "step" not in gauge


async def test_a_range_keeps_its_own_step(scripted: Scripted, open_client: Open) -> None:
    """The step of instant queries is not sent with a range."""
    recorder = await scripted({"status": "success", "data": {"resultType": "matrix", "result": []}})
    client = await open_client(recorder.url)
    await client.query_range("m", QueryTimeRange(start=TIME, end=TIME, step="7s"))
    assert "7s" == recorder.seen[0]["step"]


async def test_lists_are_of_all_time_unless_a_time_is_given(scripted: Scripted, open_client: Open) -> None:
    """Values of labels as series: what a server lists without a time differs from version to version."""
    recorder = await scripted({"status": "success", "data": []})
    client = await open_client(recorder.url)
    before = datetime.now(UTC).timestamp()
    await client.label_values("x")
    await client.series(Selector("m"))
    await client.label_values("x", time_range=(TIME, TIME))
    *without, given = recorder.seen
    assert ["1.000", "1.000"] == [request["start"] for request in without]
    assert all(before - 1 < float(request["end"]) for request in without)
    assert given["start"] == given["end"] == f"{TIME.timestamp():.3f}"


@pytest.mark.parametrize("name", ["time", "start", "end", "step", "query"])
def test_parameters_of_calls_cannot_be_set(name: str) -> None:
    """The step of instants least of all: the client has one of its own for them."""
    with pytest.raises(InputError, match=f"parameters must not hold {name},"):
        VictoriaMetricsClient.from_settings("victoriametrics://a", {"parameters": {name: "1"}})


async def test_the_other_of_a_pair_answers(scripted: Scripted, open_client: Open) -> None:
    """Its URL may have the scheme of the first."""
    recorder = await scripted({"status": "success", "data": ["a"]})
    client = await open_client("victoriametrics://127.0.0.1:1", fallback_urls=[recorder.url], attempts=1)
    assert ["a"] == await client.label_values("x", match=Selector("m"))
    assert "m" == recorder.seen[0]["match[]"]


@pytest.mark.parametrize("url", ["victoriametrics:", "victoriametrics://", "victoriametrics://a?x=1", "tcp://a"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    """The constructor raises before anything is opened."""
    with pytest.raises(InputError, match=r"^url "):
        VictoriaMetricsClient(url)


async def test_the_doctor_recognizes_the_server_behind_http(server: Server) -> None:
    """Rates would count samples from before their window; the remedy names the right scheme."""
    result = await asyncio.to_thread(
        CliRunner().invoke, cli, ["doctor", "--format", "json", "--metrics-url", f"http://127.0.0.1:{server.port}"]
    )
    checks = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
    assert "wrong" == checks["backend"]["status"]
    assert "write victoriametrics:// in place of http://" in checks["backend"]["remedy"]


async def test_a_tenant_is_in_the_path(scripted: Scripted, open_client: Open) -> None:
    """Queriers and text of each tenant go to its own path, also on the other member of a pair; closing is shared."""
    recorder = await scripted(NOTHING)
    first = "victoriametrics://127.0.0.1:1/select/0/prometheus"
    client = await open_client(first, fallback_urls=[f"{recorder.url}/a/select/0:1/prometheus/"], attempts=1)
    tenant = client.for_tenant("42:7")
    for each in (tenant, tenant.for_tenant("4294967295"), client):
        await each.query_utilization_now(FixedQuerier("m"))
        await each.query("m")
    paths = [request["path"] for request in recorder.seen]
    assert [
        f"/a/select/{name}/prometheus/api/v1/query" for name in ("42:7", "4294967295", "0:1") for _ in range(2)
    ] == paths
    await tenant.aclose()
    with pytest.raises(ClosedError):
        await tenant.query("m")
    other = client.for_tenant("8")
    await client.aclose()
    with pytest.raises(ClosedError):
        await other.query_utilization_now(FixedQuerier("m"))


@pytest.mark.parametrize(
    "tenant",
    ["", "multitenant", "a", "-1", "1:", ":1", "1:2:3", "1/2", "1\n", "\u0661", "4294967296", "0:4294967296", 1, None],
)
async def test_what_is_no_tenant_of_a_cluster_is_refused(open_client: Open, tenant: Any) -> None:
    """Paths, several tenants at once, and numbers that are too large."""
    client = await open_client("victoriametrics://127.0.0.1:1/select/0/prometheus")
    with pytest.raises(InputError, match=r"^tenant must be an account"):
        client.for_tenant(tenant)


@pytest.mark.parametrize("path", ["", "/select/0", "/select/multitenant/prometheus", "/select/0/prometheus/x"])
async def test_a_url_without_a_tenant_has_no_tenants(open_client: Open, path: str) -> None:
    """A single node has none; the error shows a path with a tenant."""
    client = await open_client(f"victoriametrics://127.0.0.1:1{path}")
    with pytest.raises(InputError, match="such as /select/0/prometheus"):
        client.for_tenant("1")


async def test_partial_response_has_the_parameter_of_a_cluster(scripted: Scripted, open_client: Open) -> None:
    """It is sent with queriers and text, and not under the name that Thanos gives it; `dedup` is refused."""
    recorder = await scripted(NOTHING)
    for partial_response, expected in ((None, None), (False, "1"), (True, "0")):
        recorder.seen.clear()
        client = await open_client(recorder.url, partial_response=partial_response)
        await client.query_utilization_now(FixedQuerier("m"))
        await client.query("m")
        assert [expected] * 2 == [request.get("deny_partial_response") for request in recorder.seen]
        assert not any("partial_response" in request for request in recorder.seen)
    with pytest.raises(InputError, match=r"^dedup is for Thanos"):
        VictoriaMetricsClient.from_settings("victoriametrics://a", {"dedup": True})
    both = {"partial_response": False, "parameters": {"deny_partial_response": "0"}}
    with pytest.raises(InputError, match="set one of them"):
        VictoriaMetricsClient.from_settings("victoriametrics://a", both)


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("-search.maxSamplesPerQuery=1", "more -search.maxSamplesPerQuery"),
        ("-search.maxPointsPerTimeseries=2", "max_points"),
    ],
)
async def test_a_limit_of_a_real_server_says_what_to_change(
    start_victoriametrics: Callable[..., Server],
    plant_into: Callable[..., None],
    open_client: Open,
    argument: str,
    advice: str,
) -> None:
    """The error is a refusal with the server's text, and our advice, also where the text begins with a long query."""
    server = start_victoriametrics(arguments=[argument])
    now = datetime.now(UTC).replace(microsecond=0)
    plant_into(server, [PlantedSeries("limited", {}, [(now.timestamp() - 15 * back, 1.0) for back in range(9)])])
    client = await open_client(server.url)
    minute = QueryTimeRange(start=now - timedelta(minutes=1), end=now, step="15s")
    with pytest.raises(QueryRejectedError, match=f"{argument[1:].partition('=')[0]}.*{advice}"):
        await client.query_utilization(FixedQuerier("limited"), minute)
    with pytest.raises(QueryRejectedError, match=advice):
        await client.query_range(f'limited{{name!="{"a" * 2000}"}}', minute)
