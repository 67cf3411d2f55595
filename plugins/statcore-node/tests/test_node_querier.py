"""The queries of the querier of nodes, and the fields and the conformance of its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from statcore import InputError
from statcore.plugins import QuerierSpec
from statcore.plugins.fields import FieldType
from statcore.plugins.querier_kinds import build_querier
from statcore.promql import render, utilization_query
from statcore.testing.conformance import QuerierConformance
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_node.plugin import statcore_queriers

FILES = 'device!~"[^/].*|//.*|/dev/(fuse|loop|ram|zram).*"'
DISKS = (
    'device!~"(bcache|dm-|drbd|fd|loop|md|ram|sr|zd|zram)[0-9].*|md_d.*|(mmcblk|nbd|nvme|rbd).+p[0-9]+'
    '|(h|s|v)d[a-z]+[0-9]+"'
)
CARDS = (
    'device!~"lo|(antrea|azv|bat|bond|br-|br[0-9]|bridge|cali|cbr|cilium|cni|datapath|docker|dummy|eni|erspan|flannel|fwbr|fwln|fwpr'
    "|genev|gke|gre|ifb|incus|ip6_vti|ip6gre|ip6tnl|ip_vti|ipsec|ipvl|isatap|kube|l2tp|lxc|lxd|macv|nerdctl|nodelocal"
    "|nordlynx|ovn|ovs|podman|ppp|qbr|qg-|qr-|qvb|qvo|sit|tailscale|tap|team|tun|veth|virbr|vlan|vmbr|vmnet|vnet|vti"
    '|vxlan|weave|wg|wt[0-9]|xenbr|xfrm|zt).*|.+[.][0-9]+"'
)
NODE = 'instance="a:9100"'
SIZES = f"sum by (instance)(max by (device,instance)(node_filesystem_size_bytes{{{FILES},{NODE}}}))"
EXPECTED = {
    "cpu_usage": f'sum by (instance)(rate(node_cpu_seconds_total{{mode!~"idle|iowait|steal",{NODE}}}[5m]))',
    "cpu_iowait": f'sum by (instance)(rate(node_cpu_seconds_total{{mode="iowait",{NODE}}}[5m]))',
    "cpu_steal": f'sum by (instance)(rate(node_cpu_seconds_total{{mode="steal",{NODE}}}[5m]))',
    "cpu_total": f'count by (instance)(node_cpu_seconds_total{{mode="idle",{NODE}}})',
    "load1": f"sum by (instance)(node_load1{{{NODE}}})",
    "load5": f"sum by (instance)(node_load5{{{NODE}}})",
    "load15": f"sum by (instance)(node_load15{{{NODE}}})",
    "procs_running": f"sum by (instance)(node_procs_running{{{NODE}}})",
    "procs_blocked": f"sum by (instance)(node_procs_blocked{{{NODE}}})",
    "mem_total": f"sum by (instance)(node_memory_MemTotal_bytes{{{NODE}}})",
    "mem_used": f"sum by (instance)(node_memory_MemTotal_bytes{{{NODE}}})"
    f" - sum by (instance)(node_memory_MemAvailable_bytes{{{NODE}}})",
    "mem_available": f"sum by (instance)(node_memory_MemAvailable_bytes{{{NODE}}})",
    "swap_total": f"sum by (instance)(node_memory_SwapTotal_bytes{{{NODE}}})",
    "swap_used": f"sum by (instance)(node_memory_SwapTotal_bytes{{{NODE}}})"
    f" - sum by (instance)(node_memory_SwapFree_bytes{{{NODE}}})",
    "disk_total": SIZES,
    "disk_used": f"{SIZES} - sum by (instance)(max by (device,instance)(node_filesystem_free_bytes{{{FILES},{NODE}}}))",
    "disk_available": f"sum by (instance)(max by (device,instance)(node_filesystem_avail_bytes{{{FILES},{NODE}}}))",
    "disk_read": f"sum by (instance)(rate(node_disk_read_bytes_total{{{DISKS},{NODE}}}[5m]))",
    "disk_write": f"sum by (instance)(rate(node_disk_written_bytes_total{{{DISKS},{NODE}}}[5m]))",
    "disk_busy": f"max by (instance)(rate(node_disk_io_time_seconds_total{{{DISKS},{NODE}}}[5m]))",
    "net_rx": f"sum by (instance)(rate(node_network_receive_bytes_total{{{CARDS},{NODE}}}[5m]))",
    "net_tx": f"sum by (instance)(rate(node_network_transmit_bytes_total{{{CARDS},{NODE}}}[5m]))",
    "net_rx_errors": f"sum by (instance)(rate(node_network_receive_errs_total{{{CARDS},{NODE}}}[5m]))",
    "net_tx_errors": f"sum by (instance)(rate(node_network_transmit_errs_total{{{CARDS},{NODE}}}[5m]))",
    "fds_open": f"sum by (instance)(node_filefd_allocated{{{NODE}}})",
    "uptime": f"sum by (instance)(node_time_seconds{{{NODE}}}) - sum by (instance)(node_boot_time_seconds{{{NODE}}})",
}
README = Path(__file__).parent.parent / "README.md"


def text_of(metric: NodeMetricName, node: str | None, **settings: Any) -> str:
    """Return the PromQL of a querier."""
    return render(utilization_query(NodeMetricQuerier(metric_name=metric, node_id=node), **settings))


@pytest.mark.parametrize("metric", METRICS)
def test_the_promql_of_every_metric(metric: NodeMetricName) -> None:
    """A query without a node lacks only the matcher of the node."""
    assert EXPECTED[metric] == text_of(metric, "a:9100")
    without = EXPECTED[metric].replace(f",{NODE}", "").replace(f"{{{NODE}}}", "")
    assert without == text_of(metric, None)


def test_the_window_is_that_of_the_query() -> None:
    """The plugin's own strategies take the window, too."""
    assert "[90s]" in text_of("disk_busy", None, rate_interval="90s")


