"""The node and its devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from statcore_collector import node
from statcore_collector.metric import Reading
from statcore_collector.node import NodeReadings, NodeSampler, read_node


def test_this_machine_is_read() -> None:
    """Every core and the memory are there, with capacities that psutil confirms."""
    readings = read_node()
    cores = psutil.cpu_count()
    assert {str(core) for core in range(cores or 0)} == set(readings.devices["cpu_util"])
    assert 1000 * (cores or 0) == readings.node["cpu_util"].capacity
    assert psutil.virtual_memory().total == readings.node["mem"].capacity
    assert readings.node["mem"] == readings.devices["mem"]["root"]
    assert psutil.disk_usage("/").total == readings.devices["disk"]["/"].capacity


def test_a_node_is_as_busy_as_its_cores() -> None:
    """The node's CPU time is the sum over its cores, between what psutil says before and after."""
    before = psutil.cpu_times()
    busy_ms = read_node().node["cpu_util"].value
    after = psutil.cpu_times()

    def at_most(times: Any) -> float:
        return 1000 * sum(getattr(times, name) for name in ("user", "nice", "system", "irq", "softirq"))

    slack_ms = 10 * 5 * (psutil.cpu_count() or 1)  # each figure of each core is cut to 10 ms
    assert at_most(before) - slack_ms <= busy_ms <= at_most(after) + slack_ms


def test_loopback_and_links_that_are_down_are_no_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what goes through an interface that is up and leads elsewhere."""
    links = {
        "lo": SimpleNamespace(isup=True, flags="up,loopback,running"),
        "eth0": SimpleNamespace(isup=True, flags="up,broadcast"),
        "eth1": SimpleNamespace(isup=True, flags="up,broadcast"),
        "eth2": SimpleNamespace(isup=False, flags="broadcast"),
    }
    counters = {
        name: SimpleNamespace(bytes_recv=10 * size, bytes_sent=size)
        for name, size in {"lo": 5, "eth0": 3, "eth1": 4, "eth2": 2, "new0": 9}.items()
    }
    monkeypatch.setattr(psutil, "net_if_stats", lambda: links)
    monkeypatch.setattr(psutil, "net_io_counters", lambda *, pernic: counters if pernic else None)
    readings = read_node()
    assert (Reading(70), Reading(7)) == (readings.node["net_rx"], readings.node["net_tx"])
    assert {"eth0": Reading(30), "eth1": Reading(40)} == readings.devices["net_rx"]


def test_disks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's figure is psutil's, which counts a disk and its partitions once; loop devices are no disks."""

    def counters(*, perdisk: bool = False) -> Any:
        one = SimpleNamespace(read_bytes=7, write_bytes=9)
        return {"sda": one, "sda1": one, "loop0": one, "ram0": one} if perdisk else one

    monkeypatch.setattr(psutil, "disk_io_counters", counters)
    readings = read_node()
    assert (Reading(7), Reading(9)) == (readings.node["io_read"], readings.node["io_write"])
    assert {"sda": Reading(9), "sda1": Reading(9)} == readings.devices["io_write"]


def test_a_machine_without_disks_has_no_disk_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, not zero."""
    monkeypatch.setattr(psutil, "disk_io_counters", lambda *, perdisk=False: {} if perdisk else None)
    readings = read_node()
    assert {"io_read", "io_write"}.isdisjoint({*readings.node, *readings.devices})


@pytest.mark.parametrize("error", [OSError("no"), psutil.AccessDenied(), NotImplementedError()])
def test_what_cannot_be_read_is_absent(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The other figures are unharmed; the last of these is what psutil raises where a system does not have a figure."""

    def deny(_path: str) -> None:
        raise error

    monkeypatch.setattr(psutil, "disk_usage", deny)
    readings = read_node()
    assert "disk" not in {*readings.node, *readings.devices}
    assert "mem" in readings.node


def test_rounds_have_rates_of_node_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round has no rate; a device that comes later has none at first either, and one that is gone is gone."""
    rounds = iter(
        [
            (0.0, {"eth0": 100.0}),
            (2.0, {"eth0": 300.0, "eth1": 50.0}),
            (4.0, {"eth1": 70.0}),
        ]
    )
    now = [0.0]

    def plan() -> NodeReadings:
        now[0], devices = next(rounds)
        readings = {name: Reading(value) for name, value in devices.items()}
        return NodeReadings(node={"net_rx": Reading(sum(devices.values()))}, devices={"net_rx": readings})

    monkeypatch.setattr(node, "read_node", plan)
    monkeypatch.setattr(node.time, "monotonic", lambda: now[0])
    sampler = NodeSampler()
    first, second, third = sampler.sample(), sampler.sample(), sampler.sample()
    assert ({}, {}) == (first.node, first.devices)
    assert "125" == second.node["net_rx"].current
    assert {"eth0": "100"} == {name: value.current for name, value in second.devices["net_rx"].items()}
    assert {} == third.node
    assert {"eth1": "10"} == {name: value.current for name, value in third.devices["net_rx"].items()}
