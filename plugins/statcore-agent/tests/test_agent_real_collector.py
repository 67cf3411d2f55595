"""Real agents, scraped by a real Prometheus: answers are compared with raw samples and with the kernel.

No test depends on how busy the machine is or on its hardware: a device that it lacks has no series.
"""

from __future__ import annotations

import itertools
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from statcore import UtilizationMetricQuerier
from statcore.plugins.querier_kinds import metric_names
from statcore.statistics import UtilizationSource
from statcore.testing.servers import Server, raw_query
from statcore_agent import AgentDeviceMetricQuerier, ProcessMetricQuerier
from statcore_agent.plugin import statcore_queriers
from statcore_prometheus import PrometheusClient

SCRAPES = 5
COUNTERS = ("cpu_util", "io_read", "io_write", "net_rx", "net_tx")


@attrs.frozen
class Span:
    """The times of the first and the last of several scrapes of one agent."""

    first: float
    last: float

    @property
    def window(self) -> str:
        """A window that begins and ends with these scrapes: there is nothing to extrapolate."""
        return f"{round((self.last - self.first) * 1000) + 1}ms"  # Prometheus 3 leaves its very beginning out


@pytest.fixture(scope="module")
def spans(scraping: Server, agents: list[Any]) -> dict[str, Span]:
    """Several scrapes of each agent, between which its process has worked."""
    deadline = time.monotonic() + 60
    counted = 'backendai_process_utilization{process_metric_name="cpu_util",value_type="current"}[5m]'
    while True:
        found = {series["metric"]["agent_id"]: series["values"] for series in raw_query(scraping, counted, time.time())}
        if len(found) == len(agents) and all(is_enough(values) for values in found.values()):
            return {agent: Span(float(values[0][0]), float(values[-1][0])) for agent, values in found.items()}
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Prometheus does not tell when it scrapes


def is_enough(values: list[list[Any]]) -> bool:
    """Tell whether a counter has samples enough, and has counted."""
    return len(values) >= SCRAPES and float(values[-1][1]) > float(values[0][1])


async def ask(client: PrometheusClient, querier: UtilizationMetricQuerier, span: Span) -> dict[tuple[str, ...], float]:
    """Return the values by agent and device, or by kernel, agent and process."""
    at = datetime.fromtimestamp(span.last, UTC)
    found = await client.query_utilization_now(querier, time=at, rate_interval=span.window)
    return {tuple(sample.labels[key] for key in keys_of(querier)): sample.value for sample in found.samples}


def keys_of(querier: UtilizationMetricQuerier) -> tuple[str, ...]:
    """Return the labels that tell the series of a querier apart."""
    if isinstance(querier, AgentDeviceMetricQuerier):
        return ("agent_id", "device_id")
    return ("kernel_id", "agent_id", "pid")


