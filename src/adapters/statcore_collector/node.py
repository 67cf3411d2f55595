"""The node that the agent runs on, and its devices: cores, memory, root disk, network interfaces, disks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import attrs
import psutil

from statcore.model import MetricValue
from statcore_collector.member_counter import MemberCounter
from statcore_collector.metric import CORE_MS_PER_S, MetricTracker, Reading, node_cpu_value
from statcore_collector.proc_files import is_whole_disk, read_cores, read_disks, read_interfaces, read_memory
from statcore_collector.readable import Unreadable

_ROOT_DISK: Final = "/"
_DISK_METRICS: Final = ("io_read", "io_write")


@attrs.frozen(kw_only=True)
class NodeReadings:
    """What one look at the node found, by metric and device id; what cannot be read is left out.

    Args:
        time_s: the monotonic time of the look, in seconds.
        cores: busy milliseconds by core, since the machine started.
        gauges: of a single device, whose figure is the node's.
        counters: of devices that come and go; the sum over them is the node's.
    """

    time_s: float
    cores: Mapping[str, float]
    gauges: Mapping[str, Mapping[str, Reading]]
    counters: Mapping[str, Mapping[str, Reading]]

    def devices(self) -> dict[str, Mapping[str, Reading]]:
        """Return the raw readings as Prometheus sees them."""
        cores = {core: Reading(busy_ms, CORE_MS_PER_S) for core, busy_ms in self.cores.items()}
        return {**self.gauges, **self.counters, **({"cpu_util": cores} if cores else {})}


def read_node(unreadable: Unreadable) -> NodeReadings:
    """Read the node and its devices once."""
    time_s = time.monotonic()
    cores = unreadable.read("cores", read_cores, unreadable)
    gauges: dict[str, Mapping[str, Reading]] = {}
    if memory := unreadable.read("memory", read_memory):
        gauges["mem"] = {"root": Reading(*memory)}
    if usage := unreadable.read("root disk", psutil.disk_usage, _ROOT_DISK):
        gauges["disk"] = {_ROOT_DISK: Reading(usage.used, usage.total)}
    counters: dict[str, Mapping[str, Reading]] = {}
    for metrics, found in (
        (("net_rx", "net_tx"), unreadable.read("interfaces", read_interfaces, unreadable)),
        (_DISK_METRICS, unreadable.read("disks", read_disks, unreadable)),
    ):
        if found is not None:
            for way, metric in enumerate(metrics):
                counters[metric] = {name: Reading(values[way]) for name, values in found.items()}
    return NodeReadings(time_s=time_s, cores=cores or {}, gauges=gauges, counters=counters)


@attrs.frozen(kw_only=True)
class NodeRound:
    """What one round found of the node: for the store, and the raw readings of its devices for Prometheus."""

    node: Mapping[str, MetricValue]
    devices: Mapping[str, Mapping[str, MetricValue]]
    readings: Mapping[str, Mapping[str, Reading]]


class NodeSampler:
    """Samples the node, round after round; devices are matched between two rounds by their id."""

    def __init__(self) -> None:
        """Start with no reading."""
        self._last: NodeReadings | None = None
        self._sums: defaultdict[str, MemberCounter] = defaultdict(MemberCounter)
        self._node: dict[str, MetricTracker] = {}
        self._devices: dict[tuple[str, str], MetricTracker] = {}

    def sample(self, unreadable: Unreadable) -> NodeRound:
        """Sample the node and its devices."""
        readings = read_node(unreadable)
        devices: defaultdict[str, dict[str, MetricValue]] = defaultdict(dict)
        node: dict[str, MetricValue] = {}
        known, self._devices = self._devices, {}  # the tracker of a device that is not there now is dropped
        for metric, by_device in {**readings.gauges, **readings.counters}.items():
            for device_id, reading in by_device.items():
                tracker = known.get((metric, device_id)) or MetricTracker(metric)
                self._devices[metric, device_id] = tracker
                devices[metric][device_id] = tracker.observe(readings.time_s, reading)
        for metric, reading in self._node_readings(readings).items():
            node[metric] = self._node.setdefault(metric, MetricTracker(metric)).observe(readings.time_s, reading)
        if readings.cores:
            used_ms, interval_ms = self._used_ms(readings)
            node["cpu_util"] = node_cpu_value(sum(used_ms.values()), interval_ms)
            devices["cpu_util"] = {core: node_cpu_value(used, interval_ms) for core, used in used_ms.items()}
        self._last = readings
        return NodeRound(node=node, devices=devices, readings=readings.devices())

    def _node_readings(self, readings: NodeReadings) -> dict[str, Reading]:
        found = {metric: reading for metric, by_device in readings.gauges.items() for reading in by_device.values()}
        for metric, by_device in readings.counters.items():
            # The counters of a disk include those of its partitions.
            members = {n: r.value for n, r in by_device.items() if metric not in _DISK_METRICS or is_whole_disk(n)}
            total = self._sums[metric].update(members)
            if members:
                found[metric] = Reading(total)
        return found

    def _used_ms(self, readings: NodeReadings) -> tuple[dict[str, float], float]:
        """Return the milliseconds that each core was busy since the last round, and how long ago that was.

        A core that was not there in the last round has not been busy, and none was busy for longer than the interval:
        the system counts in ticks, which can be ahead of the clock.
        """
        before = self._last or readings
        interval_ms = (readings.time_s - before.time_s) * 1000
        used_ms = {core: busy_ms - before.cores.get(core, busy_ms) for core, busy_ms in readings.cores.items()}
        return {core: min(max(0.0, used), interval_ms) for core, used in used_ms.items()}, interval_ms
