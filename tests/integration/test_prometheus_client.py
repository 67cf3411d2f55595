"""The client against a real Prometheus, beyond the conformance suite: options, refusals, servers that hang or die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.planted_server import planted_server

from statcore.errors import QueryRejectedError, TimedOutError, UnavailableError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier, LabelMatcher
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Program, Server, free_port
from statcore_prometheus import PrometheusClient, PrometheusOptions, PrometheusQueryRangeResponse

START_S = 1_795_341_600
START = datetime.fromtimestamp(START_S, UTC)
SECONDS = 30_000
INTERVAL_S = 15
KERNELS = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]
USER = "00000000-0000-4000-8000-00000000000a"
SLOPES = {"cpu_util": 500.0, "net_rx": 1000.0}
HOUR = QueryTimeRange(start=START + timedelta(minutes=30), end=START + timedelta(minutes=90), step="60s")


def planted() -> Iterator[PlantedSeries]:
    """Yield the series of two kernels of a user, and another series."""
    seconds = range(0, SECONDS + 1, INTERVAL_S)
    for number, kernel in enumerate(KERNELS, start=1):
        owners = {"kernel_id": kernel, "user_id": USER, "agent_id": f"i-{number}"}
        for metric, value_type in (("mem", "current"), ("mem", "capacity"), ("cpu_util", "current"), ("net_rx", "current")):
            value, slope = (4096.0, 0.0) if value_type == "capacity" else (0.0, SLOPES.get(metric, 1.0))
            samples = [(float(START_S + second), number * (value + slope * second)) for second in seconds]
            labels = {"container_metric_name": metric, "value_type": value_type, **owners}
            yield PlantedSeries("backendai_container_utilization", labels, samples)
    yield PlantedSeries("other", {"job": "x", "container_metric_name": "not_ours"}, [(START_S, 1)])


server = planted_server(planted)


async def test_a_normalized_rate_is_divided_by_the_setting(server: Server) -> None:
    """The default of one second, which leaves bytes per second, is in the conformance suite."""
    querier = ContainerMetricQuerier(metric_name="net_rx", value_type="current", kernel_id=KERNELS[0])
    options = PrometheusOptions(normalization_interval_s=5.0)
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        (series,) = (await client.query_utilization(querier=querier, time_range=HOUR)).series
        now = await client.query_utilization_now(querier=querier, time=START + timedelta(hours=1))
        (by_text,) = (await client.query_range(client.utilization_text(querier), HOUR)).series
    assert series == by_text
    assert [pytest.approx(200.0)] * 61 == list(series.values)
    assert [pytest.approx(200.0)] == [sample.value for sample in now.samples]


async def test_the_answer_has_the_shape_of_a_response(client: PrometheusClient) -> None:
    """Callers of earlier clients can read it."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="capacity", kernel_id=KERNELS[0])
    result = await client.query_utilization(querier, QueryTimeRange(start=START, end=START, step="1s"))
    assert isinstance(result, PrometheusQueryRangeResponse)
    assert ("success", "matrix") == (result.status, result.data.result_type)
    (response,) = result.data.result
    assert {"kernel_id": KERNELS[0], "value_type": "capacity"} == response.metric
    assert [(float(START_S), "4096")] == response.values


async def test_a_long_range_is_the_same_in_more_requests(client: PrometheusClient, server: Server) -> None:
    """Each of 30,001 points is there, whatever the number of points in a request."""
    whole = QueryTimeRange(start=START, end=START + timedelta(seconds=SECONDS), step="1s")
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current", user_id=USER)
    (series,) = (await client.query_utilization(querier, whole)).series
    assert list(range(START_S, START_S + SECONDS + 1)) == list(series.timestamps)
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(max_points=997))) as other:
        assert (series,) == (await other.query_utilization(querier, whole)).series


async def test_a_range_that_is_not_split_enough_says_what_to_change(server: Server) -> None:
    """The server refuses it, so long ranges are answered only because they are split."""
    whole = QueryTimeRange(start=START, end=START + timedelta(seconds=SECONDS), step="1s")
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(max_points=50_000))) as client:
        with pytest.raises(QueryRejectedError, match=r"exceeded maximum resolution.*lower max_points") as caught:
            await client.query_range("up", whole)
    assert 400 == caught.value.status


