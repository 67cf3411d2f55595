"""Stand-ins for vLLM servers, scraped by a real Prometheus: every metric against what they were given."""

from __future__ import annotations

import itertools
import math
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from statcore.plugins import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore.statistics import UtilizationSource
from statcore.testing.servers import Server, raw_query, running_prometheus
from statcore_prometheus import PrometheusClient
from statcore_vllm import METRICS, InferenceMetricName, InferenceMetricQuerier

README = Path(__file__).parent.parent / "README.md"
WINDOW_S = 600
SCRAPE_S = 0.5
"""How long it is from one scrape to the next, and how long one may take."""
LAST_PROMPT = 7
"""Added to a counter after everything else: who sees it sees all."""

StandIns = dict[str, Any]
Scraped = dict[str, datetime]
_draw = random.Random(4)  # noqa: S311 - test data
TIMES: dict[str, dict[InferenceMetricName, list[float]]] = {
    server: {
        "time_to_first_token": [_draw.lognormvariate(-1, 1.2) for _ in range(307)],
        "inter_token_latency": [_draw.lognormvariate(-3.5, 0.8) for _ in range(1999)],
        "request_latency": [_draw.lognormvariate(2, 1) for _ in range(211)],
    }
    for server in ("big", "small", "other", "old")
}
GIVEN: dict[str, dict[InferenceMetricName, list[float]]] = {
    "big": {"requests_running": [31, 12], "requests_waiting": [4, 0], "kv_cache_usage": [0.9, 0.4]},
    "small": {"requests_running": [5], "requests_waiting": [0], "kv_cache_usage": [0.125]},
    "other": {"requests_running": [1], "requests_waiting": [100], "kv_cache_usage": [1.0]},
    "old": {"requests_running": [2], "requests_waiting": [3], "kv_cache_usage": [0.625]},
}
TOKENS = {"big": ([1000, 24000], [300, 333]), "small": ([100], [50]), "other": ([7], [900_000]), "old": ([30], [60])}
ENDED = {"stop": 40, "length": 8, "abort": 1000, "error": 5000}
NAMES: dict[InferenceMetricName, str] = {
    "requests_running": "running",
    "requests_waiting": "waiting",
    "kv_cache_usage": "cache",
    "time_to_first_token": "first",
    "inter_token_latency": "inter",
    "request_latency": "request",
}
BUSY = ("big", "small", "other")


def raw(server: Server, promql: str, at: float) -> dict[str, Any]:
    """Return the series of an answer by server, read without statcore."""
    return {series["metric"]["instance"]: series for series in raw_query(server, promql, at)}


def wait_until(seen: Callable[[float], bool]) -> float:
    """Return a time at which it is so, of whose scrapes none is under way any more."""
    deadline = time.monotonic() + 60
    while not seen(at := time.time() - 2 * SCRAPE_S):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # Prometheus does not tell when it scrapes
    return at


