"""A real node_exporter, scraped by a real Prometheus: every metric against what the kernel says by other ways."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from statcore.plugins import QuerierSpec
from statcore.plugins.metric_names import metric_names
from statcore.testing.servers import Server
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_prometheus import PrometheusClient

WINDOW = "4s"
MEGABYTES = 8


def raw(server: Server, promql: str, at: float) -> list[dict[str, Any]]:
    """Return the series of an answer, asked for without any of statcore."""
    url = f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': promql, 'time': at})}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the URL is the test's own
        series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return series


@pytest.fixture(scope="module")
def scraped(scraping: Server, node_id: str, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The time of the last of several scrapes, during which something was written to the disk."""
    deadline = time.monotonic() + 60
    while True:
        with (tmp_path_factory.mktemp("load") / "load").open("wb") as load:
            load.write(os.urandom(MEGABYTES << 20))
            os.fsync(load.fileno())
        found = raw(scraping, f'node_time_seconds{{instance="{node_id}"}}[1m]', time.time())
        if found and len(found[0]["values"]) > 6:  # more than the window holds
            return float(found[0]["values"][-1][0])
        assert time.monotonic() < deadline
        time.sleep(0.2)  # Prometheus does not tell when it scrapes


@pytest.fixture
def samples(scraping: Server, scraped: float) -> Callable[[str], dict[str, list[list[Any]]]]:
    """Return a function from a series to its samples within the window, by cpu and mode or by device."""

    def read(series: str) -> dict[str, list[list[Any]]]:
        found = raw(scraping, f"{series}[{WINDOW}]", scraped)
        keys = ("cpu", "mode", "device")
        return {"/".join(one["metric"].get(key, "") for key in keys).strip("/"): one["values"] for one in found}

    return read


def slope(values: list[list[Any]]) -> float:
    """Return the increase per second between the first sample and the last."""
    (start, first), (end, last) = values[0], values[-1]
    return (float(last) - float(first)) / (end - start)


async def ask(client: PrometheusClient, metric: NodeMetricName, node: str | None, at: float) -> float:
    """Return the value of the one series, which is the node's."""
    found = await client.query_utilization_now(
        NodeMetricQuerier(metric_name=metric, node_id=node), time=datetime.fromtimestamp(at, UTC), rate_interval=WINDOW
    )
    (sample,) = found.samples
    assert ["instance"] == list(sample.labels)
    return sample.value


