"""The node of the agent, and its devices: cores, memory, root disk, network interfaces, disks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import attrs
import psutil

from statcore.model import MetricValue
from statcore_collector.failures import Unreadable
from statcore_collector.metric import CORE_MS_PER_S, MetricTracker, ObjectTracker, RawValue, node_cpu_value
from statcore_collector.proc_files import is_whole_disk, read_cores, read_disks, read_interfaces, read_memory

_ROOT_DISK: Final = "/"
_DISK_METRICS: Final = ("io_read", "io_write")


class MemberCounter:
    """The sum over the counters of members that come and go, such as network interfaces; it never falls.

    In each round the sum grows by the increase of every member that was present in the last round too. A new or returned
    member, or a member whose counter fell, adds nothing in that round. The counts of a member that disappears stay in the
    sum. A member that is listed but cannot be read is still present: the sum is unknown until it can be read again, and
    then has its whole increase.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._before: Mapping[str, float] = {}
        self._total: float | None = None

    def update(self, values: Mapping[str, float | None]) -> float | None:
        """Add a round's counters by member, None for one that cannot be read; return the sum, or None.

        The sum is None if a member that was read before cannot be read now, and without a member that can be read. A
        member that could never be read does not count: it may be one that is not in the sum, such as the loopback.
        """
        found = {member: value for member, value in values.items() if value is not None}
        unread = {member: last for member, last in self._before.items() if member in values and member not in found}
        if self._total is None:
            self._total = sum(found.values())
        else:
            self._total += sum(max(0, value - self._before.get(member, value)) for member, value in found.items())
        self._before = {**found, **unread}
        return self._total if found and not unread else None


@attrs.frozen(kw_only=True)
class NodeSnapshot:
    """The raw values of the node's devices at one time; None for a device that is listed but cannot be read.

    Args:
        time_s: the monotonic time of the snapshot, in seconds.
        cores: the busy milliseconds of each core since the machine was started, by core id; empty if they cannot be listed.
        gauges: metrics of a single device, by metric and device id; the node has the same value.
        counters: metrics of devices that come and go, by metric and device id; the node has their sum.
    """

    time_s: float
    cores: Mapping[str, float | None]
    gauges: Mapping[str, Mapping[str, RawValue]]
    counters: Mapping[str, Mapping[str, RawValue | None]]

    def devices(self) -> dict[str, Mapping[str, RawValue]]:
        """Return the raw values that could be read by metric and device id, as Prometheus sees them."""
        cores = {
            core: None if busy_ms is None else RawValue(busy_ms, CORE_MS_PER_S) for core, busy_ms in self.cores.items()
        }
        listed = {**self.gauges, **self.counters, **({"cpu_util": cores} if cores else {})}
        return {
            metric: {device_id: raw for device_id, raw in by_device.items() if raw is not None}
            for metric, by_device in listed.items()
        }


def read_node(unreadable: Unreadable) -> NodeSnapshot:
    """Read the node and its devices once; `unreadable` receives the items that cannot be read."""
    time_s = time.monotonic()
    cores = unreadable.read("cores", read_cores, unreadable)
    gauges: dict[str, Mapping[str, RawValue]] = {}
    if memory := unreadable.read("memory", read_memory):
        gauges["mem"] = {"root": RawValue(*memory)}
    if usage := unreadable.read("root disk", psutil.disk_usage, _ROOT_DISK):
        gauges["disk"] = {_ROOT_DISK: RawValue(usage.used, usage.total)}
    counters: dict[str, Mapping[str, RawValue | None]] = {}
    for metrics, found in (
        (("net_rx", "net_tx"), unreadable.read("interfaces", read_interfaces, unreadable)),
        (_DISK_METRICS, unreadable.read("disks", read_disks, unreadable)),
    ):
        if found is not None:
            for position, metric in enumerate(metrics):
                counters[metric] = {
                    name: None if values is None else RawValue(values[position]) for name, values in found.items()
                }
    return NodeSnapshot(time_s=time_s, cores=cores or {}, gauges=gauges, counters=counters)