@pytest.fixture(scope="module")
def scraping(
    stand_ins: StandIns, require_program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Prometheus that has seen all servers idle, and then all that they were given; it renames as README.md says."""
    require_program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = {name: server.address for name, server in stand_ins.items()}
    assert "old" == list(targets)[-1]
    rules = README.read_text().partition("```yaml\n")[2].partition("```")[0]
    with running_prometheus(folder, targets=targets, scrape_interval=f"{SCRAPE_S * 1000:.0f}ms") as server:
        with (folder / "prometheus.yml").open("a") as config:
            config.write(rules)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda at: len(raw(server, "vllm:inter_token_latency_seconds_count == 0", at)) == len(targets))
        for name, stand_in in stand_ins.items():
            if name in GIVEN:
                give(name, stand_in)
        yield server


def give(name: str, stand_in: Any) -> None:
    """Let a server have what this test says."""
    for metric, values in GIVEN[name].items():
        stand_in.set(NAMES[metric], values)
    for metric, times in TIMES[name].items():
        stand_in.observe(NAMES[metric], times)
    stand_in.end(ENDED)
    prompt, generation = TOKENS[name]
    stand_in.set("generation", generation)
    stand_in.set("prompt", [tokens // 10 * 10 + LAST_PROMPT for tokens in prompt])


@pytest.fixture
async def client(scraping: Server) -> AsyncIterator[PrometheusClient]:
    """Its client."""
    client = PrometheusClient(scraping.url)
    yield client
    await client.aclose()


@pytest.fixture(scope="module")
def at(scraping: Server, stand_ins: StandIns) -> float:
    """A time at which Prometheus has all servers, and all that they were given."""
    everything = f'vllm:num_requests_running and on (instance) vllm:prompt_tokens_total{{engine="0"}} % 10 == {LAST_PROMPT}'
    return wait_until(
        lambda at: (
            len(raw(scraping, everything, at)) == len(GIVEN)
            and len(raw(scraping, "vllm:num_requests_running", at)) == len(stand_ins)
        )
    )


@pytest.fixture
def moment(at: float) -> datetime:
    """The same."""
    return datetime.fromtimestamp(at, UTC)


@pytest.fixture
def scraped(scraping: Server, stand_ins: StandIns, at: float) -> Scraped:
    """The time of the last scrape of each server: a rate up to that instant is not extended, since all was 0 before."""
    found = raw(scraping, "timestamp(vllm:num_requests_running)", at)
    times = {address: float(series["value"][1]) for address, series in found.items()}
    return {name: datetime.fromtimestamp(times[server.address], UTC) for name, server in stand_ins.items()}


async def ask(client: PrometheusClient, stand_in: Any, metric: InferenceMetricName, at: datetime, **values: Any) -> float:
    """Return the value of the one series, which is the server's and its model's."""
    querier = InferenceMetricQuerier(metric_name=metric, server=stand_in.address, **values)
    (sample,) = (await client.query_utilization_now(querier, time=at, rate_interval=f"{WINDOW_S}s")).samples
    assert {"instance": stand_in.address, "model_name": stand_in.model} == sample.labels
    return sample.value


def quantile_of(times: Sequence[float], bounds: Sequence[float], quantile: float) -> float:
    """Return the quantile, as far as it can be told from how many are within each bound."""
    rank = quantile * len(times)
    for lower, upper in itertools.pairwise((0.0, *bounds)):
        below, within = sum(time <= lower for time in times), sum(time <= upper for time in times)
        if within and within >= rank:
            return lower + (upper - lower) * (rank - below) / (within - below)
    return bounds[-1]


@pytest.mark.parametrize("name", GIVEN)
async def test_gauges(client: PrometheusClient, stand_ins: StandIns, scraped: Scraped, name: str) -> None:
    """Requests of a server's engines are added; the shares of their caches are not."""
    for metric, values in GIVEN[name].items():
        expected = sum(values) / len(values) if metric == "kv_cache_usage" else sum(values)
        assert expected == pytest.approx(await ask(client, stand_ins[name], metric, scraped[name]))


@pytest.mark.parametrize("name", GIVEN)
async def test_rates(client: PrometheusClient, stand_ins: StandIns, scraped: Scraped, name: str) -> None:
    """Rates are tokens, and requests without the aborted and failed ones, per second of the window."""
    prompt, generation = TOKENS[name]
    expected: dict[InferenceMetricName, float] = {
        "prompt_tokens": sum(tokens // 10 * 10 + LAST_PROMPT for tokens in prompt),
        "generation_tokens": sum(generation),
        "requests_succeeded": ENDED["stop"] + ENDED["length"],
    }
    for metric, count in expected.items():
        assert count / WINDOW_S == pytest.approx(await ask(client, stand_ins[name], metric, scraped[name]))


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.5, 0.95, 0.999, 1])
@pytest.mark.parametrize("name", TIMES)
async def test_quantiles(
    client: PrometheusClient, stand_ins: StandIns, scraped: Scraped, name: str, quantile: float, bounds: Any
) -> None:
    """What can be told of the times that the server's engines saw, all together."""
    for metric, times in TIMES[name].items():
        expected = quantile_of(times, bounds[metric], quantile)
        found = await ask(client, stand_ins[name], metric, scraped[name], quantile=quantile)
        assert expected == pytest.approx(found, rel=1e-6)


async def test_the_least_time_is_not_known(
    client: PrometheusClient, stand_ins: StandIns, scraped: Scraped, bounds: Any
) -> None:
    """The quantile is NaN, unless a time is within the first bound; then it is 0."""
    assert min(TIMES["big"]["time_to_first_token"]) > bounds["time_to_first_token"][0]
    assert math.isnan(await ask(client, stand_ins["big"], "time_to_first_token", scraped["big"], quantile=0))
    assert min(TIMES["big"]["inter_token_latency"]) <= bounds["inter_token_latency"][0]
    assert 0 == await ask(client, stand_ins["big"], "inter_token_latency", scraped["big"], quantile=0)


async def test_without_requests_there_is_no_time(client: PrometheusClient, stand_ins: StandIns, scraped: Scraped) -> None:
    """Without requests the time is NaN and not 0; the number of tokens is 0."""
    assert math.isnan(await ask(client, stand_ins["idle"], "time_to_first_token", scraped["idle"]))
    assert 0 == await ask(client, stand_ins["idle"], "generation_tokens", scraped["idle"])


@pytest.mark.parametrize("metric", METRICS)
async def test_one_model_of_all_servers(
    client: PrometheusClient, stand_ins: StandIns, moment: datetime, metric: InferenceMetricName
) -> None:
    """Each server of the model is a series; those of others are none."""
    querier = InferenceMetricQuerier(metric_name=metric, model_name="acme/chat-70b")
    found = await client.query_utilization_now(querier, time=moment, rate_interval=f"{WINDOW_S}s")
    expected = {server.address for server in stand_ins.values() if server.model == "acme/chat-70b"}
    assert expected == {sample.labels["instance"] for sample in found.samples}


async def test_a_shared_request_answers_the_same(client: PrometheusClient, stand_ins: StandIns, moment: datetime) -> None:
    """The queriers are for every metric and server, two quantiles, and a server that does not exist."""
    servers = [*(stand_ins[name].address for name in BUSY), "nowhere:8000"]
    queriers = [
        InferenceMetricQuerier(metric_name=metric, server=server, quantile=quantile)
        for metric in METRICS
        for quantile in (0.5, 0.95)
        for server in servers
    ]
    window = f"{WINDOW_S}s"
    each = [await client.query_utilization_now(querier, time=moment, rate_interval=window) for querier in queriers]
    together = await UtilizationSource(client).read_utilization_now_batch(queriers, time=moment, rate_interval=window)
    assert each == list(together)
    assert len(METRICS) * 2 * len(BUSY) == sum(len(answer.samples) for answer in each)


@pytest.mark.usefixtures("at")
async def test_metrics_are_listed(client: PrometheusClient) -> None:
    """The servers have the series of all of them."""
    assert list(METRICS) == await metric_names(client, QuerierSpec.of(InferenceMetricQuerier))
