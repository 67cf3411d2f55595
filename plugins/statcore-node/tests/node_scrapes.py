"""Several scrapes of a node_exporter: raw samples, and answers of the querier."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from statcore import LabelMatcher
from statcore.testing.servers import Server, raw_query
from statcore_node import METRICS, NodeMetricName, NodeMetricQuerier
from statcore_prometheus import PrometheusClient


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


def next_scrape(server: Server) -> float:
    """Return the time of a scrape that began after this call."""
    began = time.time() + 0.01  # Prometheus moves times by some ms
    deadline = time.monotonic() + 60
    while True:
        for series in raw_query(server, "node_time_seconds[1m]", time.time()):
            if (last := float(series["values"][-1][0])) > began:
                return last
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Prometheus does not tell when it scrapes


def key(series: dict[str, Any]) -> str:
    """Return the labels that tell the series of a name apart."""
    return " ".join(
        series["metric"][label] for label in ("mode", "cpu", "device", "mountpoint") if label in series["metric"]
    )


def increase(samples: list[list[Any]]) -> float:
    """Return the increase from the first sample to the last; a counter that falls has started again from zero."""
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
