"""Measures contenders: interleaved in one run, with median times, longest stalls of the event loop, peak memory."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs

TICK_S = 0.0005


@attrs.frozen(kw_only=True)
class Measured:
    """The median time of a contender's runs, and the median of the longest stall of each run, both in seconds."""

    median_s: float
    stall_s: float


async def interleave(contenders: Mapping[str, Callable[[], Awaitable[object]]], *, repeats: int) -> dict[str, Measured]:
    """Run the contenders in turn, `repeats` times each, and every time once more beside a ticker that measures stalls."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    stalls: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        await run()
    for repeat in range(repeats):
        order = list(contenders.items())
        # The order rotates, so that every contender runs in every place.
        for name, run in order[repeat % len(order) :] + order[: repeat % len(order)]:
            gc.collect()
            started = time.perf_counter()
            await run()
            times[name].append(time.perf_counter() - started)
            stalls[name].append(await _longest_stall(run))
    return {
        name: Measured(median_s=statistics.median(times[name]), stall_s=statistics.median(stalls[name]))
        for name in contenders
    }


async def idle_stall(*, duration_s: float = 0.2, repeats: int = 5) -> float:
    """Return the median of the longest stalls in seconds while nothing else runs: the smallest measurable stall."""
    return statistics.median([await _longest_stall(lambda: asyncio.sleep(duration_s)) for _ in range(repeats)])


async def _longest_stall(run: Callable[[], Awaitable[object]]) -> float:
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
    await run()
    await asyncio.sleep(4 * TICK_S)  # the ticker must wake once more to see a stall at the end of the run
    ticker.cancel()
    return max(gaps)


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
    before = _high_water_bytes()
    kept = function(content)
    after = _high_water_bytes()
    del kept
    sender.send(after - before)


def _high_water_bytes() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024.0
