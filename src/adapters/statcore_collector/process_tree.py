"""Process trees: the processes of a tree, what each process uses, and the sums over the tree."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
import psutil

from statcore_collector.failures import Unreadable

ProcessT = TypeVar("ProcessT", bound=Hashable)


_ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@attrs.frozen
class Tally:
    """What a process has used.

    Args:
        total: all use, including that of the ended children that it waited for.
        absorbed: the part of the total that grows when the process waits for an ended child.
    """

    total: int
    absorbed: int


@attrs.frozen
class _Counted:
    """The last tally of a process, and the part of it that is not counted in the tree's total."""

    tally: Tally = Tally(0, 0)
    uncounted: int = 0

    @property
    def counted(self) -> int:
        return self.tally.total - self.uncounted


class TreeCounter(Generic[ProcessT]):
    """The sum over the processes of a tree; it never falls, whatever happens to the processes.

    When a process waits for an ended child, the system adds the child's tally to its own. When nobody waits, or a process
    outside the tree does, the child's tally would disappear; the counter keeps it. Read ancestors before descendants: then
    a child that is waited for during the reading is missing in this round, and not counted twice.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._processes: dict[ProcessT, _Counted] = {}
        self._kept = 0

    def update(
        self,
        tallies: Mapping[ProcessT, Tally | None],
        heir: Callable[[ProcessT], ProcessT | None],
        unread: Collection[ProcessT] = (),
    ) -> int:
        """Add a round, and return the total of the tree since the beginning.

        Args:
            tallies: the tally of every existing process of the tree, or None when it cannot be read: then the last one
                counts.
            heir: returns the nearest ancestor in `tallies` of a process that has disappeared, or None without one.
            unread: processes that could not be read in the last round. What they used since then is not counted, because
                it is unknown how much of it belongs to this round.
        """
        before, now = self._processes, dict[ProcessT, _Counted]()
        for process, tally in tallies.items():
            last = before.get(process, _Counted())
            if tally is None:
                now[process] = last
            else:
                uncounted = tally.total - last.counted if process in unread else last.uncounted
                now[process] = _Counted(tally, uncounted)
        ended: defaultdict[ProcessT | None, list[ProcessT]] = defaultdict(list)
        for process in before.keys() - now.keys():
            ended[heir(process)].append(process)
        for ancestor, processes in ended.items():
            absorbed = 0
            if ancestor is not None and ancestor not in unread:
                absorbed = now[ancestor].tally.absorbed - before.get(ancestor, _Counted()).tally.absorbed
            kept = sum(before[process].counted for process in processes) - absorbed
            if not any(process in unread for process in processes):
                # An ancestor absorbs more than was counted: also the uncounted part, and what they used since.
                kept = max(kept, -sum(before[process].uncounted for process in processes))
            self._kept += kept
        self._processes = now
        return self._kept + sum(process.counted for process in now.values())


@attrs.frozen(kw_only=True)
class ProcessTable:
    """The processes of this machine at one time.

    Args:
        processes: the processes that can be read, by pid.
        parents: the pid of the parent of each, by pid.
        children: the children of each, by pid.
        unreadable: the pids of the processes that cannot be read.
    """

    processes: Mapping[int, psutil.Process]
    parents: Mapping[int, int]
    children: Mapping[int, Sequence[psutil.Process]]
    unreadable: frozenset[int] = frozenset()


def read_process_table(unreadable: Unreadable) -> ProcessTable:
    """Read all processes once, for all trees of a round.

    Processes that cannot be read become items of `unreadable`: one item per kind of error, as there may be thousands.

    Raises:
        OSError: /proc cannot be listed.
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

    Reading the parent proves that the process can be read. Without that, psutil may return an object for a process that it
    cannot read, which equals no other object.

    Raises:
        psutil.NoSuchProcess: no process has this pid.
        Exception: the process cannot be read; psutil does not document what it raises.
    """
    process = psutil.Process(pid)
    return process, process.ppid()


@attrs.frozen(kw_only=True)
class ProcessSample:
    """What one process uses.

    Args:
        alive: whether it runs; a process that has ended does not run, even if nobody has waited for it.
        cpu_ms: its own CPU time in milliseconds.
        waited_cpu_ms: the CPU time in milliseconds of the ended descendants that were waited for.
        memory: its memory in bytes, or None if it cannot be read.
        io: the bytes read and written, also by ended children that it waited for, or None if they cannot be read.
    """

    alive: bool
    cpu_ms: int
    waited_cpu_ms: int
    memory: int | None
    io: tuple[int, int] | None


def read_process(process: psutil.Process, unreadable: Unreadable) -> ProcessSample | None:
    """Sample a process; `unreadable` receives the items that cannot be read.

    Returns:
        The sample, or None when nothing of the process can be read.

    Raises:
        psutil.NoSuchProcess: the process has ended.
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
    """Return the proportional set size in bytes: its sum over a tree counts a page that processes share only once.

    Reading it needs the right to trace the process. Without that right, return the resident set size, which is never less.
    """
    try:
        return process.memory_full_info().pss
    except psutil.AccessDenied:
        return process.memory_info().rss


@attrs.frozen(kw_only=True)
class TreeSample:
    """What the readable processes of a tree use.

    A counter is cumulative. A sum is None when the value of one process is unreadable, or when no process is readable.

    Args:
        time_s: the monotonic time of the sample, in seconds.
        processes: the sample of each running, readable process.
        cpu_ms: CPU time in milliseconds, a counter.
        memory: the sum of their memory, in bytes.
        io_read: bytes read, a counter.
        io_write: bytes written, a counter.
    """

    time_s: float
    processes: Mapping[psutil.Process, ProcessSample]
    cpu_ms: int | None
    memory: int | None
    io_read: int | None
    io_write: int | None


class ProcessTree:
    """A process and all its descendants.

    A descendant that was seen once stays in the tree when its parent ends and it gets another parent. A process is
    identified by pid and time of creation, because pids are used again. A process that cannot be read stays in the tree
    until its pid disappears.
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
        """Return what the tree uses now, or None when its last process has ended.

        Args:
            table: the processes of this machine.
            unreadable: receives the items that cannot be read.
        """
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
        # The system reports the I/O of a process and of its ended children as one number.
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
        """Return the sample of each process, or None when it cannot be read; a process that has ended is left out.

        When a known process ends during the reading, its parent's sample may or may not include it already. Then all
        processes are read again, and the parent's sample includes it if the parent waited for it.
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
