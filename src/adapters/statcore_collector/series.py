"""The series that Prometheus sees: names and labels of the wire format, raw values (counters stay cumulative)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from statcore.ports import ScrapeSample
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, UNKNOWN_OWNER
from statcore_collector.kernel import KernelTarget
from statcore_collector.metric import Reading

DEVICE_SERIES: Final = "backendai_device_utilization"
PROCESS_SERIES: Final = "backendai_process_utilization"


def container_samples(target: KernelTarget, agent_id: str, readings: Mapping[str, Reading]) -> Iterator[ScrapeSample]:
    """Return the samples of a kernel from its readings by metric."""
    owners = _owner_labels(target, agent_id)
    for metric, reading in readings.items():
        yield from _samples(CONTAINER_SERIES, {CONTAINER_METRIC_LABEL: metric, **owners}, reading)


def process_samples(
    target: KernelTarget, agent_id: str, pid: int, readings: Mapping[str, Reading]
) -> Iterator[ScrapeSample]:
    """Return the samples of one process of a kernel from its readings by metric."""
    owners = {**_owner_labels(target, agent_id), "container_id": target.kernel_id, "pid": str(pid)}
    for metric, reading in readings.items():
        yield from _samples(PROCESS_SERIES, {"process_metric_name": metric, **owners}, reading)


def device_samples(agent_id: str, devices: Mapping[str, Mapping[str, Reading]]) -> Iterator[ScrapeSample]:
    """Return the samples of an agent's devices from their readings by metric and device id."""
    for metric, by_device in devices.items():
        for device_id, reading in by_device.items():
            labels = {"device_metric_name": metric, "agent_id": agent_id, "device_id": device_id}
            yield from _samples(DEVICE_SERIES, labels, reading)


def _owner_labels(target: KernelTarget, agent_id: str) -> dict[str, str]:
    return {
        "agent_id": agent_id,
        "kernel_id": target.kernel_id,
        "session_id": target.session_id or UNKNOWN_OWNER,
        "user_id": target.user_id or UNKNOWN_OWNER,
        "project_id": target.project_id or UNKNOWN_OWNER,
    }


def _samples(name: str, labels: Mapping[str, str], reading: Reading) -> Iterator[ScrapeSample]:
    yield name, {**labels, "value_type": "current"}, float(reading.value)
    if reading.capacity is not None:
        yield name, {**labels, "value_type": "capacity"}, float(reading.capacity)
