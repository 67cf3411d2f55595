"""Programs that run as kernels: their shared code, how a test controls them, and their figures.

The figures come from the system, in /proc, and from the collector, in its samples.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

from statcore_collector import Collector, KernelTarget
from statcore_memory import MemoryStatistics

Start = Callable[..., Popen[bytes]]


# Every program ends when its standard input closes, so none outlives the tests, even killed ones.
PRELUDE = """
import os, signal, socket, sys, time
def say(text): os.write(1, f"{text}\\n".encode())
def wait_for_input():
    if not os.read(0, 1): os._exit(0)
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
"""
# Uses half of a core.
DUTY_CYCLE = """
import threading
def watch():
    while True: wait_for_input()
threading.Thread(target=watch, daemon=True).start()
while True:
    burn(0.02)
    say("burnt")
    time.sleep(0.02)
"""


async def read_line(process: Popen[bytes]) -> str:
    """Return the next line that a program prints."""
    assert process.stdout
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, "the program ended"
    return line.decode().strip()


def resume(process: Popen[bytes]) -> None:
    """Let a program continue."""
    assert process.stdin
    process.stdin.write(b"x")


async def end(process: Popen[bytes]) -> None:
    """Kill a process and wait until it has ended."""
    handle = os.pidfd_open(process.pid)
    process.kill()
    await asyncio.to_thread(select.select, [handle], [], [])
    os.close(handle)


def cpu_ms(pid: int, *, children: bool = True) -> int:
    """Return user and system time from /proc in milliseconds, of a process and the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = [int(field) for field in fields[11 : 15 if children else 13]]
    return sum(ticks) * 1000 // os.sysconf("SC_CLK_TCK")


def watch(*processes: Popen[bytes]) -> tuple[Collector, MemoryStatistics, list[str]]:
    """Return a collector that watches each process as a kernel, its store, and the ids of the kernels."""
    store = MemoryStatistics()
    collector = Collector(store, agent_id="i-1", interval_s=60)
    kernels = [str(uuid4()) for _ in processes]
    for process, kernel_id in zip(processes, kernels, strict=True):
        collector.add(KernelTarget(pid=process.pid, kernel_id=kernel_id, session_id=uuid4()))
    return collector, store, kernels


def current(collector: Collector, kernel_id: str, metric: str) -> float:
    """Return the current value of a metric in the collector's samples of a kernel."""
    return next(
        value
        for _, labels, value in collector.samples()
        if (labels.get("kernel_id"), labels.get("container_metric_name")) == (kernel_id, metric)
        and labels["value_type"] == "current"
    )


def pids(collector: Collector) -> set[int]:
    """Return the processes that the collector has samples of."""
    return {int(labels["pid"]) for _, labels, _ in collector.samples() if "pid" in labels}
