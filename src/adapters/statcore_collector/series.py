"""The series that Prometheus scrapes: names and labels of the wire format, with raw values (cumulative counters)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from statcore.ports import ScrapeSample
from statcore.queriers.container import (
    CONTAINER_METRIC_LABEL,
    CONTAINER_SERIES,
    DEVICE_METRIC_LABEL,
    DEVICE_SERIES,
    PROCESS_METRIC_LABEL,
    PROCESS_SERIES,
)
from statcore_collector.metric import RawValue


def container_samples(owners: Mapping[str, str], raw_values: Mapping[str, RawValue]) -> Iterator[ScrapeSample]:
    """Yield the samples of a kernel.

    Args:
        owners: the labels that name the kernel and its owners.
        raw_values: the kernel's raw values by metric.
    """
    for metric, raw in raw_values.items():
        yield from _samples(CONTAINER_SERIES, {CONTAINER_METRIC_LABEL: metric, **owners}, raw)


def process_samples(owners: Mapping[str, str], pid: int, raw_values: Mapping[str, RawValue]) -> Iterator[ScrapeSample]:
    """Yield the samples of one process of a kernel.

    Args:
        owners: the labels that name the kernel and its owners.
        pid: the process.
        raw_values: the process's raw values by metric.
    """
    labels = {**owners, "container_id": owners["kernel_id"], "pid": str(pid)}
    for metric, raw in raw_values.items():
        yield from _samples(PROCESS_SERIES, {PROCESS_METRIC_LABEL: metric, **labels}, raw)


def device_samples(agent_id: str, raw_values: Mapping[str, Mapping[str, RawValue]]) -> Iterator[ScrapeSample]:
    """Yield the samples of an agent's devices from their raw values by metric and device id."""
    for metric, by_device in raw_values.items():
        for device_id, raw in by_device.items():
            labels = {DEVICE_METRIC_LABEL: metric, "agent_id": agent_id, "device_id": device_id}
            yield from _samples(DEVICE_SERIES, labels, raw)


def _samples(name: str, labels: Mapping[str, str], raw: RawValue) -> Iterator[ScrapeSample]:
    yield name, {**labels, "value_type": "current"}, float(raw.value)
    if raw.capacity is not None:
        yield name, {**labels, "value_type": "capacity"}, float(raw.capacity)
