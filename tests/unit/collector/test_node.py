"""The node and its devices, on this machine and with planted files of /proc."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.unit.collector.conftest import raising

from statcore_collector import node, proc_files
from statcore_collector.failures import Unreadable
from statcore_collector.metric import RawValue
from statcore_collector.node import NodeRound, NodeSampler, NodeSnapshot, read_node


def _read() -> NodeSnapshot:
    """Return a snapshot of the node without unreadable items."""
    unreadable = Unreadable()
    snapshot = read_node(unreadable)
    assert {} == unreadable.reasons
    return snapshot


def test_this_machine_is_read() -> None:
    """All cores and the memory are read, with the capacities that psutil reports."""
    devices = _read().devices()
    assert set(re.findall(r"^cpu(\d+)", Path("/proc/stat").read_text(), re.MULTILINE)) == set(devices["cpu_util"])
    assert psutil.cpu_count() == len(devices["cpu_util"])
    assert psutil.virtual_memory().total == devices["mem"]["root"].capacity
    assert psutil.disk_usage("/").total == devices["disk"]["/"].capacity


def test_a_node_is_as_busy_as_its_cores() -> None:
    """The CPU time of all cores lies between psutil's values before and after."""
    before = psutil.cpu_times()
    busy_ms = sum(raw.value for raw in _read().devices()["cpu_util"].values())
    after = psutil.cpu_times()

    def at_most(times: Any) -> float:
        return 1000 * sum(float(getattr(times, name)) for name in ("user", "nice", "system", "irq", "softirq"))

    slack_ms = 10 * 5 * (psutil.cpu_count() or 1)  # each value of each core is rounded down to 10 ms
    assert at_most(before) - slack_ms <= busy_ms <= at_most(after) + slack_ms


def test_counters_are_those_of_psutil() -> None:
    """Disks and interfaces have psutil's names, and at least the counts that psutil read before."""
    disks, interfaces = psutil.disk_io_counters(perdisk=True), psutil.net_io_counters(pernic=True)
    counters = _read().devices()
    assert {name for name in disks if not name.startswith(("loop", "ram"))} == set(counters["io_write"])
    assert all(disks[name].write_bytes <= raw.value for name, raw in counters["io_write"].items())
    assert all(interfaces[name].bytes_recv <= raw.value for name, raw in counters["net_rx"].items())
    assert "lo" not in counters["net_rx"]


def _plant_interfaces(proc: Any, **received: int) -> None:
    lines = [f"{name}: {size} 1 0 0 0 0 0 0 {2 * size} 1 0 0 0 0 0 0" for name, size in received.items()]
    proc.plant("net/dev", "\n".join(["Inter-| Receive | Transmit", " face |bytes", *lines, ""]))