async def test_compressed_answers_are_the_same(client: PrometheusClient, server: Server) -> None:
    """The server does compress them."""
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(gzip=True))) as zipped:
        query = "backendai_container_utilization"
        assert await client.query_range(query, HOUR) == await zipped.query_range(query, HOUR)
        assert 8 == len((await zipped.query_range(query, HOUR)).series)


async def test_metrics_of_containers_are_listed(client: PrometheusClient) -> None:
    """Values of the same label that other series have are not among them."""
    assert ["cpu_util", "mem", "net_rx", "not_ours"] == list(await client.label_values("container_metric_name"))
    assert ["cpu_util", "mem", "net_rx"] == await client.query_available_container_metrics()


async def test_names_that_the_server_does_not_know_are_refused_by_it(
    client: PrometheusClient, prometheus_program: Program
) -> None:
    """UTF-8 names are valid; Prometheus 2 refuses them, where an empty answer would be wrong."""
    if not prometheus_program.version.startswith("2."):
        pytest.skip("this server knows them; see test_current_prometheus.py")
    with pytest.raises(QueryRejectedError, match="parse error") as caught:
        await client.query_utilization(FixedQuerier("my.metric", {"service.name": "x"}), HOUR)
    assert '"my.metric"' in caught.value.query
    with pytest.raises(QueryRejectedError, match="invalid label name"):
        await client.label_values("service.name")
    with pytest.raises(QueryRejectedError, match="parse error"):
        await client.series(Selector("up", {"service.name": LabelMatcher.equal("x")}))
    with pytest.raises(UnsupportedError, match="values of the label a/b"):
        await client.label_values("a/b")
    assert [] == list(await client.label_values("absent"))


async def test_a_real_prometheus_is_diagnosed_as_fine(client: PrometheusClient) -> None:
    """Its build information is complete."""
    assert await client.diagnose() is None


@pytest.mark.parametrize("query", ["up[5m]", '"text"'])
async def test_results_that_are_no_numbers_are_refused(client: PrometheusClient, query: str) -> None:
    """Range vectors and text are refused."""
    with pytest.raises(UnsupportedError, match="the query"):
        await client.query(query)
    assert 1 == len((await client.query("vector(1)")).samples)


async def test_a_hung_server_costs_no_more_than_the_deadline(start_prometheus: Callable[..., Server]) -> None:
    """The same client gets an answer once the server continues."""
    server = start_prometheus()
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(timeout_s=6))) as client:
        await client.ping()
        server.process.send_signal(signal.SIGSTOP)
        # It may answer until it really stands still.
        await asyncio.to_thread(os.waitid, os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            async with asyncio.timeout(30):
                with pytest.raises(TimedOutError, match=f"6 s for .*{server.url}") as caught:
                    await client.query("up")
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert [1.0] == [sample.value for sample in (await client.query("vector(1)")).samples]
    assert 6 == caught.value.timeout_s


async def test_the_other_of_a_pair_answers_when_one_dies(
    start_prometheus: Callable[..., Server], server: Server, tmp_path: Path
) -> None:
    """It answers within the same call; when both are down, one error names both."""
    first = start_prometheus(tmp_path)
    query = "count(backendai_container_utilization)"
    both = PrometheusOptions(fallback_urls=(server.url,))
    async with aclosing(PrometheusClient(first.url, options=both)) as client:
        assert () == (await client.query(query, time=START)).samples
        first.process.kill()
        first.process.wait()
        assert [8.0] == [sample.value for sample in (await client.query(query, time=START)).samples]
    dead = f"http://127.0.0.1:{free_port()}"
    async with aclosing(PrometheusClient(first.url, options=PrometheusOptions(fallback_urls=(dead,)))) as client:
        with pytest.raises(UnavailableError, match=f"{first.url}.*{dead}"):
            await client.ping()
