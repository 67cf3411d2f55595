"""Nodes with everything that must not be counted, in a real Prometheus: exact values, one by one and together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, plant_openmetrics, running_prometheus
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_prometheus import PrometheusClient

NOW = datetime.now(UTC).replace(microsecond=0)
NODES = {"a:9100": 1, "b:9100": 2, 'rack "1"\\5': 3}
"""The factor of the values of each node."""

FILE_SYSTEMS = (  # device, mount point, type, and size, free and available
    ("/dev/mapper/vg-root", "/", "xfs", (1000, 400, 300)),
    ("/dev/mapper/vg-root", "/var/lib/kubelet/pods/1/volumes", "xfs", (1000, 400, 300)),
    ("/dev/nvme0n1p1", "/boot", "vfat", (10, 9, 9)),
    ("/dev/lvm/lost", "/srv", "ext4", (500, 50, 5)),
    ("/dev/loop3", "/snap/core", "ext4", (7, 0, 0)),
    ("/dev/zram1", "/var/tmp", "ext4", (7, 7, 7)),  # noqa: S108 - a mount point
    ("tmpfs", "/run", "tmpfs", (3000, 3000, 3000)),
    ("storage:/export", "/home", "nfs4", (90000, 1, 1)),
    ("//storage/share", "/share", "cifs", (90000, 1, 1)),
    ("/dev/fuse", "/run/portal", "fuse.portal", (5, 5, 5)),
    ("tank/home", "/tank", "zfs", (6, 6, 6)),
)
DISKS = {"sda": 10, "vdb": 1, "nvme0n1": 100, "nvme10n2": 1000, "mmcblk0": 10_000, "xvda": 100_000, "xvdb1": 1_000_000}
DISKS.update(sdaa=10_000_000, rbd0=100_000_000)
ON_DISKS = """
    dm-0 md127 md_d0 loop7 ram0 zram0 sr0 fd0 bcache0 drbd1 zd0 zd16 sda1 sdaa1 vdb12 hda1 nvme0n1p2 nvme0c0n1p1 mmcblk0p1
    nbd0p1 rbd0p1
""".split()  # noqa: SIM905 - a list of names that can be seen at a glance
CARDS = {"eth0": 10, "ens5": 1, "enp3s0f1np1": 100, "ib0": 1000, "em1": 10_000, "wlan0": 100_000, "bnep0": 1_000_000}
CARDS.update(eno1=10_000_000, enx001122334455=100_000_000)
ON_CARDS = """
    lo antrea-gw0 azv1a2b3c bat0 bond0 bond0.5 br0 br-1f2e3d br-ex bridge0 cali12ab cbr0 cilium_host cni0 datapath
    docker0 dummy0 eni0a1b2c3d4e5 erspan0 eth0.100 flannel.1 fwbr100i0 fwln100i0 fwpr100p0 genev_sys_6081 gke1a2b3c
    gretap0 ib0.8001 ifb1 incusbr0 ip6_vti0 ip6gre0 ip6tnl0 ip_vti0 ipsec0 isatap0 kube-ipvs0 l2tpeth0 lxcbr0 macvtap3
    nordlynx ovn-k8s-mp0 ovs-system podman0 ppp0 qbr12-ab qg-12ab qr-12ab qvb12-ab qvo12-ab sit0 tailscale0 tap5 team0
    tun0 veth9f virbr0 vlan7 vmbr0 vmnet8 vnet2 vti0 vxlan.calico weave wg0 wt0 xenbr0 xfrm0 zt7nn
    ipvlan0 lxdbr0 nerdctl0 nodelocaldns
