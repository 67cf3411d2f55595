"""A real node_exporter, scraped by a real Prometheus: every metric against its raw samples, and against the kernel.

Nothing here depends on how busy the machine is, nor on what hardware it has: where there is none, there is no answer.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from node_scrapes import Scrapes, ask, counted, of_node

from statcore.plugins import QuerierSpec
from statcore.plugins.querier_kinds import metric_names
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_prometheus import PrometheusClient

Read = Callable[[str], dict[str, float]]
"""The fixtures `values` and `slopes`."""
BUSY = ("user", "nice", "system", "irq", "softirq")


def hardware(metric: NodeMetricName, devices: Iterable[str]) -> set[str]:
    """Return the disks or cards that the kernel links to hardware, but for drives that hold no disk and for VLANs."""
    folder = Path("/sys/class/net" if metric.startswith("net") else "/sys/block")
    linked = {device for device in devices if (folder / device / "device").exists()}
    return {device for device in linked if not re.fullmatch("(sr|fd)[0-9]+|.+[.][0-9]+", device)}


def file_systems(places: Iterable[str]) -> list[os.statvfs_result]:
    """Return what the kernel says of the file systems of devices that are disks, or lie on disks, each device once."""
    by_device = dict(sorted(place.split(" ", 1) for place in places))
    none = ("//", "/dev/fuse", "/dev/loop", "/dev/ram", "/dev/zram")
    disks = [place for device, place in by_device.items() if device.startswith("/") and not device.startswith(none)]
    return list(map(os.statvfs, disks))


def meminfo(name: str) -> int:
    """Return a line of /proc/meminfo in bytes."""
    return int(Path("/proc/meminfo").read_text().partition(f"{name}:")[2].split()[0]) << 10


GAUGES: dict[NodeMetricName, tuple[str, ...]] = {
    "load1": ("node_load1",),
    "load5": ("node_load5",),
    "load15": ("node_load15",),
    "procs_running": ("node_procs_running",),
    "procs_blocked": ("node_procs_blocked",),
    "mem_total": ("node_memory_MemTotal_bytes",),
    "mem_used": ("node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"),
    "mem_available": ("node_memory_MemAvailable_bytes",),
    "swap_total": ("node_memory_SwapTotal_bytes",),
    "swap_used": ("node_memory_SwapTotal_bytes", "node_memory_SwapFree_bytes"),
    "fds_open": ("node_filefd_allocated",),
    "uptime": ("node_time_seconds", "node_boot_time_seconds"),
}
"""The value is a sample, or a sample minus another."""

SPACES: dict[NodeMetricName, tuple[str, ...]] = {
    "disk_total": ("node_filesystem_size_bytes",),
    "disk_used": ("node_filesystem_size_bytes", "node_filesystem_free_bytes"),
    "disk_available": ("node_filesystem_avail_bytes",),
}
"""The value is a sample, or a sample minus another, of every device."""

MODES: dict[NodeMetricName, tuple[str, ...]] = {"cpu_usage": BUSY, "cpu_iowait": ("iowait",), "cpu_steal": ("steal",)}
"""The modes that are added up for each rate of CPU time."""

RATES: dict[NodeMetricName, str] = {
    "disk_read": "node_disk_read_bytes_total",
    "disk_write": "node_disk_written_bytes_total",
    "disk_busy": "node_disk_io_time_seconds_total",
    "net_rx": "node_network_receive_bytes_total",
    "net_tx": "node_network_transmit_bytes_total",
    "net_rx_errors": "node_network_receive_errs_total",
    "net_tx_errors": "node_network_transmit_errs_total",
}
"""The counter of each metric that is a rate of devices."""


def test_every_metric_is_tested() -> None:
    """Against its raw samples, or against the kernel."""
    assert set(METRICS) == {"cpu_total"} | GAUGES.keys() | SPACES.keys() | MODES.keys() | RATES.keys()


@pytest.mark.parametrize("metric", GAUGES)
async def test_gauges(
    client: PrometheusClient, scraped: Scrapes, node_id: str, values: Read, metric: NodeMetricName
) -> None:
    """The value is the sample, or the difference of two samples."""
    whole, *parts = (values(series)[""] for series in GAUGES[metric])
    assert {node_id: pytest.approx(whole - sum(parts))} == await ask(client, scraped, metric, node_id)


@pytest.mark.parametrize("metric", SPACES)
async def test_space(
    client: PrometheusClient, scraped: Scrapes, node_id: str, values: Read, metric: NodeMetricName
) -> None:
    """The value is that of the samples of every device, whatever its mount point."""
    whole, *parts = (
        {
            device: max(size for _, size in places)
            for device, places in itertools.groupby(sorted(values(series).items()), lambda item: item[0].split(" ")[0])
        }
        for series in SPACES[metric]
    )
    expected = of_node(node_id, (whole[device] - sum(p[device] for p in parts) for device in counted(metric, whole)))
    assert expected == pytest.approx(await ask(client, scraped, metric, node_id))


@pytest.mark.parametrize("metric", MODES)
async def test_time_of_cpus(
    client: PrometheusClient, scraped: Scrapes, node_id: str, slopes: Read, metric: NodeMetricName
) -> None:
    """The rate is that between the first and the last sample of every CPU."""
    found = slopes("node_cpu_seconds_total")
    expected = of_node(node_id, (rate for mode, rate in found.items() if mode.split()[0] in MODES[metric]))
    # The window is longer than the time between its samples by 1 ms, for which Prometheus extrapolates.
    assert expected == pytest.approx(await ask(client, scraped, metric, node_id), rel=1e-3, abs=1e-9)
    assert {node_id} == expected.keys()


@pytest.mark.parametrize("metric", RATES)
async def test_rates_of_devices(
    client: PrometheusClient, scraped: Scrapes, node_id: str, slopes: Read, metric: NodeMetricName
) -> None:
    """The rate is that between the first and the last sample of every counted device; hardware is counted."""
    found = slopes(RATES[metric])
    devices = counted(metric, found)
    assert hardware(metric, found) <= devices
    combine: Any = max if metric == "disk_busy" else sum
    expected = of_node(node_id, (found[device] for device in devices), combine)
    assert expected == pytest.approx(await ask(client, scraped, metric, node_id), rel=1e-3, abs=1e-9)


async def test_totals_are_what_the_kernel_says(
    client: PrometheusClient, scraped: Scrapes, node_id: str, values: Read
) -> None:
    """The values are equal, since they do not change."""
    assert {node_id: os.cpu_count()} == await ask(client, scraped, "cpu_total", node_id)
    assert {node_id: meminfo("MemTotal")} == await ask(client, scraped, "mem_total", node_id)
    assert {node_id: meminfo("SwapTotal")} == await ask(client, scraped, "swap_total", node_id)
    systems = file_systems(values("node_filesystem_size_bytes"))
    expected = of_node(node_id, (system.f_blocks * system.f_frsize for system in systems))
    assert expected == await ask(client, scraped, "disk_total", node_id)


async def test_work_is_what_the_kernel_counted(client: PrometheusClient, scraped: Scrapes, node_id: str) -> None:
    """CPU seconds lie between those of two readings within the window and those of two readings around it."""
    cores = (await ask(client, scraped, "cpu_usage", node_id))[node_id]
    least, most = (
        end.busy_s - start.busy_s for start, end in ((scraped.loading, scraped.loaded), (scraped.before, scraped.after))
    )
    assert least * 0.999 <= cores * (scraped.last - scraped.first) <= most * 1.001


async def test_written_bytes_are_counted(client: PrometheusClient, scraped: Scrapes, node_id: str, slopes: Read) -> None:
    """The bytes lie between those of readings within the window and around it; this test's own writes are among them."""
    devices = counted("disk_write", slopes(RATES["disk_write"]))
    rate = sum((await ask(client, scraped, "disk_write", node_id)).values())
    least, most = (
        sum(end.written[device] - start.written[device] for device in devices)
        for start, end in ((scraped.loading, scraped.loaded), (scraped.before, scraped.after))
    )
    assert least * 0.999 <= rate * (scraped.last - scraped.first) <= most * 1.001


async def test_every_metric_is_listed(client: PrometheusClient, scraped: Scrapes, node_id: str) -> None:
    """The listed metrics are those with an answer; a query for every node has the same answer as one for the node."""
    answers = {metric: await ask(client, scraped, metric) for metric in METRICS}
    answering = [metric for metric, answer in answers.items() if answer]
    assert answering == await metric_names(client, QuerierSpec.of(NodeMetricQuerier))
    for metric, answer in answers.items():
        assert answer == pytest.approx(await ask(client, scraped, metric, node_id))
    assert GAUGES.keys() | MODES.keys() | {"cpu_total"} <= set(answering)