def of_agent(agent: str, values: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Return the values of one agent."""
    return {key: value for key, value in values.items() if agent in key}


def samples(
    server: Server, querier: AgentDeviceMetricQuerier | ProcessMetricQuerier, agent: str, span: Span
) -> dict[tuple[str, ...], list[float]]:
    """Return the raw samples of the agent's series, but for devices that came or went meanwhile."""
    kind = "device" if isinstance(querier, AgentDeviceMetricQuerier) else "process"
    matchers = f'{kind}_metric_name="{querier.metric_name}",value_type="{querier.value_type}",agent_id="{agent}"'
    found = raw_query(server, f"backendai_{kind}_utilization{{{matchers}}}[{span.window}]", span.last)
    return {
        tuple(series["metric"][key] for key in keys_of(querier)): [float(value) for _, value in series["values"]]
        for series in found
        if [span.first, span.last] == [series["values"][0][0], series["values"][-1][0]]
    }


def increase(counts: list[float]) -> float:
    """Return the increase from the first sample to the last; a counter that falls has started again from zero."""
    return sum(after - before if after >= before else after for before, after in itertools.pairwise(counts))


async def test_memory_is_the_machines(client: PrometheusClient, scraping: Server, spans: dict[str, Span]) -> None:
    """The capacity of each agent is what the kernel reports, and the current value is within it."""
    for agent, span in spans.items():
        capacity = AgentDeviceMetricQuerier(metric_name="mem", value_type="capacity", agent_id=agent)
        assert {(agent, "root"): psutil.virtual_memory().total} == await ask(client, capacity, span)
        current = AgentDeviceMetricQuerier(metric_name="mem", value_type="current", agent_id=agent)
        ((_, counts),) = samples(scraping, current, agent, span).items()
        assert {(agent, "root"): counts[-1]} == await ask(client, current, span)
        assert 0 < counts[-1] < psutil.virtual_memory().total


async def test_cores_have_a_capacity(client: PrometheusClient, spans: dict[str, Span]) -> None:
    """It is 1000 ms/s for each, although the current value is a rate."""
    querier = AgentDeviceMetricQuerier(metric_name="cpu_util", value_type="capacity", agent_id="i-1")
    expected = {("i-1", str(core)): 1000.0 for core in range(os.cpu_count() or 0)}
    assert expected == await ask(client, querier, spans["i-1"])


@pytest.mark.parametrize("metric", COUNTERS)
async def test_counters_of_devices_are_rates(
    client: PrometheusClient, scraping: Server, spans: dict[str, Span], metric: str
) -> None:
    """The rate of every device of every agent is that of its own samples."""
    querier = AgentDeviceMetricQuerier(metric_name=metric, value_type="current")
    for agent, span in spans.items():
        found = await ask(client, querier, span)
        expected = {
            key: increase(counts) / (span.last - span.first)
            for key, counts in samples(scraping, querier, agent, span).items()
        }
        # The window is longer than the time between its samples by 1 ms, for which Prometheus extrapolates.
        assert expected == pytest.approx({key: found.get(key) for key in expected}, rel=1e-3, abs=1e-9)
        assert metric != "cpu_util" or os.cpu_count() == len(expected)


async def test_processes_are_told_apart(
    client: PrometheusClient, agents: list[Any], scraping: Server, spans: dict[str, Span]
) -> None:
    """Each has its memory and its share of a core, by kernel, agent and number."""
    memory = ProcessMetricQuerier(metric_name="mem", value_type="current")
    busy = ProcessMetricQuerier(metric_name="cpu_util", value_type="current")
    for agent in agents:
        name, span = agent.agent_id, spans[agent.agent_id]
        process = (str(agent.kernel_id), name, str(agent.pid))
        resident = of_agent(name, await ask(client, memory, span))
        assert {process: samples(scraping, memory, name, span)[process][-1]} == resident
        assert resident[process] > 1 << 20
        rate = increase(samples(scraping, busy, name, span)[process]) / (span.last - span.first)
        assert {process: pytest.approx(rate, rel=1e-3)} == of_agent(name, await ask(client, busy, span))
        assert rate > 0


def test_the_raw_counter_is_that_of_proc(scraping: Server, agents: list[Any], spans: dict[str, Span]) -> None:
    """The rates are those of CPU time in milliseconds."""
    busy = ProcessMetricQuerier(metric_name="cpu_util", value_type="current")
    for agent in agents:
        ((_, counts),) = samples(scraping, busy, agent.agent_id, spans[agent.agent_id]).items()
        fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
        now_ms = (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")
        assert 0 < counts[-1] <= now_ms


async def test_one_process_of_one_kernel(client: PrometheusClient, agents: list[Any], spans: dict[str, Span]) -> None:
    """A querier with all of its filters selects the process."""
    agent = agents[0]
    querier = ProcessMetricQuerier(
        metric_name="mem",
        value_type="current",
        kernel_id=agent.kernel_id,
        agent_id=agent.agent_id,
        container_id=str(agent.kernel_id),
        pid=agent.pid,
    )
    process = (str(agent.kernel_id), agent.agent_id, str(agent.pid))
    assert [process] == list(await ask(client, querier, spans[agent.agent_id]))


async def test_a_shared_request_answers_the_same(
    client: PrometheusClient, agents: list[Any], spans: dict[str, Span]
) -> None:
    """Devices by agent and processes by kernel, an unknown agent among them."""
    queriers: list[UtilizationMetricQuerier] = [
        AgentDeviceMetricQuerier(metric_name=metric, value_type="current", agent_id=agent)
        for metric in ("cpu_util", "mem", "net_rx")
        for agent in ("i-1", "i-2", "i-3")
    ]
    queriers += [
        ProcessMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=agent.kernel_id) for agent in agents
    ]
    at = datetime.fromtimestamp(min(span.last for span in spans.values()), UTC)
    each = [await client.query_utilization_now(querier, time=at, rate_interval="5m") for querier in queriers]
    source = UtilizationSource(client)
    together = await source.read_utilization_now_batch(queriers, time=at, rate_interval="5m")
    # The warnings of a shared request are in every answer, so only the samples are compared.
    assert [answer.samples for answer in each] == [getattr(answer, "samples", answer) for answer in together]
    assert [True, True, False] == [bool(answer.samples) for answer in each[:3]]


async def test_metrics_are_what_the_agents_export(client: PrometheusClient, spans: dict[str, Span]) -> None:
    """They are the values of the label of the series."""
    assert spans
    device, process = statcore_queriers()
    assert {"cpu_util", "mem", "disk"} <= set(await metric_names(client, device))
    assert {"cpu_util", "mem"} <= set(await metric_names(client, process))
    assert "disk" not in await metric_names(client, process)