@attrs.frozen(kw_only=True)
class NodeRound:
    """What one round found of the node.

    Args:
        node: the node's values for the store, by metric.
        devices: the devices' values for the store, by metric and device id.
        raw_values: the devices' raw values for Prometheus, by metric and device id.
    """

    node: Mapping[str, MetricValue]
    devices: Mapping[str, Mapping[str, MetricValue]]
    raw_values: Mapping[str, Mapping[str, RawValue]]


@attrs.frozen
class _CoreReading:
    time_s: float
    busy_ms: float


class NodeSampler:
    """Samples the node, round after round; a device keeps its history as long as its id is listed."""

    def __init__(self) -> None:
        """Start before the first round."""
        self._cores: Mapping[str, _CoreReading] = {}
        self._sums: defaultdict[str, MemberCounter] = defaultdict(MemberCounter)
        self._node = ObjectTracker()
        self._devices: dict[str, Mapping[str, MetricTracker]] = {}

    def sample(self, unreadable: Unreadable) -> NodeRound:
        """Sample the node and its devices; `unreadable` receives the items that cannot be read."""
        snapshot = read_node(unreadable)
        devices: dict[str, Mapping[str, MetricValue]] = {}
        for metric, by_device in {**snapshot.gauges, **snapshot.counters}.items():
            known = self._devices.get(metric, {})
            trackers = {device_id: known.get(device_id) or MetricTracker(metric) for device_id in by_device}
            self._devices[metric] = trackers  # the tracker of a device that is not listed any more is dropped
            devices[metric] = {
                device_id: trackers[device_id].observe(snapshot.time_s, raw)
                for device_id, raw in by_device.items()
                if raw is not None
            }
        node = self._node.observe(snapshot.time_s, self._node_values(snapshot))
        if snapshot.cores:
            node_cpu, devices["cpu_util"] = self._cpu_values(snapshot)
            if node_cpu is not None:
                node["cpu_util"] = node_cpu
        devices = {metric: by_device for metric, by_device in devices.items() if by_device}
        return NodeRound(node=node, devices=devices, raw_values=snapshot.devices())

    def _node_values(self, snapshot: NodeSnapshot) -> dict[str, RawValue]:
        found = {metric: raw for metric, by_device in snapshot.gauges.items() for raw in by_device.values()}
        for metric, by_device in snapshot.counters.items():
            # A disk's counters include the counters of its partitions.
            members = {
                name: None if raw is None else raw.value
                for name, raw in by_device.items()
                if metric not in _DISK_METRICS or is_whole_disk(name)
            }
            total = self._sums[metric].update(members)
            if total is not None:
                found[metric] = RawValue(total)
        return found

    def _cpu_values(self, snapshot: NodeSnapshot) -> tuple[MetricValue | None, Mapping[str, MetricValue]]:
        """Return the use of the node since the last reading, or None if it is unknown, and that of each core.

        A core that is new counts as idle since the last reading of the others. A core that could not be read is measured
        since its own last reading. The node is unknown while such a core is, and until all are measured over one interval.
        The system counts in ticks, which can be ahead of the clock, so the busy time is limited to the interval.
        """
        time_s, before = snapshot.time_s, self._cores
        last_s = max((reading.time_s for reading in before.values()), default=time_s)
        readings = {core: _CoreReading(time_s, busy_ms) for core, busy_ms in snapshot.cores.items() if busy_ms is not None}
        unread = {core: last for core, last in before.items() if core in snapshot.cores and core not in readings}
        used: dict[str, tuple[float, float]] = {}
        for core, reading in readings.items():
            last = before.get(core, _CoreReading(last_s, reading.busy_ms))
            interval_ms = (time_s - last.time_s) * 1000
            used[core] = min(max(0.0, reading.busy_ms - last.busy_ms), interval_ms), interval_ms
        self._cores = {**readings, **unread}
        intervals_ms = {interval_ms for _, interval_ms in used.values()}
        node = None
        if not unread and len(intervals_ms) == 1:
            node = node_cpu_value(sum(used_ms for used_ms, _ in used.values()), intervals_ms.pop())
        return node, {core: node_cpu_value(*use) for core, use in used.items()}
