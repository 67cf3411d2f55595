"""Live statistics from Prometheus are those from Valkey, for one run of a collector over real processes.

Prometheus has the values of its last scrape. Valkey has those of every round of the collector, which are recorded here.
So the following holds for the newest scrape:

- A value without a rate is exactly that of a round near the scrape, and the round is the same for all metrics and kernels.
- A rate over a window is a mean of the rates of the rounds in the window, so it is between their minimum and maximum. At
  both ends of the window a sample may be older than its scrape, by less than two rounds: one until the next replaces it,
  and one that it takes to be made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, closing
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs
import pytest
from tests.conftest import SCRAPE_SOON

from statcore.model import StatisticsBatch, decimal_text, parse_time
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime
from statcore.services import (
    ContainerMetricAction,
    ContainerMetricMetadataAction,
    ContainerMetricOptionalLabel,
    ContainerUtilizationMetricService,
    KernelLiveStatService,
)
from statcore.testing.servers import Program, Server, raw_query, running_prometheus
from statcore_cli.demo.pipeline import Child, running_children
from statcore_collector import Collector, start_exporter
from statcore_prometheus import PrometheusClient
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink

INTERVAL_S: Final = 0.5
SCRAPE_S: Final = 1.0
# Half a scrape more than a whole number of them: the same samples are in it whether or not its beginning belongs to it.
SCRAPES: Final = 8
WINDOW: Final = f"{SCRAPES * 1000 + 500}ms"
RATED: Final = ("cpu_util", "net_rx", "net_tx")
UNBOUNDED: Final = "9223372036854775807"

Entries = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Values by kernel, metric and field."""


@attrs.frozen
class Round:
    """Entries in Valkey after a round, and when the exporter began to have them, in unix seconds."""

    time_s: float
    entries: Entries


@attrs.define
class RecordingSink:
    """A sink that writes to Valkey, and reads back what it wrote of kernels."""

    sink: ValkeyStatisticsSink
    store: ValkeyStatistics
    kernel_ids: Sequence[str]
    rounds: list[Round] = attrs.field(factory=list)
    another: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def store_kernel_statistics(self, entries: Any, /) -> None:
        """See the port."""
        time_s = time.time()
        await self.sink.store_kernel_statistics(entries)
        batch = await self.store.fetch_kernel_statistics(self.kernel_ids)
        assert {} == batch.problems
        found = zip(self.kernel_ids, batch, strict=True)
        read = {id_: {metric: dict(fields) for metric, fields in (entry or {}).items()} for id_, entry in found}
        self.rounds.append(Round(time_s, read))
        self.another.set()

    def __getattr__(self, name: str) -> Any:
        """Write everything else unchanged."""
        return getattr(self.sink, name)

    async def next_round(self) -> None:
        """Return once another round is in Valkey."""
        self.another.clear()
        await self.another.wait()


@attrs.frozen(kw_only=True)
class Run:
    """The record of a run: its rounds, and the time of the newest scrape in Prometheus."""

    children: Sequence[Child]
    rounds: Sequence[Round]
    scrapes: Sequence[float]
    live: Entries
    switched: StatisticsBatch
    prometheus: Server

    @property
    def kernel_ids(self) -> list[str]:
        """The kernels, in order."""
        return [child.target.kernel_id for child in self.children]

    @property
    def at(self) -> datetime:
        """The time of the newest scrape."""
        return parse_time(self.scrapes[-1])

    @property
    def gap_s(self) -> float:
        """The longest time between two rounds: the sampling interval as it really was."""
        return max(later.time_s - earlier.time_s for earlier, later in pairwise(self.rounds))

    def between(self, start_s: float, end_s: float) -> list[Round]:
        """Return the rounds of a time."""
        return [one for one in self.rounds if start_s <= one.time_s <= end_s]

    def matching(self) -> list[Round]:
        """Return the rounds that may have been scraped last and have the values of Prometheus, rates aside."""
        around = self.between(self.scrapes[-1] - self.gap_s, self.scrapes[-1] + SCRAPE_S)
        return [one for one in around if comparable(one.entries) == comparable(self.live)]


