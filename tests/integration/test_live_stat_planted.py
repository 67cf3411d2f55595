"""Live statistics from planted samples, whose entries can be computed by hand, at a chosen moment.

The tests run on a real Prometheus and on the embedded backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.support.planted_server import planted_server
from tests.support.stored_payloads import shown

from statcore.errors import UnavailableError
from statcore.model import ProblemKind
from statcore.ports import PromQLPort
from statcore.queriers import ContainerMetricQuerier
from statcore.services import KernelLiveStatService
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server, free_port
from statcore_memory import MemoryMetrics
from statcore_prometheus import PrometheusClient, PrometheusOptions

MINUTE = 60
START_S = 1_795_341_600  # a full hour: the server takes the steps of its subqueries on full minutes
AT_S = START_S + 20 * MINUTE + 30
AT = datetime.fromtimestamp(AT_S, UTC)
STEADY, RESET, YOUNG, ENDED, SINGLE, ODD = range(1, 7)
MANY = 600
UNBOUNDED = "9223372036854775807"


def kernel(number: int) -> str:
    """Return the id of a kernel."""
    return f"00000000-0000-4000-8000-{number:012d}"


def series(number: int, metric: str, value_type: str, samples: Mapping[int, float]) -> PlantedSeries:
    """Return what an agent exports of one metric; `samples` by seconds since the start."""
    labels = {"container_metric_name": metric, "kernel_id": kernel(number), "value_type": value_type, "agent_id": "i-1"}
    return PlantedSeries(
        "backendai_container_utilization", labels, [(START_S + second, value) for second, value in samples.items()]
    )


def scrapes(first: int, last: int) -> range:
    """Return the seconds of the scrapes from one second to another, 15 s apart."""
    return range(first, last + 1, 15)


def planted() -> list[PlantedSeries]:
    """Return kernels that rise and fall, restarted, are young, ended, have one sample, are odd, and many others."""
    end = AT_S - START_S
    usual, since, until = scrapes(0, end), scrapes(end - 120, end), scrapes(0, end - 6 * MINUTE)
    return [
        series(STEADY, "cpu_util", "current", {second: 250.0 * second for second in usual}),
        series(STEADY, "cpu_util", "capacity", dict.fromkeys(usual, 1000.0)),
        series(STEADY, "cpu_used", "current", {second: 250.0 * second for second in usual}),
        series(STEADY, "mem", "current", {second: 4096.0 - second for second in usual}),
        series(STEADY, "mem", "capacity", dict.fromkeys(usual, 8192.0)),
        series(STEADY, "net_rx", "current", {second: 10_000.0 * second for second in usual}),
        series(STEADY, "net_rx", "capacity", dict.fromkeys(usual, 1820.0)),  # as agents export it: the first sample
        series(STEADY, "net_tx", "current", {second: 30.0 * second for second in usual}),
        series(STEADY, "io_read", "current", {second: 3.0 * second for second in usual}),
        series(STEADY, "io_read", "capacity", dict.fromkeys(usual, 40.0)),
        series(RESET, "cpu_util", "current", {second: 100.0 * (second % (end - 150)) for second in usual}),
        series(YOUNG, "net_tx", "current", {second: 30.0 * (second - since.start) + 9e9 for second in since}),
        series(ENDED, "cpu_util", "current", {second: 250.0 * second for second in until}),
        series(ENDED, "mem", "current", dict.fromkeys(until, 5.0)),
        series(SINGLE, "cpu_util", "current", {end: 9e9}),
        series(SINGLE, "mem", "current", {end: 5.0}),
        series(ODD, "mem", "current", dict.fromkeys(usual, float("nan"))),
        series(ODD, "cuda_mem", "current", {second: float("inf") if second == 0 else 7.0 for second in usual}),
        series(ODD, "cuda_mem", "capacity", dict.fromkeys(usual, float("inf"))),
        series(ODD, "cuda_util", "current", dict.fromkeys(usual, 7.0)),
        *(series(1000 + number, "mem", "current", {end: float(number)}) for number in range(MANY)),
    ]


server = planted_server(planted)


@pytest.fixture(scope="module")
def embedded() -> MemoryMetrics:
    """Scrape the planted series into the embedded backend, each as a target of its own."""
    backend = MemoryMetrics()
    for number, (name, labels, samples) in enumerate(planted()):
        for time, value in samples:
            backend.append_scrape([(name, labels, value)], target=str(number), time=time)
    return backend


@pytest.fixture(params=["prometheus", "memory"])
async def client(request: pytest.FixtureRequest, server: Server, embedded: MemoryMetrics) -> AsyncIterator[PromQLPort]:
    """Connect with the defaults; the embedded backend gives the same answers."""
    if request.param == "memory":
        yield embedded
        return
    async with aclosing(PrometheusClient(server.url)) as connected:
        yield connected


async def entry(client: PromQLPort, number: int) -> dict[str, Any] | None:
    """Return the entry of one kernel, after checking that it has no problem."""
    batch = await KernelLiveStatService(client).fetch_kernel_statistics([kernel(number)], time=AT)
    assert {} == batch.problems
    return None if batch[0] is None else dict(batch[0])


async def test_every_number_follows_from_the_samples(client: PromQLPort) -> None:
    """These are rates, capacities and percentages, and maximum and average over the five minutes of the window."""
    now = AT_S - START_S
    minutes = [4096 - (now - 30 - 60 * back) for back in range(5)]
    share = f"{(4096 - now) / 81.92:.2f}"
    assert {
        "cpu_util": shown("250", "1000", "25.00", "millicores", max="250", avg="250", diff="250", rate="250"),
        "cpu_used": shown(str(250 * now), UNBOUNDED, "0.00", "msec"),
        "mem": shown(str(4096 - now), "8192", share, "bytes", max=str(max(minutes)), avg=str(sum(minutes) // 5)),
        "net_rx": shown("10000", UNBOUNDED, "0.00", "bps", max="10000", avg="10000", rate="10000"),
        "net_tx": shown("30", UNBOUNDED, "0.00", "bps", max="30", avg="30", rate="30"),
        "io_read": shown(str(3 * now), UNBOUNDED, "0.00", "bytes"),
    } == await entry(client, STEADY)


async def test_the_container_querier_agrees_on_every_metric(client: Any) -> None:
    """Both have 10,000 for planted 10,000 B/s, and both show other counters as counts."""
    found = await entry(client, STEADY)
    assert found is not None
    for metric, fields in found.items():
        querier = ContainerMetricQuerier(metric_name=metric, value_type="current", kernel_id=kernel(STEADY))
        (sample,) = (await client.query_utilization_now(querier, time=AT)).samples
        assert (metric, pytest.approx(sample.value)) == (metric, float(fields["current"]))


async def test_a_counter_that_was_reset_has_the_servers_rate(client: PromQLPort) -> None:
    """The rate does not fall below zero, and the raw counter is not shown."""
    found = await entry(client, RESET)
    assert found is not None
    assert 90 <= float(found["cpu_util"]["current"]) <= 100


async def test_a_young_kernel_has_a_rate_over_the_whole_window(client: PromQLPort) -> None:
    """Two minutes at 30 B/s are 12 B/s over five minutes, as the service documents."""
    found = await entry(client, YOUNG)
    assert found is not None
    assert 12 <= float(found["net_tx"]["current"]) <= 30 * (120 + 15) / 300
    assert {"stats.max", "stats.avg"} <= found["net_tx"].keys()
    assert float(found["net_tx"]["stats.max"]) >= float(found["net_tx"]["current"])


async def test_a_kernel_that_has_ended_has_no_entry(client: PromQLPort) -> None:
    """It ended six minutes ago: the window's maxima still have it, the lookback has not."""
    assert None is await entry(client, ENDED)
    assert None is await entry(client, 999)


