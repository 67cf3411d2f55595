"""An item that cannot be read is left out and logged once, and everything else is collected."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import psutil
import pytest
from tests.unit.collector.conftest import KERNEL, METRICS

from statcore import InputError
from statcore_collector import Collector, KernelTarget

DISKS = """\
 254       0 vda 10 0 100 7 5 0 50 7 0 7 7 0 0 0 0 0 0
 254      16 vdb 10 0 100 7 5 0 50 7 0 7 7 0 0
 254       1 vda1 10 0 8 7 5 0 4 7 0 7 7
"""
INTERFACES = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
{name}: {numbers}
"""
# Starts a child that waits until standard input closes, prints its pid, and waits for it.
PARENT = """
import os, sys
child = os.fork()
if not child:
    os.read(0, 1)
    os._exit(0)
os.write(1, f"{child}\\n".encode())
os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "statcore_collector")


def _lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    """Return how the log lines about an item begin, oldest first."""
    return [line.partition(" since ")[0] for line in caplog.messages if f": {name}" in line]


@pytest.mark.parametrize(
    ("file", "text", "name", "missing"),
    [
        ("1/stat", "", "processes (IndexError)", []),
        ("1/stat", "1 (init) S", "processes (IndexError)", []),
        ("diskstats", DISKS, "disk 'vdb'", [("io_read", "vdb"), ("io_write", "vdb")]),
        ("diskstats", " 254 0 vdb x 0 100 7 5 0 50 7 0 7 7\n", "disk 'vdb'", [("io_read", "vdb")]),
        ("meminfo", "MemTotal: kB\nMemAvailable: 5 kB\n", "memory", [("mem", "root")]),
        ("meminfo", "MemTotal: 5 kB\n", "memory", [("mem", "root")]),
        ("net/dev", INTERFACES.format(name="eth7", numbers="1 2 3"), "interface 'eth7'", [("net_rx", "eth7")]),
        ("net/dev", INTERFACES.format(name="eth7", numbers=f"{10**400} " * 16), "interface 'eth7'", [("net_rx", "eth7")]),
        ("stat", "cpu0 1 0 0 9 0 0 0\ncpu1 1\n", "core 1", [("cpu_util", "1")]),
    ],
)
async def test_an_unreadable_item_costs_only_itself(
    proc: Any,
    collecting: Collector,
    sink: Any,
    caplog: pytest.LogCaptureFixture,
    file: str,
    text: str,
    name: str,
    missing: list[tuple[str, str]],
) -> None:
    """A process without status, or an unknown line of a disk, memory, an interface or a core; it is logged once."""
    proc.plant(file, text)
    await collecting.collect()
    await collecting.collect()
    assert ["failing"] == _lines(caplog, name)
    assert {"machine": 0, "item": 2, "store": 0} == collecting.health.failures
    agent = sink.agents["i-1"]
    for metric, device_id in missing:
        assert device_id not in agent["devices"].get(metric, {})
    assert {"cpu_util", "mem", "disk", "io_read", "net_rx"} - set(agent["node"]) <= {metric for metric, _ in missing}
    assert METRICS == set(sink.kernels[KERNEL])
    proc.restore(file.partition("/")[0])
    await collecting.collect()
    assert ["failing", "no longer failing"] == _lines(caplog, name)


async def test_a_disk_beside_a_broken_line_is_counted(proc: Any, collecting: Collector, sink: Any) -> None:
    """Its bytes are sectors of 512 bytes."""
    proc.plant("diskstats", DISKS)
    await collecting.collect()
    read = {name: value.current for name, value in sink.agents["i-1"]["devices"]["io_read"].items()}
    assert {"vda": "51200", "vda1": "4096"} == read


async def test_without_total_memory_kernels_have_no_capacity(proc: Any, collecting: Collector, sink: Any) -> None:
    """Only the capacity is unknown."""
    proc.plant("meminfo", "MemTotal: kB\n")
    await collecting.collect()
    memory = sink.kernels[KERNEL]["mem"]
    assert (None, "0.00") == (memory.capacity, memory.pct)
    assert int(memory.current) > 0


@pytest.fixture
def family() -> Iterator[tuple[Popen[bytes], int]]:
    """A process, and the pid of its child."""
    with Popen([sys.executable, "-c", PARENT], stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        assert process.stdout
        yield process, int(process.stdout.readline())
        process.kill()
        assert process.stdin
        process.stdin.close()


def _stat(pid: int, *, cpu_ticks: int) -> str:
    """Return the status line of a process with a different CPU time."""
    before, bracket, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    fields = after.split()
    return " ".join([f"{before}{bracket}", *fields[:11], str(cpu_ticks), "0", *fields[13:]])


async def test_a_process_that_cannot_be_read_keeps_its_share(
    family: tuple[Popen[bytes], int], proc: Any, sink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel goes on without it; what it used while it was unreadable is in no rate."""
    parent, child = family
    for pid in (parent.pid, child):
        (proc.folder / str(pid)).unlink(missing_ok=True)
        proc.restore(str(pid))
    collecting = Collector(sink, agent_id="i-1", interval_s=60)
    collecting.add(KernelTarget(pid=parent.pid, kernel_id=KERNEL))

    async def used() -> int:
        await collecting.collect()
        return int(sink.kernels[KERNEL]["cpu_used"].current)

    proc.plant(f"{child}/stat", _stat(child, cpu_ticks=1000))
    before = await used()
    assert before >= 10_000
    proc.plant(f"{child}/stat", "")
    assert before <= await used() < before + 5_000
    proc.plant(f"{child}/stat", _stat(child, cpu_ticks=9000))
    back = await used()
    assert before <= back < before + 5_000
    proc.plant(f"{child}/stat", _stat(child, cpu_ticks=9100))
    assert back + 1_000 <= await used() < back + 6_000
    assert ["failing", "no longer failing"] == _lines(caplog, f"kernel {KERNEL}: process {child}")


