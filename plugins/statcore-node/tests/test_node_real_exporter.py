"""A real node_exporter, scraped by a real Prometheus: every metric against its raw samples, and against the kernel.

Nothing here depends on how busy the machine is, nor on what hardware it has: where there is none, there is no answer.
One file, since all of it looks at the same scrapes, which take seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from statcore import LabelMatcher
from statcore.plugins import QuerierSpec
from statcore.plugins.metric_names import metric_names
from statcore.testing.servers import Server
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_prometheus import PrometheusClient

MEGABYTES = 8
ROUNDS = 2
BUSY = ("user", "nice", "system", "irq", "softirq")


@attrs.frozen
class Counters:
    """What the kernel says of its counters at one time: CPU seconds that were work, and bytes written by device."""

    busy_s: float
    written: dict[str, int]

    @classmethod
    def read(cls) -> Counters:
        """Read /proc."""
        cpus = [line.split() for line in Path("/proc/stat").read_text().splitlines() if re.match("cpu[0-9]", line)]
        busy = sum(int(cpu[field]) for cpu in cpus for field in (1, 2, 3, 6, 7))  # all but idle, iowait and steal
        disks = [line.split() for line in Path("/proc/diskstats").read_text().splitlines()]
        return cls(busy / os.sysconf("SC_CLK_TCK"), {disk[2]: int(disk[9]) * 512 for disk in disks})


@attrs.frozen
class Scrapes:
    """The times of the first and the last of several scrapes, and the kernel's counters before, between and after."""

    first: float
    last: float
    before: Counters
    loading: Counters
    loaded: Counters
    after: Counters

    @property
    def window(self) -> str:
        """A window that begins and ends with these scrapes: there is nothing to extrapolate."""
        return f"{round((self.last - self.first) * 1000) + 1}ms"  # Prometheus 3 leaves its very beginning out


def raw(server: Server, promql: str, at: float) -> list[dict[str, Any]]:
    """Return the series of an answer, asked for without any of statcore."""
    url = f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': promql, 'time': at})}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the URL is the test's own
        series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return series


def next_scrape(server: Server) -> float:
    """Return the time of a scrape that began after this call."""
    began = time.time() + 0.01  # Prometheus moves times by some ms
    deadline = time.monotonic() + 60
    while True:
        for series in raw(server, "node_time_seconds[1m]", time.time()):
            if (last := float(series["values"][-1][0])) > began:
                return last
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Prometheus does not tell when it scrapes


@pytest.fixture(scope="module")
def scraped(scraping: Server, tmp_path_factory: pytest.TempPathFactory) -> Scrapes:
    """Several scrapes, during which something was written to the disk, if that is where temporary files are."""
    folder = tmp_path_factory.mktemp("load")
    before = Counters.read()
    first = last = next_scrape(scraping)
    loading = Counters.read()
    loaded = loading
    for number in range(ROUNDS):
        with (folder / str(number)).open("wb") as load:
            load.write(os.urandom(MEGABYTES << 20))
            os.fsync(load.fileno())
        loaded = Counters.read()
        last = next_scrape(scraping)
    return Scrapes(first, last, before, loading, loaded, Counters.read())


@pytest.fixture
def values(scraping: Server, scraped: Scrapes) -> Callable[[str], dict[str, float]]:
    """Return a function from a series to its values at the last scrape, by device and mount point."""

    def read(series: str) -> dict[str, float]:
        return {key(one): float(one["value"][1]) for one in raw(scraping, series, scraped.last)}

    return read


@pytest.fixture
def slopes(scraping: Server, scraped: Scrapes) -> Callable[[str], dict[str, float]]:
    """Return a function from a counter to its increase per second between the scrapes, by mode and CPU or by device."""

    def read(series: str) -> dict[str, float]:
        found = raw(scraping, f"{series}[{scraped.window}]", scraped.last)
        return {key(one): increase(one["values"]) / (scraped.last - scraped.first) for one in found}

    return read


def key(series: dict[str, Any]) -> str:
    """Return what tells the series of one name apart."""
    return " ".join(
        series["metric"][label] for label in ("mode", "cpu", "device", "mountpoint") if label in series["metric"]
    )


def increase(samples: list[list[Any]]) -> float:
    """Return what was counted between the first sample and the last; one that falls began anew."""
    counts = [float(value) for _, value in samples]
    return sum(after - before if after >= before else after for before, after in itertools.pairwise(counts))


async def ask(
    client: PrometheusClient, scraped: Scrapes, metric: NodeMetricName, node: str | None = None
) -> dict[str, float]:
    """Return the values by node."""
    found = await client.query_utilization_now(
        NodeMetricQuerier(metric_name=metric, node_id=node),
        time=datetime.fromtimestamp(scraped.last, UTC),
        rate_interval=scraped.window,
    )
    return {sample.labels["instance"]: sample.value for sample in found.samples}


def of_node(node: str, parts: Iterable[float], combine: Callable[[Iterable[float]], float] = sum) -> dict[str, float]:
    """Return the answer that these parts make: where there are none, none."""
    parts = list(parts)
    return {node: combine(parts)} if parts else {}


def counted(metric: NodeMetricName, devices: Iterable[str]) -> set[str]:
    """Return the devices that the metric's matcher lets through."""
    matcher = METRICS[metric].labels["device"]
    assert isinstance(matcher, LabelMatcher)
    return {device for device in devices if not re.fullmatch(matcher.value, device)}


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
"""What is one sample, or that less another."""

SPACES: dict[NodeMetricName, tuple[str, ...]] = {
    "disk_total": ("node_filesystem_size_bytes",),
    "disk_used": ("node_filesystem_size_bytes", "node_filesystem_free_bytes"),
    "disk_available": ("node_filesystem_avail_bytes",),
}
"""Likewise, of every device."""

