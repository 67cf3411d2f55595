"""The collector on real process trees: what it reports lies between what the system itself says before and after.

One file, though a long one: the programs that play the kernels share a prelude, a fixture and a way to talk to them.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from uuid import uuid4

import psutil
import pytest

from statcore_collector import Collector, KernelTarget
from statcore_memory import MemoryStatistics

Start = Callable[..., Popen[bytes]]

# Every program ends with its standard input, so none outlives the tests even if these are killed.
PRELUDE = """
import os, signal, socket, sys, time
def say(text): os.write(1, f"{text}\\n".encode())
def told():
    if not os.read(0, 1): os._exit(0)
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
"""
DUTY_CYCLE = """
import threading
def watch():
    while True: told()
threading.Thread(target=watch, daemon=True).start()
while True:
    burn(0.02)
    say("burnt")
    time.sleep(0.02)
"""
SHORT_LIVED = """
say("up")
told()
for _ in range(5):
    pid = os.fork()
    if not pid:
        burn(0.04)
        os._exit(0)
    os.waitpid(pid, 0)
say("done")
told()
"""
MANY_CHILDREN = """
say("up")
told()
for _ in range(30):
    for _ in range(2):
        if not os.fork():
            burn(0.02)
            os._exit(0)
    os.wait(), os.wait()
say("done")
told()
"""
NEVER_WAITS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if not os.fork():
    burn(0.1)
    say("burnt")
    told()
    os._exit(0)
try: os.wait()
except ChildProcessError: say("gone")
told()
"""
ORPHAN = """
reading, writing = os.pipe()
child = os.fork()
if not child:
    if not os.fork():
        os.close(writing)
        say(os.getpid())
        os.read(reading, 1)
        burn(0.1)
        say("burnt")
        told()
        os._exit(0)
    os.close(reading)
    told()
    os._exit(0)
os.close(writing)
os.close(reading)
os.waitpid(child, 0)
signal.pause()
"""
HOLDER = """
held = bytearray(os.urandom(1 << 20)) * 64
for _ in range(3):
    if not os.fork():
        say("up")
        told()
        os._exit(0)
say("up")
told()
"""
WRITER = """
def write(path):
    with open(path, "wb", buffering=0) as file:
        for _ in range(8): file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
write(sys.argv[1])
say("written")
told()
if not os.fork():
    write(sys.argv[1])
    os._exit(0)
os.wait()
say("written")
told()
"""
RECEIVER = """
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    say(server.getsockname()[1])
    peer, _ = server.accept()
left = int(sys.argv[2])
while left: left -= len(peer.recv(min(left, 65536)))
say("received")
told()
peer.close()
say("closed")
told()
"""
SENDER = """
peer = socket.create_connection((sys.argv[1], int(sys.argv[3])))
peer.sendall(bytes(int(sys.argv[2])))
say("sent")
told()
peer.close()
say("closed")
told()
"""
MIB = 1 << 20


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program in a session of its own, which is ended with the test."""
    with ExitStack() as stack:

        def run(program: str, *arguments: str) -> Popen[bytes]:
            command = [sys.executable, "-c", PRELUDE + program, *arguments]
            process = stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0, start_new_session=True))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            return process

        yield run


async def _hear(process: Popen[bytes]) -> str:
    assert process.stdout
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, "the program ended"
    return line.decode().strip()


def _tell(process: Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.write(b"x")


def _cpu_ms(pid: int, *, children: bool = True) -> int:
    """Return user and system time in milliseconds, as /proc says it, of a process and the children it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = [int(field) for field in fields[11 : 15 if children else 13]]
    return sum(ticks) * 1000 // os.sysconf("SC_CLK_TCK")


def _watch(*processes: Popen[bytes]) -> tuple[Collector, MemoryStatistics, list[str]]:
    store = MemoryStatistics()
    collector = Collector(store, agent_id="i-1", interval_s=60)
    kernels = [str(uuid4()) for _ in processes]
    for process, kernel_id in zip(processes, kernels, strict=True):
        collector.add(KernelTarget(pid=process.pid, kernel_id=kernel_id, session_id=uuid4()))
    return collector, store, kernels