def test_the_table_has_the_names_of_the_type() -> None:
    """Names in the type, in the table and in this test are the same, in the same order."""
    assert list(get_args(NodeMetricName)) == list(METRICS) == list(EXPECTED)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metric_name": "cpu_usgae"}, "metric_name must be one of cpu_usage, .* not 'cpu_usgae'"),
        ({"metric_name": ["load1"]}, "metric_name must be one of"),
        ({"metric_name": "load1", "node_id": ""}, "node_id is empty"),
        ({"metric_name": "load1", "node_id": "\ud800"}, "lone surrogate"),
        ({"metric_name": "load1", "node_id": 9100}, "must be text, not int"),
    ],
)
def test_bad_input_is_refused_when_it_is_given(values: dict[str, Any], message: str) -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match=message):
        NodeMetricQuerier(**values)


def test_fields_are_read_from_the_class() -> None:
    """The metrics are choices, the node is optional, and both are documented."""
    spec = QuerierSpec.of(NodeMetricQuerier)
    metric, node = spec.fields
    assert ("node", "Nodes, as their node_exporter sees them") == (spec.name, spec.summary)
    assert (FieldType.CHOICE, list(METRICS), "cpu_usage") == (metric.type, list(metric.choices), metric.default)
    assert (FieldType.TEXT, False) == (node.type, node.required)
    assert metric.help.startswith("what to measure")
    assert "10.0.0.5:9100" in node.help
    assert NodeMetricQuerier(metric_name="load1", node_id="a:9100") == build_querier(
        spec, {"metric_name": "load1", "node_id": "a:9100"}
    )
    with pytest.raises(InputError, match="metric_name must be one of"):
        build_querier(spec, {"metric_name": "load2"})


def test_the_readme_has_the_table() -> None:
    """It has the unit, the series and the meaning of each metric."""
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in README.read_text().splitlines()
        if line.startswith("| `")
    ]
    expected = [(f"`{name}`", row.unit, f"`{row.series}`", row.meaning) for name, row in METRICS.items()]
    assert expected == rows


class TestNodeMetricQuerier(QuerierConformance):
    """The suite that statcore ships."""

    def queriers(self) -> list[NodeMetricQuerier]:
        """Return each metric, of all nodes and of two."""
        nodes = (None, "a:9100", "b:9100")
        return [NodeMetricQuerier(metric_name=metric, node_id=node) for metric in METRICS for node in nodes]


def test_the_plugin_knows_the_unit_of_each_metric() -> None:
    """Dashboards show it."""
    (spec,) = statcore_queriers()
    assert (NodeMetricQuerier, {name: metric.unit for name, metric in METRICS.items()}) == (spec.querier, spec.units)
