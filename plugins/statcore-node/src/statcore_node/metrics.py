"""The table of the metrics of a node: series, matchers of the series that count, unit, and strategy of each metric."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import attrs

from statcore import ExpressionStrategy, LabelMatcher, QueryStrategy
from statcore_node.strategies import Difference, DifferenceOfDevices, highest_rate, series_count, sum_of_devices

NodeMetricName: TypeAlias = Literal[
    "cpu_usage",
    "cpu_iowait",
    "cpu_steal",
    "cpu_total",
    "load1",
    "load5",
    "load15",
    "procs_running",
    "procs_blocked",
    "mem_total",
    "mem_used",
    "mem_available",
    "swap_total",
    "swap_used",
    "disk_total",
    "disk_used",
    "disk_available",
    "disk_read",
    "disk_write",
    "disk_busy",
    "net_rx",
    "net_tx",
    "net_rx_errors",
    "net_tx_errors",
    "fds_open",
    "uptime",
]

# Stolen time does not count as busy: the hypervisor gave it to other machines.
_BUSY: Final = {"mode": LabelMatcher.not_regex("idle|iowait|steal")}
# File systems on this node's own disks. Network and memory file systems, and ZFS datasets, which share the space of their
# pool, have no device below /dev. The space of a loop device or a memory device is a part of what is counted already.
_DISK_FILE_SYSTEMS: Final = {"device": LabelMatcher.not_regex("[^/].*|//.*|/dev/(fuse|loop|ram|zram).*")}
# Whole disks: no RAID, logical volume, loop device or partition, since they are parts of or on top of disks, and no memory.
# xvda1 counts: some Xen guests have it as a whole disk.
_DISKS: Final = {
    "device": LabelMatcher.not_regex(
        "(bcache|dm-|drbd|fd|loop|md|ram|sr|zd|zram)[0-9].*|md_d.*|(mmcblk|nbd|nvme|rbd).+p[0-9]+|(h|s|v)d[a-z]+[0-9]+"
    )
}
# Network cards: no loopback, bridge, bond, VLAN or tunnel, and no end of the link of a container or a virtual machine.
_NETWORK_CARDS: Final = {
    "device": LabelMatcher.not_regex(
        "lo|(antrea|azv|bat|bond|br-|br[0-9]|bridge|cali|cbr|cilium|cni|datapath|docker|dummy|eni|erspan|flannel|fwbr|fwln|fwpr"
        "|genev|gke|gre|ifb|incus|ip6_vti|ip6gre|ip6tnl|ip_vti|ipsec|ipvl|isatap|kube|l2tp|lxc|lxd|macv|nerdctl|nodelocal"
        "|nordlynx|ovn|ovs|podman|ppp|qbr|qg-|qr-|qvb|qvo|sit|tailscale|tap|team|tun|veth|virbr|vlan|vmbr|vmnet|vnet|vti"
        "|vxlan|weave|wg|wt[0-9]|xenbr|xfrm|zt).*|.+[.][0-9]+"
    )
}


@attrs.frozen(kw_only=True)
class NodeMetric:
    """A metric of a node.

    Args:
        unit: the unit of its value; `1` is a share of one, or a plain number.
        meaning: a description in a few words.
        series: the name that node_exporter gives it.
        labels: the matchers of the series that count.
        strategy: how the samples of these series become the value.
    """

    unit: str
    meaning: str
    series: str
    labels: Mapping[str, LabelMatcher | str] = attrs.field(factory=dict[str, "LabelMatcher | str"], hash=False)
    strategy: QueryStrategy | ExpressionStrategy = QueryStrategy.GAUGE


METRICS: Final[Mapping[NodeMetricName, NodeMetric]] = MappingProxyType(
    {
        "cpu_usage": NodeMetric(
            unit="cores",
            meaning="cores in use: CPU seconds per second",
            series="node_cpu_seconds_total",
            labels=_BUSY,
            strategy=QueryStrategy.RATE,
        ),
        "cpu_iowait": NodeMetric(
            unit="cores",
            meaning="cores that are idle while a process waits for a disk",
            series="node_cpu_seconds_total",
            labels={"mode": "iowait"},
            strategy=QueryStrategy.RATE,
        ),
        "cpu_steal": NodeMetric(
            unit="cores",
            meaning="cores that the hypervisor gave to other machines",
            series="node_cpu_seconds_total",
            labels={"mode": "steal"},
            strategy=QueryStrategy.RATE,
        ),
        "cpu_total": NodeMetric(
            unit="cores",
            meaning="all cores of the node",
            series="node_cpu_seconds_total",
            labels={"mode": "idle"},
            strategy=series_count,
        ),
        "load1": NodeMetric(unit="1", meaning="load average over 1 minute", series="node_load1"),
        "load5": NodeMetric(unit="1", meaning="load average over 5 minutes", series="node_load5"),
        "load15": NodeMetric(unit="1", meaning="load average over 15 minutes", series="node_load15"),
        "procs_running": NodeMetric(
            unit="processes", meaning="processes that run or could run", series="node_procs_running"
        ),
        "procs_blocked": NodeMetric(
            unit="processes", meaning="processes that wait for a disk", series="node_procs_blocked"
        ),
        "mem_total": NodeMetric(unit="bytes", meaning="all memory of the node", series="node_memory_MemTotal_bytes"),
        "mem_used": NodeMetric(
            unit="bytes",
            meaning="memory that is not available",
            series="node_memory_MemTotal_bytes",
            strategy=Difference("node_memory_MemAvailable_bytes"),
        ),
        "mem_available": NodeMetric(
            unit="bytes",
            meaning="memory that programs can still get, caches included",
            series="node_memory_MemAvailable_bytes",
        ),
        "swap_total": NodeMetric(unit="bytes", meaning="all swap of the node", series="node_memory_SwapTotal_bytes"),
        "swap_used": NodeMetric(
            unit="bytes",
            meaning="swap in use",
            series="node_memory_SwapTotal_bytes",
            strategy=Difference("node_memory_SwapFree_bytes"),
        ),
        "disk_total": NodeMetric(
            unit="bytes",
            meaning="size of the file systems on the node's disks",
            series="node_filesystem_size_bytes",
            labels=_DISK_FILE_SYSTEMS,
            strategy=sum_of_devices,
        ),
        "disk_used": NodeMetric(
            unit="bytes",
            meaning="used space of these file systems",
            series="node_filesystem_size_bytes",
            labels=_DISK_FILE_SYSTEMS,
            strategy=DifferenceOfDevices("node_filesystem_free_bytes"),
        ),
        "disk_available": NodeMetric(
            unit="bytes",
            meaning="space of these file systems that users other than root can still use",
            series="node_filesystem_avail_bytes",
            labels=_DISK_FILE_SYSTEMS,
            strategy=sum_of_devices,
        ),
        "disk_read": NodeMetric(
            unit="bytes/s",
            meaning="read from disks",
            series="node_disk_read_bytes_total",
            labels=_DISKS,
            strategy=QueryStrategy.RATE,
        ),
        "disk_write": NodeMetric(
            unit="bytes/s",
            meaning="written to disks",
            series="node_disk_written_bytes_total",
            labels=_DISKS,
            strategy=QueryStrategy.RATE,
        ),
        "disk_busy": NodeMetric(
            unit="1",
            meaning="share of time in which the busiest disk was at work",
            series="node_disk_io_time_seconds_total",
            labels=_DISKS,
            strategy=highest_rate,
        ),
        "net_rx": NodeMetric(
            unit="bytes/s",
            meaning="received by network cards",
            series="node_network_receive_bytes_total",
            labels=_NETWORK_CARDS,
            strategy=QueryStrategy.RATE,
        ),
        "net_tx": NodeMetric(
            unit="bytes/s",
            meaning="sent by network cards",
            series="node_network_transmit_bytes_total",
            labels=_NETWORK_CARDS,
            strategy=QueryStrategy.RATE,
        ),
        "net_rx_errors": NodeMetric(
            unit="packets/s",
            meaning="received with errors by network cards",
            series="node_network_receive_errs_total",
            labels=_NETWORK_CARDS,
            strategy=QueryStrategy.RATE,
        ),
        "net_tx_errors": NodeMetric(
            unit="packets/s",
            meaning="not sent because of errors by network cards",
            series="node_network_transmit_errs_total",
            labels=_NETWORK_CARDS,
            strategy=QueryStrategy.RATE,
        ),
        "fds_open": NodeMetric(unit="files", meaning="file descriptors in use", series="node_filefd_allocated"),
        "uptime": NodeMetric(
            unit="s",
            meaning="time since the node booted",
            series="node_time_seconds",
            strategy=Difference("node_boot_time_seconds"),
        ),
    }
)
"""The metrics of a node, by the name that users type."""