def _current(collector: Collector, kernel_id: str, metric: str) -> float:
    return next(
        value
        for _, labels, value in collector.samples()
        if (labels.get("kernel_id"), labels.get("container_metric_name")) == (kernel_id, metric)
        and labels["value_type"] == "current"
    )


def _pids(collector: Collector) -> set[int]:
    return {int(labels["pid"]) for _, labels, _ in collector.samples() if "pid" in labels}


async def test_cpu_time_is_what_proc_says(start: Start) -> None:
    """Cumulative, at every round, between two looks at /proc; and the rate that is stored is that between two rounds."""
    process = start(DUTY_CYCLE)
    collector, store, [kernel_id] = _watch(process)
    looks: list[tuple[float, int, float, int]] = []
    for _ in range(2):
        for _ in range(20):
            assert "burnt" == await _hear(process)
        before_s, before_ms = time.monotonic(), _cpu_ms(process.pid)
        await collector.collect()
        looks.append((before_s, before_ms, time.monotonic(), _cpu_ms(process.pid)))
        assert looks[-1][1] <= _current(collector, kernel_id, "cpu_util") <= looks[-1][3]
        assert _current(collector, kernel_id, "cpu_util") == _current(collector, kernel_id, "cpu_used")
    (early_s, early_ms, late_s, late_ms), (early2_s, early2_ms, late2_s, late2_ms) = looks
    [statistics] = await store.fetch_kernel_statistics([kernel_id])
    assert statistics is not None
    rate = float(statistics["cpu_util"]["current"])
    least, most = (early2_ms - late_ms) / (late2_s - early_s), (late2_ms - early_ms) / (early2_s - late_s)
    assert 0 < least - 0.001 <= rate <= most + 0.001
    assert float(statistics["cpu_util"]["pct"]) == pytest.approx(rate / 10, abs=0.01)


async def test_children_that_live_between_two_rounds_are_counted(start: Start) -> None:
    """No round ever sees them: their parent, who waits for them, has their time."""
    process = start(SHORT_LIVED)
    collector, _, [kernel_id] = _watch(process)
    assert "up" == await _hear(process)
    await collector.collect()
    before = _current(collector, kernel_id, "cpu_util")
    _tell(process)
    assert "done" == await _hear(process)
    await collector.collect()
    assert _cpu_ms(process.pid) == _current(collector, kernel_id, "cpu_util")
    assert before + 5 * 40 - 5 * 10 <= _current(collector, kernel_id, "cpu_util")


async def test_children_that_end_during_rounds_are_counted_once(start: Start) -> None:
    """Rounds without a pause, while children start and end: the counter never falls, and is exact in the end."""
    process = start(MANY_CHILDREN)
    collector, _, [kernel_id] = _watch(process)
    assert "up" == await _hear(process)
    await collector.collect()
    counted = [_current(collector, kernel_id, "cpu_util")]
    _tell(process)
    done = asyncio.create_task(_hear(process))
    while not done.done():
        await collector.collect()
        counted.append(_current(collector, kernel_id, "cpu_util"))
    assert "done" == await done
    await collector.collect()
    assert sorted(counted) == counted
    assert _cpu_ms(process.pid) == _current(collector, kernel_id, "cpu_util")


async def test_a_child_that_nobody_waits_for_stays_counted(start: Start) -> None:
    """The system drops its time; the counter keeps it."""
    process = start(NEVER_WAITS)
    collector, _, [kernel_id] = _watch(process)
    assert "burnt" == await _hear(process)
    await collector.collect()
    before = _current(collector, kernel_id, "cpu_util")
    assert before >= 90
    _tell(process)
    assert "gone" == await _hear(process)
    assert _cpu_ms(process.pid) < before
    await collector.collect()
    assert before <= _current(collector, kernel_id, "cpu_util")
    assert {process.pid} == _pids(collector)


