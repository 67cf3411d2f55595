"""Devices and processes of agents for statcore: queriers over the series that agents export."""

from statcore_agent.counters import COUNTERS
from statcore_agent.device import AgentDeviceMetricQuerier
from statcore_agent.process import ProcessMetricQuerier

__all__ = ["COUNTERS", "AgentDeviceMetricQuerier", "ProcessMetricQuerier"]
