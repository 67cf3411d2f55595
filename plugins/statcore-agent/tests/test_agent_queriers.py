"""The queries of devices and processes, and the fields and the conformance of their classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from statcore import InputError, QueryStrategy, UtilizationMetricQuerier
from statcore.plugins import QuerierSpec
from statcore.plugins.fields import FieldType
from statcore.plugins.querier_kinds import build_querier
from statcore.promql import render, utilization_query
from statcore.testing.conformance import QuerierConformance
from statcore_agent import COUNTERS, AgentDeviceMetricQuerier, ProcessMetricQuerier
from statcore_agent.plugin import statcore_queriers

DEVICE = 'backendai_device_utilization{device_metric_name="%s",value_type="%s"}'
PROCESS = 'backendai_process_utilization{process_metric_name="%s",value_type="%s"}'
GROUPED = "sum by (agent_id,device_id,value_type)"
KERNEL = UUID("6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")
EXPECTED = {
    "cpu_util": f"{GROUPED}(rate({DEVICE % ('cpu_util', 'current')}[5m]))",
    "io_read": f"{GROUPED}(rate({DEVICE % ('io_read', 'current')}[5m]))",
    "io_write": f"{GROUPED}(rate({DEVICE % ('io_write', 'current')}[5m]))",
    "net_rx": f"{GROUPED}(rate({DEVICE % ('net_rx', 'current')}[5m]))",
    "net_tx": f"{GROUPED}(rate({DEVICE % ('net_tx', 'current')}[5m]))",
    "mem": f"{GROUPED}({DEVICE % ('mem', 'current')})",
    "cpu_used": f"{GROUPED}({DEVICE % ('cpu_used', 'current')})",
    "cuda_util": f"{GROUPED}({DEVICE % ('cuda_util', 'current')})",
}
README = Path(__file__).parent.parent / "README.md"


def text_of(querier: UtilizationMetricQuerier, **settings: Any) -> str:
    """Return the PromQL of a querier."""
    return render(utilization_query(querier, **settings))


@pytest.mark.parametrize("metric", EXPECTED)
def test_the_promql_of_current_values(metric: str) -> None:
    """Processes have the same strategies as devices."""
    assert EXPECTED[metric] == text_of(AgentDeviceMetricQuerier(metric_name=metric, value_type="current"))
    of_processes = EXPECTED[metric].replace("device_util", "process_util").replace("device_metric", "process_metric")
    of_processes = of_processes.replace(GROUPED, "sum by (agent_id,kernel_id,pid,value_type)")
    assert of_processes == text_of(ProcessMetricQuerier(metric_name=metric, value_type="current"))


@pytest.mark.parametrize("metric", [*COUNTERS, "mem"])
def test_a_capacity_is_a_gauge(metric: str) -> None:
    """It is a constant, whose rate would be 0."""
    device = AgentDeviceMetricQuerier(metric_name=metric, value_type="capacity")
    assert f"{GROUPED}({DEVICE % (metric, 'capacity')})" == text_of(device)
    process = ProcessMetricQuerier(metric_name=metric, value_type="capacity")
    assert f"sum by (agent_id,kernel_id,pid,value_type)({PROCESS % (metric, 'capacity')})" == text_of(process)


def test_every_filter_is_a_matcher() -> None:
    """Every label, in the order of the wire format; processes are grouped by it as well."""
    device = AgentDeviceMetricQuerier(metric_name="mem", value_type="current", agent_id="i-1", device_id="root")
    filtered = (DEVICE % ("mem", "current")).replace("}", ',agent_id="i-1",device_id="root"}')
    assert f"{GROUPED}({filtered})" == text_of(device)
    process = ProcessMetricQuerier(
        metric_name="mem",
        value_type="current",
        kernel_id=KERNEL,
        session_id=str(KERNEL).upper(),
        agent_id="i-1",
        user_id=f"{{{KERNEL}}}",
        project_id=KERNEL,
        container_id="0a1b",
        pid=4711,
    )
    assert (
        "sum by (agent_id,container_id,kernel_id,pid,project_id,session_id,user_id,value_type)"
        '(backendai_process_utilization{process_metric_name="mem",value_type="current",'
        f'kernel_id="{KERNEL}",session_id="{KERNEL}",agent_id="i-1",user_id="{KERNEL}",project_id="{KERNEL}",'
        'container_id="0a1b",pid="4711"})'
    ) == text_of(process)


@pytest.mark.parametrize("kind", [AgentDeviceMetricQuerier, ProcessMetricQuerier])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metric_name": ""}, "metric_name is empty"),
        ({"metric_name": None}, "must be text, not NoneType"),
        ({"metric_name": "\ud800"}, "lone surrogate"),
        ({"value_type": "pct"}, "value_type must be one of current, capacity, not 'pct'"),
        ({"value_type": []}, "value_type must be one of current, capacity"),
        ({"agent_id": ""}, "agent_id is empty"),
    ],
)
def test_bad_input_is_refused_when_it_is_given(
    kind: Callable[..., UtilizationMetricQuerier], values: dict[str, Any], message: str
) -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match=message):
        kind(**{"metric_name": "mem", "value_type": "current", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pid": 0}, "pid must be a whole number from 1 up"),
        ({"pid": True}, "pid must be a whole number from 1 up"),
        ({"pid": "1"}, "pid must be a whole number from 1 up"),
        ({"user_id": "x"}, "not an id"),
    ],
)
def test_bad_owners_of_processes_are_refused(values: dict[str, Any], message: str) -> None:
    """A pid is a whole number above 0, an id is a UUID."""
    with pytest.raises(InputError, match=message):
        ProcessMetricQuerier(metric_name="mem", value_type="current", **values)


def test_fields_are_read_from_the_classes() -> None:
    """Metrics are any text, ids are UUIDs, and every field has a help text."""
    device, process = QuerierSpec.of(AgentDeviceMetricQuerier), QuerierSpec.of(ProcessMetricQuerier)
    types = [{field.name: field.type for field in spec.fields} for spec in (device, process)]
    common = {"metric_name": FieldType.TEXT, "value_type": FieldType.CHOICE, "agent_id": FieldType.TEXT}
    assert {**common, "device_id": FieldType.TEXT} == types[0]
    ids = dict.fromkeys(["kernel_id", "session_id", "user_id", "project_id"], FieldType.UUID)
    assert {**common, **ids, "container_id": FieldType.TEXT, "pid": FieldType.INTEGER} == types[1]
    assert all(field.help for spec in (device, process) for field in spec.fields)
    assert ProcessMetricQuerier(metric_name="mem", value_type="current", kernel_id=KERNEL, pid=1) == build_querier(
        process, {"metric_name": "mem", "kernel_id": str(KERNEL), "pid": 1}
    )


def test_the_readme_has_the_table() -> None:
    """It lists the metrics that are not gauges, and the strategy of each."""
    rows = [line.strip("|").split("|") for line in README.read_text().splitlines() if line.startswith("| `")]
    found = {metric.strip(" `"): QueryStrategy(strategy.strip(" `")) for metric, strategy, *_ in rows}
    assert dict(COUNTERS) == {metric: strategy for metric, strategy in found.items() if strategy != QueryStrategy.GAUGE}
    assert {"mem", "cpu_used"} <= found.keys() - COUNTERS.keys()


DEVICE_SPEC, PROCESS_SPEC = statcore_queriers()


class TestAgentDeviceMetricQuerier(QuerierConformance):
    """Devices keep the promises of the suite that statcore ships."""

    def queriers(self) -> list[AgentDeviceMetricQuerier]:
        """Return a counter and a gauge, of everything, of agents, and of devices."""
        return [
            AgentDeviceMetricQuerier(metric_name="cpu_util", value_type="current"),
            AgentDeviceMetricQuerier(metric_name="cpu_util", value_type="capacity"),
            AgentDeviceMetricQuerier(metric_name="mem", value_type="current", agent_id="i-1"),
            AgentDeviceMetricQuerier(metric_name="mem", value_type="current", agent_id="i-2"),
            AgentDeviceMetricQuerier(metric_name="net_rx", value_type="current", agent_id="i-1", device_id="eth0"),
        ]

    def spec(self) -> QuerierSpec:
        """Return the spec of the hook."""
        return DEVICE_SPEC


class TestProcessMetricQuerier(QuerierConformance):
    """Processes keep the promises of the suite that statcore ships."""

    def queriers(self) -> list[ProcessMetricQuerier]:
        """Return a counter and a gauge, of everything, of kernels, and of processes."""
        kernels = [UUID(int=1), UUID(int=2)]
        return [
            ProcessMetricQuerier(metric_name="cpu_util", value_type="current"),
            ProcessMetricQuerier(metric_name="cpu_util", value_type="capacity"),
            *(ProcessMetricQuerier(metric_name="mem", value_type="current", kernel_id=kernel) for kernel in kernels),
            ProcessMetricQuerier(metric_name="io_read", value_type="current", kernel_id=kernels[0], pid=4711),
            ProcessMetricQuerier(metric_name="io_read", value_type="current", agent_id="i-1", container_id="c"),
        ]

    def spec(self) -> QuerierSpec:
        """Return the spec of the hook."""
        return PROCESS_SPEC
