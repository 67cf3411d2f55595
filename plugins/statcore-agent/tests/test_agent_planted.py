"""Processes of owners that their agents do not know, in a real Prometheus: exact values, one by one and together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, plant_openmetrics, running_prometheus
from statcore_agent import ProcessMetricQuerier
from statcore_prometheus import PrometheusClient

NOW = datetime.now(UTC).replace(microsecond=0)
PROCESSES = {("i-1", "77"): 1, ("i-2", "77"): 2, ("i-2", "78"): 4}
"""The factor of the values of each process, which is known by agent and pid."""
MEMORY, CPU = 1000, 300


def planted() -> Iterator[PlantedSeries]:
    """Yield the series, with a sample every 15 seconds of the last ten minutes."""
    common = {"value_type": "current", **dict.fromkeys(["kernel_id", "session_id", "user_id", "project_id"], "undefined")}
    for (agent, pid), factor in PROCESSES.items():
        process = {**common, "agent_id": agent, "container_id": f"of-{agent}", "pid": pid}
        for metric, value, slope in (("mem", MEMORY, 0), ("cpu_util", 0, CPU)):
            samples = [(NOW.timestamp() + s - 600, float(factor * (value + slope * s))) for s in range(0, 601, 15)]
            yield PlantedSeries("backendai_process_utilization", {"process_metric_name": metric, **process}, samples)


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Prometheus that holds the samples, in place of the one that scrapes."""
    require_program("prometheus")
    require_program("promtool")
    folder = tmp_path_factory.mktemp("planted")
    plant_openmetrics(folder, openmetrics_text(planted()))
    with running_prometheus(folder, targets={}) as server:
        yield server


@pytest.mark.parametrize(("metric", "amount"), [("mem", MEMORY), ("cpu_util", CPU)])
async def test_unknown_owners_of_two_agents_are_not_one(client: PrometheusClient, metric: str, amount: int) -> None:
    """Two agents may have the same pid, and use the same label for every kernel that they do not know."""
    querier = ProcessMetricQuerier(metric_name=metric, value_type="current")
    found = await client.query_utilization_now(querier, time=NOW)
    expected = {process: amount * factor for process, factor in PROCESSES.items()}
    assert ["undefined"] * 3 == [sample.labels["kernel_id"] for sample in found.samples]
    by_process = {(sample.labels["agent_id"], sample.labels["pid"]): sample.value for sample in found.samples}
    assert expected == pytest.approx(by_process)


async def test_a_shared_request_for_processes_has_the_same_answers(client: PrometheusClient) -> None:
    """Processes by pid and by agent, an unknown pid and an unknown agent among them."""
    queriers = [
        *(ProcessMetricQuerier(metric_name="mem", value_type="current", pid=pid) for pid in (77, 78, 79)),
        *(ProcessMetricQuerier(metric_name="mem", value_type="current", agent_id=f"i-{number}") for number in (1, 2, 3)),
    ]
    each = [await client.query_utilization_now(querier, time=NOW) for querier in queriers]
    assert each == list(await UtilizationSource(client).read_utilization_now_batch(queriers, time=NOW))
    assert [2, 1, 0, 1, 2, 0] == [len(answer.samples) for answer in each]