async def test_a_kernel_whose_process_cannot_be_read_has_not_ended(
    proc: Any, collecting: Collector, sink: Any, sleeper: Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """It stays in the store and in the count without new values; its rate continues when it is readable again."""
    await collecting.collect()
    before = sink.kernels[KERNEL]
    proc.plant(f"{sleeper.pid}/stat", "")
    await collecting.collect()
    assert (KERNEL,) == collecting.kernel_ids
    assert ({"i-1": 1}, []) == (sink.counts, sink.removed)
    assert before is sink.kernels[KERNEL]
    assert ["failing"] == _lines(caplog, f"kernel {KERNEL}: process {sleeper.pid}")
    proc.restore(str(sleeper.pid))
    await collecting.collect()
    assert before is not sink.kernels[KERNEL]
    assert METRICS == set(sink.kernels[KERNEL])


def test_a_process_that_cannot_be_read_is_refused_as_a_kernel(proc: Any, sink: Any, sleeper: Popen[bytes]) -> None:
    """The message names the process and the reason."""
    proc.plant(f"{sleeper.pid}/stat", "")
    with pytest.raises(InputError, match=f"process {sleeper.pid} cannot be read: IndexError"):
        Collector(sink, agent_id="i-1").add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL))


async def test_a_clock_step_loses_no_kernel(proc: Any, collecting: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """The boot time changes with the clock; the processes are the same."""
    await collecting.collect()
    started = int(psutil.boot_time())
    proc.plant("stat", f"cpu0 1 0 0 9 0 0 0\nbtime {started + 3600}\n")
    assert started + 3600 == psutil.boot_time()  # old psutil caches the boot time, and a library may have read it before
    await collecting.collect()
    assert (KERNEL,) == collecting.kernel_ids
    assert [] == [line for line in caplog.messages if "has ended" in line]
