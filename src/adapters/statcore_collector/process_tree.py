"""Samples of a process tree: which processes belong to it, and what they use."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import attrs
import psutil

from statcore_collector.readable import Unreadable
from statcore_collector.tree_counter import Tally, TreeCounter

_ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@attrs.frozen(kw_only=True)
class ProcessTable:
    """The processes of this machine at one time, by pid, and the children of each; `unreadable` are all other pids."""

    processes: Mapping[int, psutil.Process]
    parents: Mapping[int, int]
    children: Mapping[int, Sequence[psutil.Process]]
    unreadable: frozenset[int] = frozenset()


def read_process_table(unreadable: Unreadable) -> ProcessTable:
    """Read all processes once, for every tree that is sampled in this round.

    A process that cannot be read is left out; as there may be thousands, one item stands for all with the same error.

    Raises:
        OSError: /proc itself cannot be listed.
    """
    processes: dict[int, psutil.Process] = {}
    parents: dict[int, int] = {}
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    left_out: defaultdict[str, list[int]] = defaultdict(list)
    for pid in psutil.pids():
        attempt = Unreadable()
        try:
            found = attempt.read("process", find_process, pid)
        except psutil.NoSuchProcess:
            continue
        if found is None:
            left_out[attempt.reasons["process"].partition(":")[0]].append(pid)
            continue
        processes[pid], parents[pid] = found
        children[parents[pid]].append(processes[pid])
    for error, pids in left_out.items():
        unreadable.reasons[f"processes ({error})"] = f"{len(pids)} in all, such as pid {pids[0]}"
    return ProcessTable(
        processes=processes,
        parents=parents,
        children=children,
        unreadable=frozenset(pid for pids in left_out.values() for pid in pids),
    )


def find_process(pid: int) -> tuple[psutil.Process, int]:
    """Return the process with this pid, and the pid of its parent.

    Reading the parent is the proof: psutil gives an object for a process that it may not read, and that equals no other.

    Raises:
        psutil.NoSuchProcess: there is none.
        Exception: it cannot be read; psutil does not document what it raises then.
    """
    process = psutil.Process(pid)
    return process, process.ppid()


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


def read_process(process: psutil.Process, unreadable: Unreadable) -> ProcessSample | None:
    """Sample a process.

    Returns:
        None when it cannot be read at all.

    Raises:
        psutil.NoSuchProcess: it is gone.
    """
    with process.oneshot():
        found = unreadable.read(f"process {process.pid}", _times_and_status, process)
        if found is None:
            return None
        times, status = found
        alive = status not in _ENDED
        io = unreadable.read("io_read and io_write", process.io_counters)
        memory = unreadable.read("mem", _memory, process) if alive else None
    return ProcessSample(
        alive=alive,
        cpu_ms=round((times.user + times.system) * 1000),
        waited_cpu_ms=round((times.children_user + times.children_system) * 1000),
        memory=memory,
        io=None if io is None else (io.read_bytes, io.write_bytes),
    )


def _times_and_status(process: psutil.Process) -> tuple[Any, str]:
    return process.cpu_times(), process.status()


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
    """What the processes of a tree that can be read use.

    Counters are cumulative; None is what cannot be read of one of the processes, or, where there are none, of all.
    """

    time_s: float
    processes: Mapping[psutil.Process, ProcessSample]
    cpu_ms: int | None
    memory: int | None
    io_read: int | None
    io_write: int | None


class ProcessTree:
    """A process and all its descendants.

    Once seen, a descendant stays counted when its parent ends and it is handed to another. Processes are told apart by
    pid and time of creation, so that a pid that is used again is not mistaken. One that cannot be read for a while stays
    in the tree: that it has ended is known only when its pid is gone.
    """

    def __init__(self, root: psutil.Process) -> None:
        """Follow the tree below `root`."""
        self._parents: dict[psutil.Process, psutil.Process | None] = {root: None}
        self._known: Collection[psutil.Process] = ()
        self._unread: Collection[int] = ()
        self._cpu = TreeCounter[psutil.Process]()
        self._read = TreeCounter[psutil.Process]()
        self._written = TreeCounter[psutil.Process]()

    def sample(self, table: ProcessTable, unreadable: Unreadable) -> TreeSample | None:
        """Return what the tree uses now, or None when the last of its processes has ended."""
        parents = self._members(table)
        time_s = time.monotonic()
        found = self._read_all(parents, table, unreadable)
        alive = {process: sample for process, sample in found.items() if sample is not None and sample.alive}
        if not alive and None not in found.values():
            return None
        memory = [sample.memory for sample in alive.values() if sample.memory is not None]
        io_known = all(sample.io is not None for sample in alive.values())
        unread = {process for process in (*self._parents, *parents) if process.pid in self._unread}

        def heir(process: psutil.Process) -> psutil.Process | None:
            ancestor = self._parents[process]
            while ancestor is not None and ancestor not in found:
                ancestor = self._parents[ancestor]
            return ancestor

        cpu_ms = self._cpu.update(
            {p: Tally(s.cpu_ms + s.waited_cpu_ms, s.waited_cpu_ms) if s else None for p, s in found.items()}, heir, unread
        )
        # What a process read and wrote is not told apart from what its children did.
        io_read, io_write = (
            counter.update({p: Tally(s.io[way], s.io[way]) if s and s.io else None for p, s in found.items()}, heir, unread)
            for way, counter in enumerate((self._read, self._written))
        )
        self._parents = parents
        self._known = found.keys()
        self._unread = table.unreadable | {process.pid for process, sample in found.items() if sample is None}
        return TreeSample(
            time_s=time_s,
            processes=alive,
            cpu_ms=cpu_ms if alive else None,
            memory=sum(memory) if alive and len(memory) == len(alive) else None,
            io_read=io_read if alive and io_known else None,
            io_write=io_write if alive and io_known else None,
        )

    def _members(self, table: ProcessTable) -> dict[psutil.Process, psutil.Process | None]:
        """Return the tree's processes with their parents in it, parents first."""
        running = {p.pid: p for p in self._parents if table.processes.get(p.pid) == p or p.pid in table.unreadable}
        tops = [
            (process, self._parents[process] if pid in table.unreadable else None)
            for pid, process in running.items()
            if pid in table.unreadable or table.parents[pid] not in running
        ]
        members: dict[psutil.Process, psutil.Process | None] = {}
        found: list[tuple[psutil.Process, psutil.Process | None]] = tops
        while found:
            process, parent = found.pop()
            if process not in members:
                members[process] = parent
                found.extend((child, process) for child in table.children.get(process.pid, ()))
        return members

    def _read_all(
        self, processes: Collection[psutil.Process], table: ProcessTable, unreadable: Unreadable
    ) -> dict[psutil.Process, ProcessSample | None]:
        """Sample processes, given parents first; None is one that cannot be read, and one that is gone is left out.

        Of one that ended since the table was read nobody knows whether its parent's figures include it already. So all
        are read anew: then they do, if it was waited for at all.
        """
        gone: set[psutil.Process] = set()
        while True:
            found: dict[psutil.Process, ProcessSample | None] = {}
            ended: set[psutil.Process] = set()
            for process in processes:
                if process.pid in table.unreadable:
                    unreadable.reasons[f"process {process.pid}"] = "cannot be read"
                    found[process] = None
                elif process not in gone:
                    try:
                        found[process] = read_process(process, unreadable)
                    except psutil.NoSuchProcess:
                        ended.add(process)
            if ended.isdisjoint(self._known):
                return found
            gone |= ended
