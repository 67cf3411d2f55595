"""The tables of a soak, with its goals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

import attrs
from report import Goal, Report, Row, Table
from soak_memory import Memory, MemorySample
from soak_tally import Outcome, Tally

_NONE: Final = Goal(0)
_FLAT: Final = Goal(1.05)
_ENDLESS_S: Final = 60.0
"""No load of the machine explains that a source is not right again after this time."""
_LEAST_MINUTES: Final = 5.0
"""How long a soak must last for its memory to have a goal; Python's allocator needs minutes to settle."""
_LATE_S: Final = 30.0
"""How old the last sample of the worker may be at the end."""
_WARM_UP: Final = 0.2
"""The share of the time that is the warm-up of the memory."""
LARGE_RATIO: Final = "ratio of large"
BLOCKS_RATIO: Final = "ratio of small"
_KIB: Final = 2**10
_MIB: Final = 2**20
_ANSWERS: Final = (
    "*right* counts the entries and points that were checked and right; *foreign* the exceptions that are not of statcore,"
    " and the errors of statcore that no fault of a server explains; *shown* the errors and problems that tell the caller"
    " what is missing; *gaps* the points that a server lost when it was killed"
)
_LEFT: Final = "Connections in use are counted when all calls have ended, and the rest after the clients are closed"
_HELD: Final = (
    "The ratios are of memory in use, in large and in small pieces: the end of a line through all samples after"
    f" {_WARM_UP:.0%} of the time to its start. Resident memory also has what the allocator keeps free between the pieces"
)
_MOST: Final = (
    "*most connections* is to one port; each client of a store has a pool of 16, and the cluster has three clients"
)


@attrs.frozen(kw_only=True)
class Circumstances:
    """What happened around the readers.

    Args:
        faults: how often each fault happened, by name.
        load: the mean of the machine's load average.
        cores: how many cores it has.
        longest_stall_s: the longest time in which the process that makes the faults did not run although it was to.
        versions: the servers.
        service_connections: how many connections the service still has of callers that have closed them.
        memory_of_worker: the samples of the service's worker that no fault harmed.
        failure: why the soak has ended early, or "".
    """

    faults: Mapping[str, int]
    load: float
    cores: int
    longest_stall_s: float
    versions: str
    service_connections: int
    memory_of_worker: Sequence[MemorySample]
    failure: str = ""


def tables(outcome: Outcome, around: Circumstances) -> list[Table]:
    """Return what a soak has measured."""
    title = f"{outcome.seconds / 60:.1f} minutes, {sum(around.faults.values())} faults, {around.versions}"
    tallies = outcome.tallies
    early = [f"It ended early: {around.failure}"] if around.failure else []
    examples = [
        f"Wrong or foreign, {source}: {'; '.join(each.examples)}" for source, each in tallies.items() if each.examples
    ]
    recovery = (
        f"The times depend on the load of the machine, which was {around.load:.1f} on average on {around.cores} cores, with"
        " that of the soak itself; the only goal is that they end. Where others take over, time counts from there on. The"
        f" process that makes the faults stood still for at most {around.longest_stall_s:.1f} s"
    )
    return [
        Table(
            title=f"answers, {title}",
            subject="source",
            rows=[_answers(source, tally) for source, tally in tallies.items()],
            notes=[*early, _ANSWERS, *examples],
        ),
        Table(
            title="errors and problems that callers were shown",
            subject="source",
            rows=[Row(contender=source, figures=dict(sorted(tally.shown.items()))) for source, tally in tallies.items()],
        ),
        Table(
            title="seconds from the end of a fault until each kind of read was right",
            subject="fault",
            rows=[_recovery(name, times, outcome.recoveries_s.get(name, [])) for name, times in around.faults.items()],
            notes=[recovery],
        ),
        _left(outcome, around),
        _memory(outcome, around),
    ]


