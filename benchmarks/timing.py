"""Measures contenders: interleaved in one run, with CPU and wall times, longest stalls of the event loop, peak memory."""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

TICK_S: Final = 0.0005
SAMPLE_S: Final = 0.1
"""How long a sample lasts at least; a shorter run is repeated within a sample."""
MIN_CLEAN: Final = 5
"""How many undisturbed samples a contender needs; with fewer, its disturbed samples count as well."""
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_OTHERS_SHARE: Final = 0.1
"""A sample is disturbed if other processes used more than this share of a core."""
_OTHERS_S: Final = 3 / _TICKS_PER_S
"""Less time of other processes than this cannot be distinguished from the rounding of /proc/stat."""

_Item = TypeVar("_Item")


@attrs.frozen(kw_only=True)
class Sample:
    """One run: its times in seconds, and whether it was disturbed by steal or by another process."""

    wall_s: float
    cpu_s: float
    disturbed: bool


@attrs.frozen(kw_only=True)
class Measured:
    """What was measured of a contender.

    Args:
        wall_s: the median wall time of a run in seconds.
        cpu_s: the median CPU time of a run in seconds.
        stall_s: the median of the longest stall of each run in seconds, None if stalls were not measured.
        samples: how many samples there were.
        dropped: how many of them were dropped because they were disturbed.
        disturbed: how many of them were disturbed, dropped or not.
    """

    wall_s: float
    cpu_s: float
    stall_s: float | None
    samples: int
    dropped: int
    disturbed: int

    @classmethod
    def of(cls, samples: Sequence[Sample], *, stalls_s: Sequence[float] = ()) -> Measured:
        """Return the medians of the undisturbed samples, or of all samples if too few are undisturbed."""
        kept = undisturbed(samples, sample_of=lambda sample: sample)
        return cls(
            wall_s=statistics.median(sample.wall_s for sample in kept),
            cpu_s=statistics.median(sample.cpu_s for sample in kept),
            stall_s=statistics.median(stalls_s) if stalls_s else None,
            samples=len(samples),
            dropped=len(samples) - len(kept),
            disturbed=sum(sample.disturbed for sample in samples),
        )


def undisturbed(items: Sequence[_Item], *, sample_of: Callable[[_Item], Sample]) -> Sequence[_Item]:
    """Return the items whose sample was not disturbed, or all items if fewer than `MIN_CLEAN` were not."""
    clean = [item for item in items if not sample_of(item).disturbed]
    return clean if len(clean) >= MIN_CLEAN else items


class Stopwatch:
    """Measures wall time, the CPU time of one process, and whether anything else used the machine meanwhile.

    Args:
        pid: the process whose CPU time counts, by default this one.
        helpers: other processes of the measurement, such as its servers; they do not disturb it.
    """

    def __init__(self, *, pid: int | None = None, helpers: Collection[int] = ()) -> None:
        """Read the counters for the first time."""
        self._pid = os.getpid() if pid is None else pid
        self._known = {os.getpid(), self._pid, *helpers}
        self._wall_s, self._cpu_s = time.perf_counter(), cpu_s(self._pid)
        self._known_s, self._machine = self._own_s(), machine_times(Path("/proc/stat").read_text())

    def stop(self, *, runs: int = 1) -> Sample:
        """Return the times of one of `runs` runs since the stopwatch was made."""
        wall_s, of_pid_s = time.perf_counter() - self._wall_s, cpu_s(self._pid) - self._cpu_s
        machine = machine_times(Path("/proc/stat").read_text())
        stolen_s = machine.stolen_s - self._machine.stolen_s
        others_s = machine.busy_s - self._machine.busy_s - (self._own_s() - self._known_s)
        disturbed = stolen_s > 0 or others_s > max(_OTHERS_S, _OTHERS_SHARE * wall_s)
        return Sample(wall_s=wall_s / runs, cpu_s=of_pid_s / runs, disturbed=disturbed)

    def _own_s(self) -> float:
        return sum(map(cpu_s, self._known))


@attrs.frozen(kw_only=True)
class MachineTimes:
    """How long all cores together worked, and how long the hypervisor kept them from working, in seconds since boot."""

    busy_s: float
    stolen_s: float


