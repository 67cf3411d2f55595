"""The node that the agent runs on, and its devices: cores, memory, root disk, network interfaces, disks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs
import psutil

from statcore.model import MetricValue
from statcore_collector.metric import CORE_MS_PER_S, ObjectTracker, Reading
from statcore_collector.readable import readable

_ROOT_DISK: Final = "/"

_Part: TypeAlias = dict[str, tuple[Reading, dict[str, Reading]]]
"""Readings of the node and by device id, by metric."""


@attrs.frozen(kw_only=True)
class NodeReadings:
    """Raw readings by metric, and by metric and device id; what cannot be read is left out."""

    node: Mapping[str, Reading]
    devices: Mapping[str, Mapping[str, Reading]]


def read_node() -> NodeReadings:
    """Read the node and its devices once."""
    node: dict[str, Reading] = {}
    devices: dict[str, dict[str, Reading]] = {}
    for read in (_cpu, _memory, _disk, _network, _io):
        for metric, (total, by_device) in (readable(read) or {}).items():
            node[metric] = total
            devices[metric] = by_device
    return NodeReadings(node=node, devices=devices)


def _cpu() -> _Part:
    busy = [
        (times.user + times.nice + times.system + times.irq + times.softirq) * CORE_MS_PER_S
        for times in psutil.cpu_times(percpu=True)
    ]
    cores = {str(core): Reading(busy_ms, CORE_MS_PER_S) for core, busy_ms in enumerate(busy)}
    return {"cpu_util": (Reading(sum(busy), CORE_MS_PER_S * len(busy)), cores)}


def _memory() -> _Part:
    memory = psutil.virtual_memory()
    used = Reading(memory.total - memory.available, memory.total)
    return {"mem": (used, {"root": used})}


def _disk() -> _Part:
    usage = psutil.disk_usage(_ROOT_DISK)
    used = Reading(usage.used, usage.total)
    return {"disk": (used, {_ROOT_DISK: used})}


def _network() -> _Part:
    links = psutil.net_if_stats()
    carried = {
        name: counters
        for name, counters in psutil.net_io_counters(pernic=True).items()
        if name in links and links[name].isup and "loopback" not in links[name].flags.split(",")
    }
    return {
        "net_rx": _summed({name: counters.bytes_recv for name, counters in carried.items()}),
        "net_tx": _summed({name: counters.bytes_sent for name, counters in carried.items()}),
    }


def _io() -> _Part:
    disks = psutil.disk_io_counters(perdisk=True)
    total = psutil.disk_io_counters()
    if total is None:  # no disk at all
        return {}
    named = {name: counters for name, counters in disks.items() if not name.startswith(("loop", "ram"))}
    return {
        "io_read": (Reading(total.read_bytes), {name: Reading(disk.read_bytes) for name, disk in named.items()}),
        "io_write": (Reading(total.write_bytes), {name: Reading(disk.write_bytes) for name, disk in named.items()}),
    }


def _summed(by_device: Mapping[str, int]) -> tuple[Reading, dict[str, Reading]]:
    return Reading(sum(by_device.values())), {name: Reading(value) for name, value in by_device.items()}


@attrs.frozen(kw_only=True)
class NodeRound:
    """What one round found of the node: for the store, and the raw readings for Prometheus."""

    node: Mapping[str, MetricValue]
    devices: Mapping[str, Mapping[str, MetricValue]]
    readings: NodeReadings


class NodeSampler:
    """Samples the node, round after round."""

    def __init__(self) -> None:
        """Start with no reading."""
        self._node = ObjectTracker()
        self._devices: dict[str, ObjectTracker] = {}

    def sample(self) -> NodeRound:
        """Sample the node and its devices."""
        readings = read_node()
        time_s = time.monotonic()
        present = {device_id for by_device in readings.devices.values() for device_id in by_device}
        self._devices = {device_id: self._devices.get(device_id, ObjectTracker()) for device_id in present}
        devices: defaultdict[str, dict[str, MetricValue]] = defaultdict(dict)
        for metric, by_device in readings.devices.items():
            for device_id, reading in by_device.items():
                for value in self._devices[device_id].observe(time_s, {metric: reading}).values():
                    devices[metric][device_id] = value
        return NodeRound(node=self._node.observe(time_s, readings.node), devices=devices, readings=readings)
