"""Real agents, scraped by a real Prometheus: what the queriers answer, against the kernel and the raw samples."""

from __future__ import annotations

import json
import os
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from statcore import UtilizationMetricQuerier
from statcore.plugins.metric_names import metric_names
from statcore.statistics import UtilizationSource
from statcore.testing.servers import Server
from statcore_agent import AgentDeviceMetricQuerier, ProcessMetricQuerier
from statcore_agent.plugin import statcore_queriers
from statcore_prometheus import PrometheusClient

WINDOW = "3s"
SCRAPES = 11
RATED = {"cpu_util": 1, "io_read": 1, "io_write": 1, "net_rx": 5, "net_tx": 5}
"""Counters, and what their rate is divided by."""


def raw(server: Server, promql: str, at: float) -> list[dict[str, Any]]:
    """Return the series of an answer, asked for without any of statcore."""
    url = f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': promql, 'time': at})}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the URL is the test's own
        series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return series


@pytest.fixture(scope="module")
def scraped(scraping: Server, agents: list[Any]) -> float:
    """The time of the last of many scrapes of both agents."""
    deadline = time.monotonic() + 60
    while True:
        found = raw(
            scraping, 'backendai_process_utilization{process_metric_name="mem",value_type="current"}[1m]', time.time()
        )
        if len(found) == len(agents) and all(len(series["values"]) >= SCRAPES for series in found):
            return min(float(series["values"][-1][0]) for series in found)
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Prometheus does not tell when it scrapes


async def ask(client: PrometheusClient, querier: UtilizationMetricQuerier, at: float) -> dict[tuple[str, ...], float]:
    """Return the values by agent and device, or by kernel and process."""
    found = await client.query_utilization_now(querier, time=datetime.fromtimestamp(at, UTC), rate_interval=WINDOW)
    keys = ("agent_id", "device_id") if isinstance(querier, AgentDeviceMetricQuerier) else ("kernel_id", "pid")
    return {tuple(sample.labels[key] for key in keys): sample.value for sample in found.samples}


def slopes(server: Server, selector: str, at: float, keys: tuple[str, str]) -> dict[tuple[str, ...], float]:
    """Return the increase per second between the first sample of the window and the last."""
    return {
        tuple(series["metric"][key] for key in keys): (float(last) - float(first)) / (end - start)
        for series in raw(server, f"{selector}[{WINDOW}]", at)
        for (start, first), (end, last) in [(series["values"][0], series["values"][-1])]
    }


async def test_memory_is_the_machines(client: PrometheusClient, agents: list[Any], scraped: float) -> None:
    """Of each agent, the capacity exactly and the current value nearly."""
    devices = [(agent.agent_id, "root") for agent in agents]
    memory = psutil.virtual_memory()
    capacity = await ask(client, AgentDeviceMetricQuerier(metric_name="mem", value_type="capacity"), scraped)
    assert dict.fromkeys(devices, memory.total) == capacity
    current = await ask(client, AgentDeviceMetricQuerier(metric_name="mem", value_type="current"), scraped)
    assert dict.fromkeys(devices, memory.total - memory.available) == pytest.approx(current, abs=2 << 30)


async def test_cores_have_a_capacity(client: PrometheusClient, scraped: float) -> None:
    """1000 ms/s each, though the current value is a rate."""
    querier = AgentDeviceMetricQuerier(metric_name="cpu_util", value_type="capacity", agent_id="i-1")
    assert {("i-1", str(core)): 1000.0 for core in range(os.cpu_count() or 0)} == await ask(client, querier, scraped)


@pytest.mark.parametrize("metric", RATED)
async def test_counters_of_devices_are_rates(
    client: PrometheusClient, scraping: Server, scraped: float, metric: str
) -> None:
    """Of every device of every agent, what its own samples say."""
    selector = f'backendai_device_utilization{{device_metric_name="{metric}",value_type="current"}}'
    expected = slopes(scraping, selector, scraped, ("agent_id", "device_id"))
    found = await ask(client, AgentDeviceMetricQuerier(metric_name=metric, value_type="current"), scraped)
    assert {"i-1", "i-2"} == {agent for agent, _ in found}
    # Where a scrape comes late, the server extends the rate over less than the whole window.
    assert {key: value / RATED[metric] for key, value in expected.items()} == pytest.approx(found, rel=0.2, abs=1e-9)


async def test_processes_are_told_apart(
    client: PrometheusClient, agents: list[Any], scraping: Server, scraped: float
) -> None:
    """Each has its memory and its share of a core, by kernel and number."""
    processes = [(str(agent.kernel_id), str(agent.pid)) for agent in agents]
    memory = await ask(client, ProcessMetricQuerier(metric_name="mem", value_type="current"), scraped)
    assert {key: psutil.Process(int(key[1])).memory_info().rss for key in processes} == pytest.approx(memory, rel=0.2)
    busy = await ask(client, ProcessMetricQuerier(metric_name="cpu_util", value_type="current"), scraped)
    selector = 'backendai_process_utilization{process_metric_name="cpu_util",value_type="current"}'
    assert slopes(scraping, selector, scraped, ("kernel_id", "pid")) == pytest.approx(busy, rel=0.2)
    assert processes == sorted(busy)
    assert all(0 < value <= 1100 for value in busy.values())  # of the 1000 ms that a second has


def test_the_raw_counter_is_that_of_proc(scraping: Server, agents: list[Any], scraped: float) -> None:
    """What the rates are of is CPU time in milliseconds."""
    for agent in agents:
        (series,) = raw(
            scraping, f'backendai_process_utilization{{process_metric_name="cpu_util",pid="{agent.pid}"}}', scraped
        )
        fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
        now_ms = (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")
        assert 0 < float(series["value"][1]) <= now_ms


async def test_one_process_of_one_kernel(client: PrometheusClient, agents: list[Any], scraped: float) -> None:
    """Filtered by everything that tells it."""
    agent = agents[0]
    querier = ProcessMetricQuerier(
        metric_name="mem",
        value_type="current",
        kernel_id=agent.kernel_id,
        agent_id=agent.agent_id,
        container_id=str(agent.kernel_id),
        pid=agent.pid,
    )
    assert [(str(agent.kernel_id), str(agent.pid))] == list(await ask(client, querier, scraped))


async def test_together_is_one_by_one(client: PrometheusClient, agents: list[Any], scraped: float) -> None:
    """Devices by agent and processes by kernel, those that nobody has among them."""
    queriers: list[UtilizationMetricQuerier] = [
        AgentDeviceMetricQuerier(metric_name=metric, value_type="current", agent_id=agent)
        for metric in ("cpu_util", "mem", "net_rx")
        for agent in ("i-1", "i-2", "i-3")
    ]
    queriers += [
        ProcessMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=agent.kernel_id) for agent in agents
    ]
    at = datetime.fromtimestamp(scraped, UTC)
    each = [await client.query_utilization_now(querier, time=at, rate_interval=WINDOW) for querier in queriers]
    source = UtilizationSource(client)
    assert each == list(await source.read_utilization_now_batch(queriers, time=at, rate_interval=WINDOW))
    assert [True, True, False] == [bool(answer.samples) for answer in each[:3]]


async def test_metrics_are_what_the_agents_export(client: PrometheusClient, scraped: float) -> None:
    """Listed by the label of the series."""
    assert scraped
    device, process = statcore_queriers()
    assert {"cpu_util", "mem", "disk"} <= set(await metric_names(client, device))
    assert {"cpu_util", "mem"} <= set(await metric_names(client, process))
    assert "disk" not in await metric_names(client, process)