def test_loopback_and_links_that_are_down_are_left_out(proc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that has just disappeared is left out, too."""
    flags = {"lo": 0x1 | 0x8, "eth0": 0x1, "eth0:1": 0x1, "eth2": 0x2}
    monkeypatch.setattr(proc_files, "interface_flags", lambda name: flags.get(name, 0))
    _plant_interfaces(proc, **{"lo": 5, "eth0": 30, "eth0:1": 40, "eth2": 2, "new0": 9})
    counters = _read().devices()
    assert {"eth0": RawValue(30), "eth0:1": RawValue(40)} == counters["net_rx"]
    assert {"eth0": RawValue(60), "eth0:1": RawValue(80)} == counters["net_tx"]


def test_an_interface_that_does_not_exist_has_no_flags() -> None:
    """It may disappear after it was listed."""
    assert 0 == proc_files.interface_flags("statcore-none")
    assert 0x1 | 0x8 == proc_files.interface_flags("lo") & (0x1 | 0x8)


def test_a_disk_and_its_partitions_count_once(proc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node has the sum over whole disks without loop devices; older kernels write 14 fields."""
    monkeypatch.setattr(node, "is_whole_disk", lambda name: name in {"sda", "sdb"})
    lines = [f" 8 0 {name} 1 0 2 0 1 0 4 0 0 0 0" for name in ("sda", "sda1", "sdb", "loop0", "ram0")]
    proc.plant("diskstats", "\n".join([*lines, ""]))
    round_ = NodeSampler().sample(Unreadable())
    assert ("2048", "4096") == (round_.node["io_read"].current, round_.node["io_write"].current)
    assert {"sda": "1024", "sda1": "1024", "sdb": "1024"} == _currents(round_, "io_read")


def test_a_machine_without_disks_has_no_disk_figures(proc: Any) -> None:
    """The metrics are absent, not zero."""
    proc.plant("diskstats", "")
    assert {"io_read", "io_write"}.isdisjoint(NodeSampler().sample(Unreadable()).node)


@pytest.mark.parametrize("error", [OSError("no"), psutil.AccessDenied(), NotImplementedError(), MemoryError()])
def test_an_unreadable_metric_is_absent(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """After any error the other metrics are read, and the reason is kept."""
    monkeypatch.setattr(psutil, "disk_usage", raising(error))
    unreadable = Unreadable()
    snapshot = read_node(unreadable)
    assert {"mem"} == set(snapshot.gauges)
    assert ["root disk"] == list(unreadable.reasons)
    assert unreadable.reasons["root disk"].startswith(type(error).__name__)


@pytest.mark.parametrize("file", ["stat", "net/dev", "diskstats", "meminfo"])
def test_a_missing_file_costs_its_own_metrics(proc: Any, file: str) -> None:
    """A container may hide it; the other metrics are read."""
    metrics = {
        "stat": {"cpu_util"},
        "net/dev": {"net_rx", "net_tx"},
        "diskstats": {"io_read", "io_write"},
        "meminfo": {"mem"},
    }
    everything = NodeSampler().sample(Unreadable()).node.keys()
    (proc.folder / file).unlink()
    assert everything - metrics[file] == NodeSampler().sample(Unreadable()).node.keys()


def _currents(round_: NodeRound, metric: str) -> dict[str, str]:
    return {name: value.current for name, value in round_.devices.get(metric, {}).items()}


def test_cpu_util_of_a_node_is_milliseconds_out_of_the_interval(proc: Any, now_s: list[float]) -> None:
    """The capacity is the interval, 0 in the first round; the unit is `msec`, without statistics, as agents write it."""
    sampler = NodeSampler()
    proc.plant_cores(cpu0=100, cpu1=500)
    first = sampler.sample(Unreadable()).node["cpu_util"]
    assert ("0", "0", "0.00") == (first.current, first.capacity, first.pct)
    now_s[0] += 2
    proc.plant_cores(cpu0=150, cpu1=600)
    second = sampler.sample(Unreadable())
    expected = {"current": "1500", "capacity": "2000", "pct": "75", "unit_hint": "msec"}
    assert expected == second.node["cpu_util"].to_map()
    assert {"0": "500", "1": "1000"} == _currents(second, "cpu_util")


def test_a_core_that_comes_back_has_no_rate_across_the_gap(proc: Any, now_s: list[float]) -> None:
    """The other cores keep their ids; the count of the returned core is not of this interval."""
    sampler = NodeSampler()
    rounds = [
        {"cpu0": 100, "cpu1": 9000, "cpu2": 100},
        {"cpu0": 110, "cpu2": 120},
        {"cpu0": 120, "cpu1": 99000, "cpu2": 140},
        {"cpu0": 130, "cpu1": 99030, "cpu2": 160},
    ]
    found = []
    for cores in rounds:
        proc.plant_cores(**cores)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 1
    assert {"0": "100", "2": "200"} == _currents(found[1], "cpu_util")
    assert {"0": "100", "1": "0", "2": "200"} == _currents(found[2], "cpu_util")
    assert {"0": "100", "1": "300", "2": "200"} == _currents(found[3], "cpu_util")
    assert ["0", "300", "300", "600"] == [round_.node["cpu_util"].current for round_ in found]
    assert {"0": 1200, "1": 990_000, "2": 1400} == {core: r.value for core, r in found[2].raw_values["cpu_util"].items()}


def _unless_missing(round_: NodeRound, metric: str) -> str | None:
    value = round_.node.get(metric)
    return None if value is None else f"{value.current} of {value.capacity}"


def test_a_node_is_unknown_while_a_core_cannot_be_read(proc: Any, now_s: list[float]) -> None:
    """It is left out until all cores have one interval again; the core has its use since it was last read."""
    sampler = NodeSampler()
    unreadable = -1
    found = []
    for cpu0, cpu1 in [(100, 100), (120, 120), (140, unreadable), (160, unreadable), (180, 180), (200, 200)]:
        proc.plant_cores(cpu0=cpu0, cpu1=cpu1)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 1
    assert ["0 of 0", "400 of 1000", None, None, None, "400 of 1000"] == [_unless_missing(r, "cpu_util") for r in found]
    assert [{"0": "200"}, {"0": "200"}, {"0": "200", "1": "600"}] == [_currents(r, "cpu_util") for r in found[2:5]]
    assert ("3000", "20") == (found[4].devices["cpu_util"]["1"].capacity, found[4].devices["cpu_util"]["1"].pct)


def test_a_core_that_is_no_longer_listed_is_gone(proc: Any, now_s: list[float]) -> None:
    """The node is known again, even if the core could not be read before."""
    sampler = NodeSampler()
    found = []
    for cores in ({"cpu0": 100, "cpu1": 100}, {"cpu0": 120, "cpu1": -1}, {"cpu0": 140}):
        proc.plant_cores(**cores)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 1
    assert ["0 of 0", None, "200 of 1000"] == [_unless_missing(round_, "cpu_util") for round_ in found]


def test_a_file_that_cannot_be_read_for_a_round_makes_no_zero(
    proc: Any, now_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next round has what cores and interfaces used since they were last read."""
    monkeypatch.setattr(proc_files, "interface_flags", lambda _name: 0x1)
    sampler = NodeSampler()
    found = []
    for used in (100, 120, None, 160):
        for file in ("stat", "net/dev"):
            if used is None:
                (proc.folder / file).unlink()
        if used is not None:
            proc.plant_cores(cpu0=used)
            _plant_interfaces(proc, eth0=used)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 1
    assert ["0 of 0", "200 of 1000", None, "400 of 2000"] == [_unless_missing(r, "cpu_util") for r in found]
    assert [{"0": "200"}, {}, {"0": "400"}] == [_currents(round_, "cpu_util") for round_ in found[1:]]
    assert ["0 of None", "20 of None", None, "20 of None"] == [_unless_missing(r, "net_rx") for r in found]
    assert [{"eth0": "20"}, {}, {"eth0": "20"}] == [_currents(round_, "net_rx") for round_ in found[1:]]


def test_traffic_of_a_node_is_unknown_while_an_interface_cannot_be_read(
    proc: Any, now_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes count as soon as it can be read again; an interface that was never read, or is gone, changes nothing."""
    monkeypatch.setattr(proc_files, "interface_flags", lambda _name: 0x1)
    sampler = NodeSampler()
    never, unreadable = -1, -1
    found = []
    for interfaces in (
        {"eth0": 100, "eth1": 100, "odd0": never},
        {"eth0": 200, "eth1": 200, "odd0": never},
        {"eth0": 300, "eth1": unreadable, "odd0": never},
        {"eth0": 400, "eth1": 400, "odd0": never},
        {"eth0": 500, "eth1": unreadable},
        {"eth0": 600},
    ):
        _plant_interfaces(proc, **interfaces)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 1
    rates = ["0 of None", "200 of None", None, "200 of None", None, "100 of None"]
    assert rates == [_unless_missing(round_, "net_rx") for round_ in found]
    assert [{"eth0": "100"}, {"eth0": "100", "eth1": "100"}] == [_currents(r, "net_rx") for r in found[2:4]]


def test_a_disk_that_cannot_be_read_makes_its_sum_unknown(proc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that cannot be read does not: it is not in the sum."""
    monkeypatch.setattr(node, "is_whole_disk", lambda name: name in {"sda", "sdb"})
    sampler = NodeSampler()
    found = []
    for sectors in (
        {"sda": 2, "sda1": 2, "sdb": 2},
        {"sda": 4, "sda1": -1, "sdb": 4},
        {"sda": 6, "sdb": -1},
        {"sda": 8, "sdb": 8},
    ):
        lines = [f" 8 0 {name} 1 0 {read} 0 1 0 4 0 0 0 0" for name, read in sectors.items()]
        proc.plant("diskstats", "\n".join([*lines, ""]))
        found.append(sampler.sample(Unreadable()))
    assert ["2048 of None", "4096 of None", None, "8192 of None"] == [_unless_missing(r, "io_read") for r in found]


def test_interfaces_that_come_and_go_are_matched_by_name(
    proc: Any, now_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new interface adds nothing in its first round, and the sum keeps the count of one that disappeared."""
    monkeypatch.setattr(proc_files, "interface_flags", lambda _name: 0x1)
    sampler = NodeSampler()
    rounds = [{"eth0": 100}, {"eth0": 300, "eth1": 5_000_000}, {"eth1": 5_000_070}, {"eth0": 8_000_000, "eth1": 5_000_090}]
    found = []
    for interfaces in rounds:
        _plant_interfaces(proc, **interfaces)
        found.append(sampler.sample(Unreadable()))
        now_s[0] += 2
    assert ["0", "100", "35", "10"] == [round_.node["net_rx"].current for round_ in found]
    assert [{"eth0": "0"}, {"eth0": "100", "eth1": "0"}, {"eth1": "35"}, {"eth0": "0", "eth1": "10"}] == [
        _currents(round_, "net_rx") for round_ in found
    ]
    value = found[1].node["net_rx"]
    assert (None, "0.00", "bps") == (value.capacity, value.pct, value.unit_hint)
