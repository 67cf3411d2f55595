"""Samples of a process tree: which processes belong to it, and what they use."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs
import psutil

from statcore_collector.readable import readable
from statcore_collector.tree_counter import Tally, TreeCounter

_ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@attrs.frozen(kw_only=True)
class ProcessTable:
    """The processes of this machine at one time, by pid, and the children of each."""

    processes: Mapping[int, psutil.Process]
    parents: Mapping[int, int]
    children: Mapping[int, Sequence[psutil.Process]]


def read_process_table() -> ProcessTable:
    """Read all processes once, for every tree that is sampled in this round."""
    processes: dict[int, psutil.Process] = {}
    parents: dict[int, int] = {}
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            parents[pid] = process.ppid()
        except psutil.NoSuchProcess:
            continue
        processes[pid] = process
        children[parents[pid]].append(process)
    return ProcessTable(processes=processes, parents=parents, children=children)


@attrs.frozen(kw_only=True)
class ProcessSample:
    """What one process uses; None is what could not be read. An ended one that nobody waited for is not `alive`.

    Args:
        cpu_ms: its own CPU time in milliseconds.
        waited_cpu_ms: that of its children that ended and that it waited for, with their own such children.
        memory: in bytes.
        io: bytes read and written, those of the children that it waited for included.
    """

    alive: bool
    cpu_ms: int
    waited_cpu_ms: int
    memory: int | None
    io: tuple[int, int] | None


def read_process(process: psutil.Process) -> ProcessSample | None:
    """Sample a process, or return None if it is gone."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            alive = process.status() not in _ENDED
            io = readable(process.io_counters)
            memory = readable(lambda: _memory(process)) if alive else None
    except psutil.NoSuchProcess:
        return None
    return ProcessSample(
        alive=alive,
        cpu_ms=round((times.user + times.system) * 1000),
        waited_cpu_ms=round((times.children_user + times.children_system) * 1000),
        memory=memory,
        io=None if io is None else (io.read_bytes, io.write_bytes),
    )


def _memory(process: psutil.Process) -> int:
    """Return the proportional set size: summed over a tree, it counts a page that forked processes share only once.

    Reading it takes the right to trace the process; without, the resident set has to do, which is never less.
    """
    try:
        return process.memory_full_info().pss
    except psutil.AccessDenied:
        return process.memory_info().rss


@attrs.frozen(kw_only=True)
class TreeSample:
    """What a tree uses; counters are cumulative; None is what cannot be read of one of its processes."""

    time_s: float
    processes: Mapping[psutil.Process, ProcessSample]
    cpu_ms: int
    memory: int | None
    io_read: int | None
    io_write: int | None


class ProcessTree:
    """A process and all its descendants.

    Once seen, a descendant stays counted when its parent ends and it is handed to another. Processes are told apart by
    pid and time of creation, so that a pid that is used again is not mistaken.
    """

    def __init__(self, root: psutil.Process) -> None:
        """Follow the tree below `root`."""
        self._parents: dict[psutil.Process, psutil.Process | None] = {root: None}
        self._known: Collection[psutil.Process] = ()
        self._cpu = TreeCounter[psutil.Process]()
        self._read = TreeCounter[psutil.Process]()
        self._written = TreeCounter[psutil.Process]()

    def sample(self, table: ProcessTable) -> TreeSample | None:
        """Return what the tree uses now, or None when the last of its processes has ended."""
        parents = self._members(table)
        time_s = time.monotonic()
        samples = self._read_all(parents)
        alive = {process: sample for process, sample in samples.items() if sample.alive}
        if not alive:
            return None
        memory = [sample.memory for sample in alive.values() if sample.memory is not None]
        io_known = all(sample.io is not None for sample in alive.values())

        def heir(process: psutil.Process) -> psutil.Process | None:
            ancestor = self._parents[process]
            while ancestor is not None and ancestor not in samples:
                ancestor = self._parents[ancestor]
            return ancestor

        cpu_ms = self._cpu.update({p: Tally(s.cpu_ms + s.waited_cpu_ms, s.waited_cpu_ms) for p, s in samples.items()}, heir)
        # What a process read and wrote is not told apart from what its children did.
        io_read, io_write = (
            counter.update({p: Tally(s.io[way], s.io[way]) if s.io else None for p, s in samples.items()}, heir)
            for way, counter in enumerate((self._read, self._written))
        )
        tree = TreeSample(
            time_s=time_s,
            processes=alive,
            cpu_ms=cpu_ms,
            memory=sum(memory) if len(memory) == len(alive) else None,
            io_read=io_read if io_known else None,
            io_write=io_write if io_known else None,
        )
        self._parents = parents
        self._known = samples.keys()
        return tree

    def _members(self, table: ProcessTable) -> dict[psutil.Process, psutil.Process | None]:
        """Return the tree's processes with their parents in it, parents first."""
        running = {p.pid: p for p in self._parents if table.processes.get(p.pid) == p}
        tops = [process for pid, process in running.items() if table.parents[pid] not in running]
        members: dict[psutil.Process, psutil.Process | None] = {}
        found: list[tuple[psutil.Process, psutil.Process | None]] = [(top, None) for top in tops]
        while found:
            process, parent = found.pop()
            if process not in members:
                members[process] = parent
                found.extend((child, process) for child in table.children.get(process.pid, ()))
        return members

    def _read_all(self, processes: Collection[psutil.Process]) -> dict[psutil.Process, ProcessSample]:
        """Sample processes, given parents first.

        Of one that ended since the table was read nobody knows whether its parent's figures include it already. So all
        are read anew: then they do, if it was waited for at all.
        """
        gone: set[psutil.Process] = set()
        while True:
            found = {process: read_process(process) for process in processes if process not in gone}
            ended = {process for process, sample in found.items() if sample is None}
            if ended.isdisjoint(self._known):
                return {process: sample for process, sample in found.items() if sample is not None}
            gone |= ended