def comparable(entries: Entries) -> dict[str, dict[str, tuple[str, str, float, str]]]:
    """Return the part of each metric without a rate that is the same in both; Valkey has None for no capacity."""
    return {
        kernel_id: {
            metric: (fields["current"], fields["capacity"] or UNBOUNDED, float(fields["pct"]), fields["unit_hint"])
            for metric, fields in metrics.items()
            if metric not in RATED
        }
        for kernel_id, metrics in entries.items()
    }


def scrape_times(server: Server, kernel_id: str, window: str) -> list[float]:
    """Return the times of the scrapes that the server has of the kernel, until now."""
    query = f'backendai_container_utilization{{kernel_id="{kernel_id}",container_metric_name="mem",value_type="current"}}'
    found = raw_query(server, f"{query}[{window}]", time.time())
    return [at for at, _ in found[0]["values"]] if found else []


@asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[None]:
    """Collect until the end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(collector.run(stop))
        try:
            yield
        finally:
            stop.set()


async def record(folder: Path, valkey: Server, prometheus: Program, children: Sequence[Child], servers: ExitStack) -> Run:
    """Collect until Prometheus, which goes on running, has more than a full window, and read from it."""
    kernel_ids = [child.target.kernel_id for child in children]
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(aclosing(ValkeyStatisticsSink.from_url(valkey.url)))
        store = await stack.enter_async_context(aclosing(ValkeyStatistics.from_url(valkey.url)))
        sink = RecordingSink(writer, store, kernel_ids)
        collector = Collector(sink, agent_id="i-1", interval_s=INTERVAL_S)
        for child in children:
            collector.add(child.target)
        exporter = stack.enter_context(closing(start_exporter(collector)))
        await stack.enter_async_context(asyncio.timeout(90))
        await stack.enter_async_context(collecting(collector))
        await sink.next_round()  # the exporter has something
        targets, interval = {"statcore": exporter.address}, f"{SCRAPE_S:.0f}s"
        running = running_prometheus(
            folder, targets=targets, scrape_interval=interval, arguments=[SCRAPE_SOON], program=prometheus.path
        )
        server = await asyncio.to_thread(servers.enter_context, running)
        scrapes: list[float] = []
        # One more than the window holds: counters must have risen for a while before it, else they seem to begin in it.
        while len(scrapes) < SCRAPES + 2 or scrapes[-1] - scrapes[-SCRAPES - 1] > (SCRAPES + 0.4) * SCRAPE_S:
            await sink.next_round()
            scrapes = await asyncio.to_thread(scrape_times, server, kernel_ids[0], "1m")
        client = await stack.enter_async_context(aclosing(PrometheusClient(server.url)))
        service = KernelLiveStatService(client, window=WINDOW)
        batch = await service.fetch_kernel_statistics(kernel_ids, time=parse_time(scrapes[-1]))
        assert {} == batch.problems
        for _ in range(3):  # what the newest scrape found may be in Valkey only now
            await sink.next_round()
        settings = Settings(statistics_url=valkey.url, metrics_url=server.url, kernel_statistics="metrics")
        async with open_runtime(settings, PluginRegistry.discover()) as runtime:
            ids = [*kernel_ids, *{child.target.session_id or "" for child in children}]
            switched = await runtime.repository.get_kernel_statistics_batch(ids)
            assert None not in list(await runtime.statistics.fetch_kernel_statistics(ids))
    return Run(
        children=children,
        rounds=sink.rounds,
        scrapes=scrapes[-SCRAPES - 1 :],
        live={id_: entry or {} for id_, entry in zip(kernel_ids, batch, strict=True)},
        switched=switched,
        prometheus=server,
    )


@pytest.fixture(scope="module")
def run(valkey_server: Server, prometheus_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run for all tests, after which Prometheus still answers."""
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        with running_children("i-1") as children:
            recorded = asyncio.run(record(folder, valkey_server, prometheus_program, children, stack))
        yield recorded


def test_values_without_a_rate_are_those_of_one_round(run: Run) -> None:
    """Current value, capacity, percentage and unit of all metrics of all kernels are those of the same round."""
    assert run.matching(), (comparable(run.live), [(one.time_s, comparable(one.entries)) for one in run.rounds])


def test_both_have_the_same_metrics(run: Run) -> None:
    """Rates are among them: seven for every kernel."""
    [expected, *_] = run.matching()
    assert {id_: set(metrics) for id_, metrics in expected.entries.items()} == {
        id_: set(metrics) for id_, metrics in run.live.items()
    }
    assert [7] * 5 == [len(metrics) for metrics in run.live.values()]