async def test_a_counter_seen_once_has_no_current_value(client: PromQLPort) -> None:
    """A single sample in the window has no rate, and the raw counter is not shown."""
    found = await entry(client, SINGLE)
    assert found is not None
    assert ["mem"] == list(found)


async def test_values_that_are_not_finite_make_the_entry_incomplete(client: PromQLPort) -> None:
    """An infinite capacity does not: the metric has no bound then."""
    batch = await KernelLiveStatService(client).fetch_kernel_statistics([kernel(STEADY), kernel(ODD)], time=AT)
    assert batch[1] is not None
    assert {"cuda_mem": UNBOUNDED, "cuda_util": UNBOUNDED} == {name: batch[1][name]["capacity"] for name in batch[1]}
    assert ProblemKind.INCOMPLETE == batch.problems[1].kind
    assert "mem is not finite" == batch.problems[1].message
    assert 0 not in batch.problems


async def test_many_kernels_have_their_own_entries(client: PromQLPort) -> None:
    """There are three batches, in order, with an unknown kernel and a duplicate."""
    numbers = [*reversed(range(MANY)), 5000, 7]
    ids = [UUID(kernel(1000 + number)) for number in numbers]
    batch = await KernelLiveStatService(client).fetch_kernel_statistics(ids, time=AT)
    expected = [None if number >= MANY else str(number) for number in numbers]
    assert expected == [found and found["mem"]["current"] for found in batch]
    assert {} == batch.problems


async def test_the_default_time_is_the_servers_now(client: PromQLPort) -> None:
    """The time is one without samples."""
    assert [None] == list(await KernelLiveStatService(client).fetch_kernel_statistics([kernel(STEADY)]))
    before = AT - timedelta(hours=1)
    assert [None] == list(await KernelLiveStatService(client).fetch_kernel_statistics([kernel(STEADY)], time=before))


async def test_an_unreachable_server_is_an_error() -> None:
    """Its kernels are not shown as kernels without data."""
    options = PrometheusOptions(timeout_s=2)
    async with aclosing(PrometheusClient(f"http://127.0.0.1:{free_port()}", options=options)) as client:
        with pytest.raises(UnavailableError):
            await KernelLiveStatService(client).fetch_kernel_statistics([kernel(STEADY)])