""".split()  # noqa: SIM905 - a list of names that can be seen at a glance
WRONG = 7_000_000_000
"""The values of devices that must not count."""

EXPECTED: dict[NodeMetricName, float] = {
    "cpu_usage": 1.25,
    "cpu_iowait": 0.25,
    "cpu_steal": 0.5,
    "cpu_total": 2,
    "mem_used": 600,
    "mem_available": 400,
    "swap_used": 30,
    "disk_total": 1510,
    "disk_used": 1510 - 459,
    "disk_available": 314,
    "disk_read": 111_111_111,
    "disk_write": 111_111_111,
    "disk_busy": 0.5,
    "net_rx": 111_111_111,
    "net_tx": 111_111_111,
    "net_rx_errors": 111_111_111,
    "net_tx_errors": 111_111_111,
    "uptime": 86_400,
}
"""The values of a node with the factor 1."""
NOT_MULTIPLIED = ("cpu_total",)
CPU = {"user": 0.5, "system": 0.125, "iowait": 0.125, "steal": 0.25, "idle": 0.0}


def series_of_a_node() -> Iterator[tuple[str, dict[str, str], float, bool]]:
    """Yield name, labels, value, and whether that is the increase per second of a counter."""
    for cpu, (mode, rate) in ((cpu, each) for cpu in (0, 1) for each in CPU.items()):
        yield "node_cpu_seconds_total", {"cpu": str(cpu), "mode": mode}, rate, True
    for name, value in (("MemTotal", 1000), ("MemAvailable", 400), ("SwapTotal", 50), ("SwapFree", 20)):
        yield f"node_memory_{name}_bytes", {}, value, False
    for device, place, kind, sizes in FILE_SYSTEMS:
        for name, value in zip(("size", "free", "avail"), sizes, strict=True):
            labels = {"device": device, "mountpoint": place, "fstype": kind}
            yield f"node_filesystem_{name}_bytes", labels, value, False
    for device, value in {**DISKS, **dict.fromkeys(ON_DISKS, WRONG)}.items():
        yield "node_disk_read_bytes_total", {"device": device}, value, True
        yield "node_disk_written_bytes_total", {"device": device}, value, True
        busy = 0.5 if device == "sda" else 0.25
        yield "node_disk_io_time_seconds_total", {"device": device}, busy if device in DISKS else 0.75, True
    for device, value in {**CARDS, **dict.fromkeys(ON_CARDS, WRONG)}.items():
        for name in ("receive_bytes", "transmit_bytes", "receive_errs", "transmit_errs"):
            yield f"node_network_{name}_total", {"device": device}, value, True
    yield "node_time_seconds", {}, 186_400, False
    yield "node_boot_time_seconds", {}, 100_000, False


def planted() -> Iterator[PlantedSeries]:
    """Yield the series of all nodes, with a sample every 15 seconds of the last ten minutes."""
    for node, factor in NODES.items():
        for name, labels, value, is_counter in series_of_a_node():
            samples = [
                (NOW.timestamp() + second - 600, value * factor * (second if is_counter else 1))
                for second in range(0, 601, 15)
            ]
            yield PlantedSeries(name, {**labels, "instance": node}, samples)


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]) -> Iterator[Server]:
    """A Prometheus that holds the samples, in place of the one that scrapes."""
    require_program("prometheus")
    require_program("promtool")
    folder = tmp_path_factory.mktemp("planted")
    plant_openmetrics(folder, openmetrics_text(planted()))
    with running_prometheus(folder, targets={}) as server:
        yield server


@pytest.mark.parametrize("metric", EXPECTED)
async def test_file_systems_and_devices_count_once(client: PrometheusClient, metric: NodeMetricName) -> None:
    """A file system counts once, and what lies on disks and cards, or is neither, not at all; on each node by itself."""
    found = await client.query_utilization_now(NodeMetricQuerier(metric_name=metric), time=NOW)
    expected = {node: EXPECTED[metric] * (1 if metric in NOT_MULTIPLIED else factor) for node, factor in NODES.items()}
    assert expected == pytest.approx({sample.labels["instance"]: sample.value for sample in found.samples}, rel=1e-9)


async def test_a_shared_request_for_nodes_has_the_same_answers(client: PrometheusClient) -> None:
    """Every metric of every node, and of an unknown node."""
    nodes = [*NODES, "c:9100"]
    queriers = [NodeMetricQuerier(metric_name=metric, node_id=node) for metric in EXPECTED for node in nodes]
    each = [await client.query_utilization_now(querier, time=NOW) for querier in queriers]
    together = await UtilizationSource(client).read_utilization_now_batch(queriers, time=NOW)
    assert each == list(together)
    assert len(EXPECTED) * len(NODES) == sum(len(answer.samples) for answer in each)
    assert EXPECTED.keys() <= METRICS.keys()