def meminfo() -> Mapping[str, int]:
    """Return /proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines}


def file_systems() -> list[os.statvfs_result]:
    """Return what is mounted from a device, each device once."""
    lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    by_device = {words[0]: words[1] for words in lines if words[0].startswith("/dev/") and "loop" not in words[0]}
    return list(map(os.statvfs, by_device.values()))


def test_every_metric_is_tested() -> None:
    """Against the kernel, or against the raw samples."""
    assert set(METRICS) == STEADY.keys() | MOVING.keys() | RATES.keys()


STEADY: dict[NodeMetricName, Callable[[], float]] = {
    "cpu_total": lambda: os.cpu_count() or 0,
    "mem_total": lambda: meminfo()["MemTotal"],
    "swap_total": lambda: meminfo()["SwapTotal"],
    "disk_total": lambda: sum(system.f_blocks * system.f_frsize for system in file_systems()),
}
"""What does not change."""

MOVING: dict[NodeMetricName, tuple[Callable[[], float], float]] = {
    "load1": (lambda: os.getloadavg()[0], 1.5),
    "load5": (lambda: os.getloadavg()[1], 0.5),
    "load15": (lambda: os.getloadavg()[2], 0.5),
    "procs_running": (lambda: 50, 49),
    "procs_blocked": (lambda: 50, 50),
    "mem_used": (lambda: meminfo()["MemTotal"] - meminfo()["MemAvailable"], 2 << 30),
    "mem_available": (lambda: meminfo()["MemAvailable"], 2 << 30),
    "swap_used": (lambda: meminfo()["SwapTotal"] - meminfo()["SwapFree"], 1 << 30),
    "disk_used": (lambda: sum((system.f_blocks - system.f_bfree) * system.f_frsize for system in file_systems()), 2 << 30),
    "disk_available": (lambda: sum(system.f_bavail * system.f_frsize for system in file_systems()), 2 << 30),
    "fds_open": (lambda: int(Path("/proc/sys/fs/file-nr").read_text().split()[0]), 500),
    "uptime": (lambda: float(Path("/proc/uptime").read_text().split()[0]), 30),
}
"""What moves between the scrape and the look at it, and by how much at most."""


def busy_cores(mode: str) -> bool:
    """Tell what is work."""
    return mode.rpartition("/")[2] in {"user", "nice", "system", "irq", "softirq"}


def is_disk(device: str) -> bool:
    """Tell a disk by what the kernel links it to: hardware."""
    return Path(f"/sys/block/{device}/device").exists()


def is_on_disk(folder: Path) -> bool:
    """Tell whether a folder is in a file system that takes a whole disk."""
    device = folder.stat().st_dev
    return is_disk(Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name)


def is_card(device: str) -> bool:
    """Tell a network card by what the kernel links it to: hardware."""
    return Path(f"/sys/class/net/{device}/device").exists()


RATES: dict[NodeMetricName, tuple[str, Callable[[str], bool]]] = {
    "cpu_usage": ("node_cpu_seconds_total", busy_cores),
    "cpu_iowait": ("node_cpu_seconds_total", lambda mode: mode.endswith("/iowait")),
    "cpu_steal": ("node_cpu_seconds_total", lambda mode: mode.endswith("/steal")),
    "disk_read": ("node_disk_read_bytes_total", is_disk),
    "disk_write": ("node_disk_written_bytes_total", is_disk),
    "disk_busy": ("node_disk_io_time_seconds_total", is_disk),
    "net_rx": ("node_network_receive_bytes_total", is_card),
    "net_tx": ("node_network_transmit_bytes_total", is_card),
    "net_rx_errors": ("node_network_receive_errs_total", is_card),
    "net_tx_errors": ("node_network_transmit_errs_total", is_card),
}
"""What is a rate: the series, and which of them are added up."""


@pytest.mark.parametrize("metric", STEADY)
async def test_what_does_not_change(client: PrometheusClient, scraped: float, node_id: str, metric: NodeMetricName) -> None:
    """It is exactly what the kernel says."""
    assert STEADY[metric]() == await ask(client, metric, node_id, scraped)


@pytest.mark.parametrize("metric", MOVING)
async def test_what_moves(client: PrometheusClient, scraped: float, node_id: str, metric: NodeMetricName) -> None:
    """It is near what the kernel says a moment later."""
    read, tolerance = MOVING[metric]
    assert read() == pytest.approx(await ask(client, metric, node_id, scraped), abs=tolerance)


@pytest.mark.parametrize("metric", RATES)
async def test_what_is_a_rate(
    client: PrometheusClient,
    scraped: float,
    node_id: str,
    samples: Callable[[str], dict[str, list[list[Any]]]],
    metric: NodeMetricName,
) -> None:
    """It is what the first and the last sample of every device that is hardware say."""
    series, counts = RATES[metric]
    slopes = [slope(values) for name, values in samples(series).items() if counts(name)]
    assert slopes
    expected = max(slopes) if metric == "disk_busy" else sum(slopes)
    # Where a scrape comes late, the server extends the rate over less than the whole window.
    assert expected == pytest.approx(await ask(client, metric, node_id, scraped), rel=0.2, abs=1e-9)


async def test_what_was_written_is_seen(client: PrometheusClient, scraped: float, node_id: str, tmp_path: Path) -> None:
    """The load of this test itself went to a disk."""
    if not is_on_disk(tmp_path):
        pytest.skip("temporary files are not on a disk as a whole")
    assert MEGABYTES << 20 < 4 * await ask(client, "disk_write", node_id, scraped)


async def test_every_metric_is_listed(client: PrometheusClient, scraped: float, node_id: str) -> None:
    """The exporter has the series of all of them, and the one node answers when every node is asked for."""
    assert list(METRICS) == await metric_names(client, QuerierSpec.of(NodeMetricQuerier))
    pairs = itertools.product(["mem_total", "disk_total"], [None, node_id])
    values = await asyncio.gather(*(ask(client, metric, node, scraped) for metric, node in pairs))
    assert values[0] == values[1]
    assert values[2] == values[3]