@pytest.mark.parametrize("metric", RATED)
@pytest.mark.parametrize("field", ["current", "pct"])
def test_a_rate_is_a_mean_of_the_rates_of_its_rounds(run: Run, metric: str, field: str) -> None:
    """It is between their minimum and maximum, except where the window begins and ends."""
    start_s, end_s = run.scrapes[0], run.scrapes[-1]
    unsure_s, half_a_place = 2 * run.gap_s, 0.005 if field == "pct" else 0.0005
    for kernel_id in run.kernel_ids:
        rates = [float(one.entries[kernel_id][metric][field]) for one in run.between(start_s - unsure_s, end_s + unsure_s)]
        lowest = min(rates) * (1 - unsure_s / (end_s - start_s)) - 2 * half_a_place
        highest = max(rates) * (1 + unsure_s / (end_s - start_s)) + 2 * half_a_place
        assert lowest <= float(run.live[kernel_id][metric][field]) <= highest, rates


@pytest.mark.parametrize("metric", RATED)
def test_a_rate_has_the_capacity_and_the_unit_that_it_has_in_valkey(run: Run, metric: str) -> None:
    """The capacity of a core is 1000 ms per second; traffic has none."""
    stored = run.rounds[-1].entries
    for kernel_id in run.kernel_ids:
        live, expected = run.live[kernel_id][metric], stored[kernel_id][metric]
        assert (expected["capacity"] or UNBOUNDED, expected["unit_hint"]) == (live["capacity"], live["unit_hint"])
        assert live["current"] == live["stats.rate"]


@pytest.mark.parametrize(("title", "metric"), [("busy 50%", "cpu_util"), ("traffic", "net_rx"), ("traffic", "net_tx")])
def test_the_loads_are_really_there(run: Run, title: str, metric: str) -> None:
    """Otherwise zeros would satisfy the tests above; a rate is far below the counter."""
    kernel_id = next(child.target.kernel_id for child in run.children if child.title == title)
    rates = [float(one.entries[kernel_id][metric]["current"]) for one in run.between(run.scrapes[0], run.scrapes[-1])]
    assert 0 < median(rates)  # a load may get no processor for the time of a round
    assert 0 < float(run.live[kernel_id][metric]["current"]) < sum(rates) * run.gap_s


def test_one_setting_switches_the_source(run: Run) -> None:
    """The repository reads at the server's own now; sessions, which Valkey has, are not scraped."""
    kernels, sessions = run.switched[: len(run.kernel_ids)], run.switched[len(run.kernel_ids) :]
    assert {} == run.switched.problems
    assert [None, None] == list(sessions)
    assert [set(run.live[id_]) for id_ in run.kernel_ids] == [set(entry or ()) for entry in kernels]


async def test_the_container_service_reads_the_same_history(run: Run) -> None:
    """`fetch_metric` and `query_metric` of the last seconds end with live values; `query_metadata` has the metrics."""
    target = run.children[0].target
    labels = ContainerMetricOptionalLabel("current", kernel_id=target.kernel_id, user_id=target.user_id)
    start = run.at - timedelta(seconds=3)
    async with aclosing(PrometheusClient(run.prometheus.url)) as client:
        service = ContainerUtilizationMetricService(client, rate_interval=WINDOW)
        for metric in ("mem", "cpu_util"):
            action = ContainerMetricAction(metric, labels, start, run.at, "1s")
            found = await service.fetch_metric(action)
            assert found == await service.query_metric(action)
            [series] = found.result
            assert ("current", target.kernel_id) == (series.metric.value_type, series.metric.kernel_id)
            assert (target.user_id, None) == (series.metric.owner_user_id, series.metric.owner_project_id)
            assert [run.scrapes[-1] - before for before in (3, 2, 1, 0)] == pytest.approx(
                [value.timestamp for value in series.values], abs=0.002
            )
            assert run.live[target.kernel_id][metric]["current"] == decimal_text(float(series.values[-1].value))
        metadata = await service.query_metadata(ContainerMetricMetadataAction())
        assert sorted(run.live[target.kernel_id]) == metadata.metric_names
