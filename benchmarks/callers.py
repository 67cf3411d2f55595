"""Measures 64 callers at once, each of which reads 100 kernels over and over, from a real Valkey."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

import attrs
import msgpack
from report import Goal, Report, Row, Table, dropped, profile_here
from timing import Measured, Sample, Stopwatch, in_rotation, percentile, undisturbed
from workload import Stored, kernel_ids, stored

CALLERS: Final = 64
KERNELS: Final = 100
CALLS: Final = 640
"""How many calls all callers together make for one sample."""
STORED: Final = 10_000
RATE_RATIO: Final = "rate ratio"
P99_RATIO: Final = "p99 ratio"
OURS: Final = "statcore, 16 connections, batch"

Read = Callable[[list[str]], Awaitable[object]]


@attrs.frozen(kw_only=True)
class Served:
    """One sample of the time of a call, and the percentiles of how long its callers waited for a call, in seconds."""

    sample: Sample
    p50_s: float
    p99_s: float


_P50_S: Final = attrgetter("p50_s")
_P99_S: Final = attrgetter("p99_s")


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    async with stored(scratch, kernels=STORED) as source:
        await _compare(report, source, repeats=repeats)


async def _compare(report: Report, source: Stored, *, repeats: int) -> None:
    reads = readers(source)
    title = f"{CALLERS} callers of {KERNELS} kernels, {source.version}"
    report.progress(title)
    served: dict[str, list[Served]] = {name: [] for name in reads}
    for read in reads.values():  # connects
        await serve(read, callers=CALLERS, calls=2 * CALLERS)
    for repeat in range(repeats):
        for name in in_rotation(list(reads), repeat):
            gc.collect()
            served[name].append(await serve(reads[name], callers=CALLERS, calls=CALLS, helpers=source.helpers))
    baseline, unbounded, *_ = reads
    goals = {RATE_RATIO: Goal(0.8, at_least=True), P99_RATIO: Goal(1.0)}
    rows = [
        Row(
            contender=name,
            figures=figures(served[name], served[baseline], p99_s=min(map(p99_of, (served[baseline], served[unbounded])))),
            goals=goals if name == OURS else {},
        )
        for name in reads
    ]
    measured = [Measured.of([each.sample for each in served[name]]) for name in reads]
    notes = [
        f"Ratios to: {baseline}; of p99, to the lower of the two that are not decoded",
        f"p50 and p99 are those of the {CALLS} calls of a sample, as the median of the samples",
        dropped(measured),
    ]
    report.add(Table(title=title, rows=rows, notes=notes))
    for row in rows:
        if report.profiles and row.missed:
            text = await profile_here(partial(serve, reads[row.contender], callers=CALLERS, calls=CALLS))
            report.add_profile(f"{row.contender}, {title}", text)


def readers(source: Stored) -> dict[str, Read]:
    """Return the ways to read kernels by name, the baseline first."""

    async def redis_msgpack(ids: list[str]) -> object:
        return [msgpack.unpackb(value) for value in await source.redis.mget(ids)]

    return {
        "redis-py MGET, 16 connections, not decoded": source.redis.mget,
        "redis-py MGET, unbounded, not decoded": source.unbounded_redis.mget,
        "redis-py MGET, 16 connections + msgpack": redis_msgpack,
        OURS: source.repository.get_kernel_statistics_batch,
    }


async def serve(read: Read, *, callers: int, calls: int, helpers: Sequence[int] = ()) -> Served:
    """Let callers read without a pause until `calls` calls are made."""
    ids = kernel_ids(STORED)
    times_s: list[float] = []
    remaining = iter(range(calls))

    async def call_repeatedly(number: int) -> None:
        places = random.Random(number)  # noqa: S311 - not a secret
        for _ in remaining:
            first = places.randrange(STORED - KERNELS)
            started = time.perf_counter()
            await read(ids[first : first + KERNELS])
            times_s.append(time.perf_counter() - started)

    stopwatch = Stopwatch(helpers=helpers)
    await asyncio.gather(*map(call_repeatedly, range(callers)))
    sample = stopwatch.stop(runs=calls)
    times_s.sort()
    return Served(
        sample=sample,
        p50_s=percentile(times_s, 0.5),
        p99_s=percentile(times_s, 0.99),
    )


def figures(served: Sequence[Served], baseline: Sequence[Served], *, p99_s: float) -> dict[str, float]:
    """Return the medians of the samples, their ratios to those of the baseline, and the ratio of p99 to `p99_s`."""
    measured, reference = (Measured.of([each.sample for each in samples]) for samples in (served, baseline))
    return {
        "calls/s": 1 / measured.wall_s,
        RATE_RATIO: reference.wall_s / measured.wall_s,
        "CPU ms a call": measured.cpu_s * 1e3,
        "CPU ratio": measured.cpu_s / reference.cpu_s,
        "p50 ms": _median_s(served, _P50_S) * 1e3,
        "p99 ms": p99_of(served) * 1e3,
        P99_RATIO: p99_of(served) / p99_s,
    }


def p99_of(served: Sequence[Served]) -> float:
    """Return the median of the samples' p99 in seconds."""
    return _median_s(served, _P99_S)


def _median_s(served: Sequence[Served], read: Callable[[Served], float]) -> float:
    kept = undisturbed(served, sample_of=lambda each: each.sample)
    return statistics.median(map(read, kept))
