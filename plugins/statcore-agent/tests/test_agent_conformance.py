"""Both queriers keep the promises of the suite that statcore ships."""

from __future__ import annotations

from uuid import UUID

from statcore.plugins import QuerierSpec
from statcore.testing.conformance import QuerierConformance
from statcore_agent import AgentDeviceMetricQuerier, ProcessMetricQuerier
from statcore_agent.plugin import statcore_queriers

DEVICE, PROCESS = statcore_queriers()


class TestAgentDeviceMetricQuerier(QuerierConformance):
    """Devices."""

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
        """Return what the hook does."""
        return DEVICE


class TestProcessMetricQuerier(QuerierConformance):
    """Processes."""

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
        """Return what the hook does."""
        return PROCESS


def test_metrics_are_listed_from_their_series() -> None:
    """By the label that tells them apart."""
    assert ("backendai_device_utilization", "device_metric_name") == (DEVICE.series, DEVICE.metric_label)
    assert ("backendai_process_utilization", "process_metric_name") == (PROCESS.series, PROCESS.metric_label)