def machine_times(stat: str, /) -> MachineTimes:
    """Read the first line of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ = map(int, stat.split("\n", 1)[0].split()[1:])
    return MachineTimes(busy_s=(user + nice + system + irq + softirq) / _TICKS_PER_S, stolen_s=stolen / _TICKS_PER_S)


def cpu_s(pid: int, /) -> float:
    """Return the CPU time of a process and all its threads in seconds, with the resolution of `time.process_time`."""
    return time.clock_gettime(~pid << 3 | 2)  # the number that clock_getcpuclockid(3) returns


async def interleave(
    contenders: Mapping[str, Callable[[], Awaitable[object]]],
    *,
    repeats: int,
    stalls: bool = False,
    pid: int | None = None,
    helpers: Collection[int] = (),
) -> dict[str, Measured]:
    """Run the contenders in turn, `repeats` times each.

    Args:
        contenders: coroutine functions by name.
        repeats: how many samples each contender gives.
        stalls: whether each contender also runs beside a ticker that measures stalls, once for every sample.
        pid: the process whose CPU time counts, by default this one.
        helpers: other processes that work for the contenders, such as servers.
    """
    runs: dict[str, int] = {}
    for name, run in contenders.items():
        await run()
        started = time.perf_counter()
        await run()
        runs[name] = max(1, math.ceil(SAMPLE_S / (time.perf_counter() - started)))
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    stalls_s: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name in in_rotation(list(contenders), repeat):
            run = contenders[name]
            gc.collect()
            stopwatch = Stopwatch(pid=pid, helpers=helpers)
            for _ in range(runs[name]):
                await run()
            samples[name].append(stopwatch.stop(runs=runs[name]))
            if stalls:
                gc.collect()
                stalls_s[name].append(await longest_stall_s(run))
    return {name: Measured.of(samples[name], stalls_s=stalls_s[name]) for name in contenders}


def in_rotation(names: Sequence[str], repeat: int) -> list[str]:
    """Return the names in the order of this repeat, so that every contender runs in every place."""
    start = repeat % len(names)
    return [*names[start:], *names[:start]]


async def idle_stall_s(*, duration_s: float = 0.2, repeats: int = 5) -> float:
    """Return the median of the longest stalls in seconds while nothing else runs: the smallest measurable stall."""
    return statistics.median([await longest_stall_s(lambda: asyncio.sleep(duration_s)) for _ in range(repeats)])


async def longest_stall_s(run: Callable[[], Awaitable[object]]) -> float:
    """Run once beside a ticker, and return the longest time in seconds that the event loop kept it waiting."""
    gaps: list[float] = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            gaps.append(now - last - TICK_S)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(TICK_S)
    result = await run()
    await asyncio.sleep(4 * TICK_S)  # the ticker must wake once more to see a stall at the end of the run
    ticker.cancel()
    del result  # freed only now: freeing thousands of dicts takes long, but is the caller's and not the reader's
    return max(gaps)


def percentile(sorted_s: Sequence[float], share: float) -> float:
    """Return the value of a sorted list below which a share of it lies, such as 0.99."""
    return sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * share))]


def peak_bytes(function: Callable[[bytes], Any], *, warm_up: bytes, body: Path) -> float:
    """Return the peak memory in bytes that a call of the function needs, measured in a new process.

    Args:
        function: the function to call once.
        warm_up: a small input for a first call, so that imports do not count.
        body: the file with the input; its content is in memory before the measurement and does not count.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(function, warm_up, body, sender))
    process.start()
    sender.close()  # then recv() ends when the child dies
    grown: float = receiver.recv()
    process.join()
    return grown


def _measure_peak(function: Callable[[bytes], Any], warm_up: bytes, body: Path, sender: Connection) -> None:
    function(warm_up)
    content = body.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # reset the high-water mark to the resident size
    before = high_water_bytes()
    kept = function(content)
    after = high_water_bytes()
    del kept
    sender.send(after - before)


def high_water_bytes(pid: int | None = None) -> float:
    """Return the most memory in bytes that a process, by default this one, has had resident since the mark was reset."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024.0