MODES: dict[NodeMetricName, tuple[str, ...]] = {"cpu_usage": BUSY, "cpu_iowait": ("iowait",), "cpu_steal": ("steal",)}
"""What is a rate of CPU time: the modes that are added up."""

RATES: dict[NodeMetricName, str] = {
    "disk_read": "node_disk_read_bytes_total",
    "disk_write": "node_disk_written_bytes_total",
    "disk_busy": "node_disk_io_time_seconds_total",
    "net_rx": "node_network_receive_bytes_total",
    "net_tx": "node_network_transmit_bytes_total",
    "net_rx_errors": "node_network_receive_errs_total",
    "net_tx_errors": "node_network_transmit_errs_total",
}
"""What is a rate of devices."""


def test_every_metric_is_tested() -> None:
    """Against its raw samples, or against the kernel."""
    assert set(METRICS) == {"cpu_total"} | GAUGES.keys() | SPACES.keys() | MODES.keys() | RATES.keys()


@pytest.mark.parametrize("metric", GAUGES)
async def test_gauges(
    client: PrometheusClient,
    scraped: Scrapes,
    node_id: str,
    values: Callable[[str], dict[str, float]],
    metric: NodeMetricName,
) -> None:
    """The sample, or the difference of the two."""
    whole, *parts = (values(series)[""] for series in GAUGES[metric])
    assert {node_id: pytest.approx(whole - sum(parts))} == await ask(client, scraped, metric, node_id)


@pytest.mark.parametrize("metric", SPACES)
async def test_space(
    client: PrometheusClient,
    scraped: Scrapes,
    node_id: str,
    values: Callable[[str], dict[str, float]],
    metric: NodeMetricName,
) -> None:
    """What the samples of every device say, whatever its mount point."""
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
    client: PrometheusClient,
    scraped: Scrapes,
    node_id: str,
    slopes: Callable[[str], dict[str, float]],
    metric: NodeMetricName,
) -> None:
    """What the first and the last sample of every CPU say."""
    found = slopes("node_cpu_seconds_total")
    expected = of_node(node_id, (rate for mode, rate in found.items() if mode.split()[0] in MODES[metric]))
    # The window is longer than the time between its samples by 1 ms, for which Prometheus extrapolates.
    assert expected == pytest.approx(await ask(client, scraped, metric, node_id), rel=1e-3, abs=1e-9)
    assert {node_id} == expected.keys()


@pytest.mark.parametrize("metric", RATES)
async def test_rates_of_devices(
    client: PrometheusClient,
    scraped: Scrapes,
    node_id: str,
    slopes: Callable[[str], dict[str, float]],
    metric: NodeMetricName,
) -> None:
    """What the first and the last sample of every device say that counts; what is hardware does."""
    found = slopes(RATES[metric])
    devices = counted(metric, found)
    assert hardware(metric, found) <= devices
    combine: Any = max if metric == "disk_busy" else sum
    expected = of_node(node_id, (found[device] for device in devices), combine)
    assert expected == pytest.approx(await ask(client, scraped, metric, node_id), rel=1e-3, abs=1e-9)


async def test_totals_are_what_the_kernel_says(
    client: PrometheusClient, scraped: Scrapes, node_id: str, values: Callable[[str], dict[str, float]]
) -> None:
    """Exactly: they do not change."""
    assert {node_id: os.cpu_count()} == await ask(client, scraped, "cpu_total", node_id)
    assert {node_id: meminfo("MemTotal")} == await ask(client, scraped, "mem_total", node_id)
    assert {node_id: meminfo("SwapTotal")} == await ask(client, scraped, "swap_total", node_id)
    systems = file_systems(values("node_filesystem_size_bytes"))
    expected = of_node(node_id, (system.f_blocks * system.f_frsize for system in systems))
    assert expected == await ask(client, scraped, "disk_total", node_id)


async def test_work_is_what_the_kernel_counted(client: PrometheusClient, scraped: Scrapes, node_id: str) -> None:
    """Seconds of CPU: no less than between two looks within the window, no more than between two around it."""
    cores = (await ask(client, scraped, "cpu_usage", node_id))[node_id]
    least, most = (
        end.busy_s - start.busy_s for start, end in ((scraped.loading, scraped.loaded), (scraped.before, scraped.after))
    )
    assert least * 0.999 <= cores * (scraped.last - scraped.first) <= most * 1.001


async def test_what_was_written_is_seen(
    client: PrometheusClient, scraped: Scrapes, node_id: str, slopes: Callable[[str], dict[str, float]]
) -> None:
    """Bytes, likewise; where temporary files are on a disk, those that this test wrote are among them."""
    devices = counted("disk_write", slopes(RATES["disk_write"]))
    rate = sum((await ask(client, scraped, "disk_write", node_id)).values())
    least, most = (
        sum(end.written[device] - start.written[device] for device in devices)
        for start, end in ((scraped.loading, scraped.loaded), (scraped.before, scraped.after))
    )
    assert least * 0.999 <= rate * (scraped.last - scraped.first) <= most * 1.001


async def test_every_metric_is_listed(client: PrometheusClient, scraped: Scrapes, node_id: str) -> None:
    """Those that answer, and the one node does as well when every node is asked for."""
    answers = {metric: await ask(client, scraped, metric) for metric in METRICS}
    answering = [metric for metric, answer in answers.items() if answer]
    assert answering == await metric_names(client, QuerierSpec.of(NodeMetricQuerier))
    for metric, answer in answers.items():
        assert answer == pytest.approx(await ask(client, scraped, metric, node_id))
    assert GAUGES.keys() | MODES.keys() | {"cpu_total"} <= set(answering)