def missed_goals(report: Report) -> list[str]:
    """Return the goals that are missed, with their figures."""
    return [
        f"{row.contender}: {column} {row.cell(column).removesuffix(' !')}"
        for table in report.tables
        for row in table.rows
        for column in row.missed
    ]


def _answers(source: str, tally: Tally) -> Row:
    return Row(
        contender=source,
        figures={
            "calls": tally.calls,
            "right": tally.right,
            "wrong": tally.wrong,
            "foreign": tally.foreign,
            "shown": tally.shown.total(),
            "gaps": tally.gaps,
            "cancelled": tally.abandoned,
            "p50 ms": tally.durations.percentile(0.5) * 1e3,
            "p99 s": tally.durations.percentile(0.99),
            "longest s": tally.durations.longest_s,
        },
        goals={
            "right": Goal(1, at_least=True),
            "wrong": _NONE,
            "foreign": _NONE,
            "p99 s": Goal(tally.deadline_s),
        },
    )


def _recovery(name: str, times: int, recoveries_s: Sequence[float]) -> Row:
    if not recoveries_s:
        return Row(contender=name, figures={"times": times})
    figures = {"times": times, "median": statistics.median(recoveries_s), "worst": max(recoveries_s)}
    return Row(contender=name, figures=figures, goals={"worst": Goal(_ENDLESS_S)})


def _left(outcome: Outcome, around: Circumstances) -> Table:
    of_readers = {name.replace("_", " "): count for name, count in attrs.asdict(outcome.leaks).items()}
    left = {"readers and writers": of_readers, "service": {"connections of callers": around.service_connections}}
    rows = [Row(contender=name, figures=counts, goals=dict.fromkeys(counts, _NONE)) for name, counts in left.items()]
    return Table(title="left at the end", subject="process", rows=rows, notes=[_LEFT])


def _memory(outcome: Outcome, around: Circumstances) -> Table:
    has_goal = outcome.seconds >= 60 * _LEAST_MINUTES
    warm_up_s = _WARM_UP * outcome.seconds
    of_worker = _meanwhile(outcome.memory, around.memory_of_worker)
    figures = {
        "readers and writers": {"most connections": outcome.most_connections, **_held(outcome.memory, warm_up_s=warm_up_s)},
        "a worker of the service": _held(of_worker, warm_up_s=warm_up_s),
    }
    goals = {LARGE_RATIO: _FLAT, BLOCKS_RATIO: _FLAT} if has_goal else {}
    for held in figures.values():
        held.update({ratio: held.get(ratio, inf) for ratio in goals})  # without samples, goals are missed
    rows = [Row(contender=name, figures=held, goals=goals) for name, held in figures.items()]
    notes = [_MOST, _HELD, *([] if has_goal else [f"Memory has no goal in less than {_LEAST_MINUTES:g} minutes"])]
    return Table(title="connections and memory", subject="process", rows=rows, notes=notes)


def _meanwhile(memory: Sequence[MemorySample], of_worker: Sequence[MemorySample]) -> list[MemorySample]:
    """Return the samples of the worker from the time of the readers, or none if it had stopped to keep them."""
    if not memory or not of_worker or of_worker[-1].at_s < memory[-1].at_s - _LATE_S:
        return []
    return [sample for sample in of_worker if memory[0].at_s <= sample.at_s <= memory[-1].at_s]


def _held(samples: Sequence[MemorySample], *, warm_up_s: float) -> dict[str, float]:
    """Return the memory of a process and how it changed, or nothing without enough samples."""
    memory = Memory.of(samples, warm_up_s=warm_up_s)
    if memory is None:
        return {}
    return {
        "resident MiB": memory.resident_bytes / _MIB,
        "KiB a minute": memory.resident_per_min / _KIB,
        "in use KiB a minute": memory.large_per_min / _KIB,
        LARGE_RATIO: memory.large_ratio,
        BLOCKS_RATIO: memory.blocks_ratio,
    }
