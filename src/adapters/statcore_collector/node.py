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
    sum.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._before: Mapping[str, float] = {}
        self._total: float | None = None

    def update(self, values: Mapping[str, float]) -> float:
        """Add a round's counters by member, and return the sum."""
        if self._total is None:
            self._total = sum(values.values())
        else:
            self._total += sum(max(0, value - self._before.get(member, value)) for member, value in values.items())
        self._before = dict(values)
        return self._total


@attrs.frozen(kw_only=True)
class NodeSnapshot:
    """The raw values of the node's devices at one time; a device that cannot be read is left out.

    Args:
        time_s: the monotonic time of the snapshot, in seconds.
        cores: the busy milliseconds of each core since the machine was started, by core id.
        gauges: metrics of a single device, by metric and device id; the node has the same value.
        counters: metrics of devices that come and go, by metric and device id; the node has their sum.
    """

    time_s: float
    cores: Mapping[str, float]
    gauges: Mapping[str, Mapping[str, RawValue]]
    counters: Mapping[str, Mapping[str, RawValue]]

    def devices(self) -> dict[str, Mapping[str, RawValue]]:
        """Return the raw values by metric and device id, as Prometheus sees them."""
        cores = {core: RawValue(busy_ms, CORE_MS_PER_S) for core, busy_ms in self.cores.items()}
        return {**self.gauges, **self.counters, **({"cpu_util": cores} if cores else {})}


def read_node(unreadable: Unreadable) -> NodeSnapshot:
    """Read the node and its devices once; `unreadable` receives the items that cannot be read."""
    time_s = time.monotonic()
    cores = unreadable.read("cores", read_cores, unreadable)
    gauges: dict[str, Mapping[str, RawValue]] = {}
    if memory := unreadable.read("memory", read_memory):
        gauges["mem"] = {"root": RawValue(*memory)}
    if usage := unreadable.read("root disk", psutil.disk_usage, _ROOT_DISK):
        gauges["disk"] = {_ROOT_DISK: RawValue(usage.used, usage.total)}
    counters: dict[str, Mapping[str, RawValue]] = {}
    for metrics, found in (
        (("net_rx", "net_tx"), unreadable.read("interfaces", read_interfaces, unreadable)),
        (_DISK_METRICS, unreadable.read("disks", read_disks, unreadable)),
    ):
        if found is not None:
            for position, metric in enumerate(metrics):
                counters[metric] = {name: RawValue(values[position]) for name, values in found.items()}
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


class NodeSampler:
    """Samples the node, round after round; a device keeps its history as long as its id is present."""

    def __init__(self) -> None:
        """Start before the first round."""
        self._last: NodeSnapshot | None = None
        self._sums: defaultdict[str, MemberCounter] = defaultdict(MemberCounter)
        self._node = ObjectTracker()
        self._devices: dict[tuple[str, str], MetricTracker] = {}

    def sample(self, unreadable: Unreadable) -> NodeRound:
        """Sample the node and its devices; `unreadable` receives the items that cannot be read."""
        snapshot = read_node(unreadable)
        devices: defaultdict[str, dict[str, MetricValue]] = defaultdict(dict)
        known, self._devices = self._devices, {}  # the tracker of a device that is absent now is dropped
        for metric, by_device in {**snapshot.gauges, **snapshot.counters}.items():
            for device_id, raw in by_device.items():
                tracker = known.get((metric, device_id)) or MetricTracker(metric)
                self._devices[metric, device_id] = tracker
                devices[metric][device_id] = tracker.observe(snapshot.time_s, raw)
        node = self._node.observe(snapshot.time_s, self._node_values(snapshot))
        if snapshot.cores:
            used_ms, interval_ms = self._used_ms(snapshot)
            node["cpu_util"] = node_cpu_value(sum(used_ms.values()), interval_ms)
            devices["cpu_util"] = {core: node_cpu_value(used, interval_ms) for core, used in used_ms.items()}
        self._last = snapshot
        return NodeRound(node=node, devices=devices, raw_values=snapshot.devices())

    def _node_values(self, snapshot: NodeSnapshot) -> dict[str, RawValue]:
        found = {metric: raw for metric, by_device in snapshot.gauges.items() for raw in by_device.values()}
        for metric, by_device in snapshot.counters.items():
            # A disk's counters include the counters of its partitions.
            members = {n: r.value for n, r in by_device.items() if metric not in _DISK_METRICS or is_whole_disk(n)}
            total = self._sums[metric].update(members)
            if members:
                found[metric] = RawValue(total)
        return found

    def _used_ms(self, snapshot: NodeSnapshot) -> tuple[dict[str, float], float]:
        """Return the busy milliseconds of each core since the last round, and the milliseconds since the last round.

        A core that is new in this round counts as idle. The system counts in ticks, which can be ahead of the clock, so
        the busy time is limited to the interval.
        """
        before = self._last or snapshot
        interval_ms = (snapshot.time_s - before.time_s) * 1000
        used_ms = {core: busy_ms - before.cores.get(core, busy_ms) for core, busy_ms in snapshot.cores.items()}
        return {core: min(max(0.0, used), interval_ms) for core, used in used_ms.items()}, interval_ms