async def test_an_orphan_stays_in_its_kernel(start: Start) -> None:
    """A grandchild whose parent has ended works on for this kernel, and its time stays when it ends elsewhere."""
    process = start(ORPHAN)
    collector, _, [kernel_id] = _watch(process)
    orphan = int(await _hear(process))
    await collector.collect()
    assert 3 == len(_pids(collector))
    _tell(process)
    assert "burnt" == await _hear(process)
    assert psutil.Process(orphan).ppid() not in _pids(collector)
    await collector.collect()
    assert {process.pid, orphan} == _pids(collector)
    before = _current(collector, kernel_id, "cpu_util")
    assert before >= 90
    handle = os.pidfd_open(orphan)
    _tell(process)
    await asyncio.to_thread(select.select, [handle], [], [])
    os.close(handle)
    await collector.collect()
    assert {process.pid} == _pids(collector)
    assert before <= _current(collector, kernel_id, "cpu_util")


async def test_memory_that_forks_share_is_counted_once(start: Start) -> None:
    """Four processes over the same 64 MiB have 64 MiB and their own bits, not 256 MiB."""
    process = start(HOLDER)
    collector, store, [kernel_id] = _watch(process)
    for _ in range(4):
        assert "up" == await _hear(process)
    await collector.collect()
    assert 64 * MIB <= _current(collector, kernel_id, "mem") <= 128 * MIB
    [statistics] = await store.fetch_kernel_statistics([kernel_id])
    assert statistics is not None
    assert str(psutil.virtual_memory().total) == statistics["mem"]["capacity"]


async def test_what_is_written_is_counted(start: Start, tmp_path: Path) -> None:
    """By the process, and by a child that it waited for; never lower than before."""
    folder = max((part for part in psutil.disk_partitions(all=True) if tmp_path.is_relative_to(part.mountpoint)), key=len)
    if folder.fstype in {"tmpfs", "ramfs"}:
        pytest.skip("the temporary folder is in memory: nothing is written to a disk")
    process = start(WRITER, str(tmp_path / "file"))
    collector, _, [kernel_id] = _watch(process)
    for times in (1, 2):
        assert "written" == await _hear(process)
        await collector.collect()
        assert 8 * MIB * times <= _current(collector, kernel_id, "io_write") <= 8 * MIB * times + MIB
        _tell(process)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_traffic_is_counted_on_both_ends(start: Start, host: str) -> None:
    """Two kernels, one sends and one receives; closing the connection takes nothing back."""
    size = 4 * MIB
    receiver = start(RECEIVER, host, str(size))
    sender = start(SENDER, host, str(size), await _hear(receiver))
    collector, store, kernels = _watch(receiver, sender)
    assert ["received", "sent"] == [await _hear(receiver), await _hear(sender)]
    await collector.collect()
    received, sent = (_current(collector, key, metric) for key, metric in zip(kernels, ("net_rx", "net_tx"), strict=True))
    assert size == received
    assert 0.97 * size <= sent <= size + 1
    assert 0 == _current(collector, kernels[0], "net_tx")
    for process in (sender, receiver):
        _tell(process)
        assert "closed" == await _hear(process)
    await collector.collect()
    assert size == _current(collector, kernels[0], "net_rx")
    assert sent <= _current(collector, kernels[1], "net_tx") <= size + 2
    for statistics in await store.fetch_kernel_statistics(kernels):
        assert statistics is not None
        assert "bps" == statistics["net_rx"]["unit_hint"]
        assert "0" == statistics["net_rx"]["current"]


async def test_a_killed_kernel_is_gone(start: Start) -> None:
    """Even while nobody has waited for it: its samples and its entries vanish, another kernel's do not."""
    killed, other = start(SHORT_LIVED), start(SHORT_LIVED)
    collector, store, [kernel_id, other_id] = _watch(killed, other)
    assert ["up", "up"] == [await _hear(killed), await _hear(other)]
    await collector.collect()
    handle = os.pidfd_open(killed.pid)
    killed.kill()
    await asyncio.to_thread(select.select, [handle], [], [])
    os.close(handle)
    await collector.collect()
    assert (other_id,) == collector.kernel_ids
    assert {other.pid} == _pids(collector)
    batch = await store.fetch_kernel_statistics([kernel_id, other_id])
    assert [False, True] == [entry is not None for entry in batch]
