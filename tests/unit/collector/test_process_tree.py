"""The processes of a tree, their samples, and the counters of the tree; tests/integration has real trees."""

from __future__ import annotations

import os
from collections import defaultdict
from subprocess import Popen
from typing import Any

import attrs
import psutil
import pytest
from tests.unit.collector.conftest import raising

from statcore_collector import process_tree
from statcore_collector.failures import Unreadable
from statcore_collector.process_tree import (
    ProcessSample,
    ProcessTable,
    ProcessTree,
    Tally,
    TreeCounter,
    TreeSample,
    read_process,
    read_process_table,
)


@attrs.frozen
class Planned:
    """A planned process, identified by its pid and time of creation."""

    pid: int
    created: float = 0.0


SAMPLE = ProcessSample(alive=True, cpu_ms=100, waited_cpu_ms=0, memory=1000, io=(10, 20))
UNREADABLE = attrs.evolve(SAMPLE)
"""Stands for a process that cannot be read at all."""


class Machine:
    """Planned processes by parent pid, and what each reading of them gives, the last for ever; by default `SAMPLE`.

    None is a process that is gone.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start with a root process, pid 10, and no other process."""
        self.tree = ProcessTree(ROOT)
        self.parents: dict[Planned, int] = {ROOT: 1}
        self.samples: dict[Planned, list[ProcessSample | None]] = {}
        self.read: list[Planned] = []
        self.unreadable: set[Planned] = set()
        monkeypatch.setattr(process_tree, "read_process", self._read)

    def _read(self, process: Planned, unreadable: Unreadable) -> ProcessSample | None:
        self.read.append(process)
        planned = self.samples.get(process, [SAMPLE])
        sample = planned.pop(0) if len(planned) > 1 else planned[0]
        if sample is None:
            raise psutil.NoSuchProcess(process.pid)
        if sample is UNREADABLE:
            unreadable.reasons[f"process {process.pid}"] = "planned"
            return None
        return sample

    def table(self) -> Any:
        """Return the table of processes now."""
        children = defaultdict(list)
        readable = {process: parent for process, parent in self.parents.items() if process not in self.unreadable}
        for process, parent in readable.items():
            children[parent].append(process)
        processes: Any = {process.pid: process for process in readable}
        parents = {process.pid: parent for process, parent in readable.items()}
        found: Any = children
        unreadable = frozenset(process.pid for process in self.unreadable)
        return ProcessTable(processes=processes, parents=parents, children=found, unreadable=unreadable)

    def sample(self) -> TreeSample:
        """Return the sample of the tree, which has not ended."""
        sample = self.tree.sample(self.table(), Unreadable())
        assert sample is not None
        return sample

    def has_ended(self) -> bool:
        """Return whether the tree has ended."""
        return self.tree.sample(self.table(), Unreadable()) is None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a root process."""
    return Machine(monkeypatch)


ROOT: Any = Planned(10)
CHILD = Planned(11)
GRANDCHILD = Planned(12)


def test_a_tree_is_a_process_with_all_descendants(machine: Machine) -> None:
    """Descendants of any depth count, other processes do not."""
    machine.parents |= {CHILD: 10, GRANDCHILD: 11, Planned(13): 1}
    sample = machine.sample()
    assert {ROOT, CHILD, GRANDCHILD} == set(sample.processes)
    assert (300, 3000, 30, 60) == (sample.cpu_ms, sample.memory, sample.io_read, sample.io_write)


def test_an_orphan_stays_in_its_tree(machine: Machine) -> None:
    """Its parent ended and it has another parent now; its children belong to the tree as well."""
    machine.parents |= {CHILD: 10, GRANDCHILD: 11}
    machine.sample()
    del machine.parents[CHILD]
    machine.parents |= {GRANDCHILD: 1, Planned(14): 12}
    assert {ROOT, GRANDCHILD, Planned(14)} == set(machine.sample().processes)


def test_a_root_that_ended_leaves_its_children(machine: Machine) -> None:
    """A kernel lives until its last process has ended."""
    machine.parents[CHILD] = 10
    machine.sample()
    machine.parents = {CHILD: 1}
    assert {CHILD} == set(machine.sample().processes)
    machine.parents = {}
    assert machine.has_ended()


def test_a_pid_that_is_used_again_is_another_process(machine: Machine) -> None:
    """A new root or a new child with an old pid does not belong to the tree."""
    machine.parents[CHILD] = 10
    machine.sample()
    machine.parents = {ROOT: 1, Planned(11, created=5.0): 1}
    assert {ROOT} == set(machine.sample().processes)
    machine.parents = {Planned(10, created=5.0): 1}
    assert machine.has_ended()


def test_a_zombie_is_counted_but_does_not_live(machine: Machine) -> None:
    """Its CPU time counts until it is waited for. It has no memory and no samples, and keeps no kernel alive."""
    machine.parents[CHILD] = 10
    machine.samples[CHILD] = [attrs.evolve(SAMPLE, alive=False, memory=None, io=None)]
    sample = machine.sample()
    assert (200, 1000, 10) == (sample.cpu_ms, sample.memory, sample.io_read)
    assert {ROOT} == set(sample.processes)
    machine.samples[ROOT] = [attrs.evolve(SAMPLE, alive=False, memory=None)]
    assert machine.has_ended()


@pytest.mark.parametrize("unreadable", [{"memory": None}, {"io": None}])
def test_a_sum_needs_the_values_of_all_processes(machine: Machine, unreadable: dict[str, Any]) -> None:
    """A sum with an unreadable value is absent; the other sums are there."""
    machine.parents[CHILD] = 10
    machine.samples[CHILD] = [attrs.evolve(SAMPLE, **unreadable)]
    sample = machine.sample()
    absent = {name for name in ("cpu_ms", "memory", "io_read", "io_write") if getattr(sample, name) is None}
    assert ({"memory"} if "memory" in unreadable else {"io_read", "io_write"}) == absent


@pytest.mark.parametrize(
    ("expected", "waited_ms"),
    [(230, [130]), (230, [0, 130]), (200, [0])],
    ids=["waited for before its parent was read", "waited for after that", "not waited for"],
)
def test_a_child_that_ends_while_the_tree_is_read_counts_once(
    machine: Machine, expected: int, waited_ms: list[int]
) -> None:
    """It disappears after the table was read; its parent has absorbed `waited_ms` in the first or the second reading."""
    machine.parents[CHILD] = 10
    machine.sample()
    machine.samples[CHILD] = [None]
    machine.samples[ROOT] = [attrs.evolve(SAMPLE, waited_cpu_ms=waited) for waited in waited_ms]
    sample = machine.sample()
    assert (expected, {ROOT}) == (sample.cpu_ms, set(sample.processes))
    del machine.parents[CHILD]
    assert expected == machine.sample().cpu_ms


def test_the_nearest_ancestor_absorbs_two_generations(machine: Machine) -> None:
    """Child and grandchild end while the tree is read, and the root absorbs both."""
    machine.parents |= {CHILD: 10, GRANDCHILD: 11}
    machine.sample()
    machine.samples = {CHILD: [None], GRANDCHILD: [None], ROOT: [attrs.evolve(SAMPLE, waited_cpu_ms=210)]}
    assert 310 == machine.sample().cpu_ms


def test_parents_are_read_before_their_children(machine: Machine) -> None:
    """Otherwise a child that is waited for during the reading would count twice."""
    machine.parents = {GRANDCHILD: 11, Planned(15): 12, CHILD: 10, Planned(14): 10, ROOT: 1}
    machine.sample()
    pids = [process.pid for process in machine.read]
    assert {10, 11, 12, 14, 15} == set(pids)
    assert all(parent == 1 or pids.index(parent) < pids.index(child.pid) for child, parent in machine.parents.items())


def test_a_new_child_that_ends_while_it_is_sampled_is_left_out(machine: Machine) -> None:
    """Nothing of it was counted, and its parent absorbs it."""
    machine.parents[CHILD] = 10
    machine.samples[CHILD] = [None]
    assert 100 == machine.sample().cpu_ms


def test_an_orphan_under_a_new_process_of_the_tree_is_sampled_once(machine: Machine) -> None:
    """A descendant that adopts orphans (a subreaper) may be newer than the orphan."""
    machine.parents |= {CHILD: 10, GRANDCHILD: 11}
    machine.sample()
    del machine.parents[CHILD]
    machine.parents |= {Planned(20): 10, GRANDCHILD: 20}
    assert 400 == machine.sample().cpu_ms


def test_parents_in_a_circle_end_the_walk(machine: Machine) -> None:
    """A pid that is used again while the table is read can make a process look like its own ancestor."""
    machine.parents = {ROOT: 11, CHILD: 10}
    assert 200 == machine.sample().cpu_ms


@pytest.mark.parametrize("in_table", [True, False], ids=["when processes are listed", "when it is sampled"])
def test_a_process_that_cannot_be_read_is_left_out(machine: Machine, in_table: bool) -> None:  # noqa: FBT001 - drawn by name
    """Its counts stay, its memory does not count, its children stay in the tree; it counts again when it is readable."""
    machine.parents |= {CHILD: 10, GRANDCHILD: 11}
    machine.sample()
    machine.unreadable = {CHILD} if in_table else set()
    machine.samples = {} if in_table else {CHILD: [UNREADABLE]}
    unreadable = Unreadable()
    sample = machine.tree.sample(machine.table(), unreadable)
    assert sample is not None
    assert {ROOT, GRANDCHILD} == set(sample.processes)
    assert (300, 2000, 30, 60) == (sample.cpu_ms, sample.memory, sample.io_read, sample.io_write)
    assert ["process 11"] == list(unreadable.reasons)
    machine.unreadable = set()
    machine.samples = {CHILD: [attrs.evolve(SAMPLE, cpu_ms=7000, io=(7000, 7000)), attrs.evolve(SAMPLE, cpu_ms=7001)]}
    back = machine.sample()
    assert (300, 3000, 30, 60) == (back.cpu_ms, back.memory, back.io_read, back.io_write)
    assert 301 == machine.sample().cpu_ms


def test_a_process_found_late_brings_no_history(machine: Machine) -> None:
    """It was unreadable in the last round, so what it used until now is not of this round."""
    machine.unreadable = {CHILD}
    machine.sample()
    machine.unreadable = set()
    machine.parents[CHILD] = 10
    machine.samples[CHILD] = [attrs.evolve(SAMPLE, cpu_ms=9000), attrs.evolve(SAMPLE, cpu_ms=9010)]
    assert [100, 110] == [machine.sample().cpu_ms for _ in range(2)]


def test_a_tree_that_cannot_be_read_at_all_has_no_figures(machine: Machine) -> None:
    """It has not ended, because its pids still exist."""
    machine.sample()
    machine.unreadable = {ROOT}
    sample = machine.sample()
    assert ({}, {None}) == (sample.processes, {sample.cpu_ms, sample.memory, sample.io_read, sample.io_write})
    machine.unreadable = set()
    machine.parents = {}
    assert machine.has_ended()


def test_a_live_process_is_read(sleeper: Popen[bytes]) -> None:
    """CPU time, memory and I/O of an own process are readable."""
    sample = read_process(psutil.Process(sleeper.pid), Unreadable())
    assert sample is not None
    assert sample.alive
    assert None not in {sample.memory, sample.io}


def test_resident_memory_replaces_denied_proportional_memory(
    sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of another user's process is never zero."""
    process = psutil.Process(sleeper.pid)
    monkeypatch.setattr(psutil.Process, "memory_full_info", raising(psutil.AccessDenied(process.pid)))
    sample = read_process(process, Unreadable())
    assert sample is not None
    assert process.memory_info().rss == sample.memory


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), PermissionError(), RuntimeError("file was empty")])
def test_denied_io_is_absent(sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It is not zero, and the rest of the sample is there."""
    monkeypatch.setattr(psutil.Process, "io_counters", raising(error))
    sample = read_process(psutil.Process(sleeper.pid), Unreadable())
    assert sample is not None
    assert None is sample.io
    assert sample.memory


def test_an_ended_process_is_gone(sleeper: Popen[bytes]) -> None:
    """Before it is waited for it is a zombie, and afterwards it does not exist."""
    process = psutil.Process(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # waits for its end, and leaves the zombie
    zombie = read_process(process, Unreadable())
    assert zombie is not None
    assert (False, None) == (zombie.alive, zombie.memory)
    sleeper.wait()
    with pytest.raises(psutil.NoSuchProcess):
        read_process(process, Unreadable())


def test_the_table_holds_real_processes(sleeper: Popen[bytes]) -> None:
    """Parent and child are linked, and a process equals psutil's object for its pid."""
    table = read_process_table(Unreadable())
    child = psutil.Process(sleeper.pid)
    assert child == table.processes[sleeper.pid]
    assert child in table.children[child.ppid()]
    assert child.ppid() == table.parents[sleeper.pid]


def test_a_process_that_ends_while_the_table_is_read_is_left_out(
    sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listed pid that does not exist any more is not an error."""
    sleeper.kill()
    sleeper.wait()
    monkeypatch.setattr(psutil, "pids", lambda: [sleeper.pid])
    assert {} == dict(read_process_table(Unreadable()).processes)


FIRST = {"root": Tally(100, 0), "child": Tally(50, 0)}
BRANCH = {"root": Tally(1, 0), "child": Tally(20, 0), "grandchild": Tally(300, 0)}


@pytest.mark.parametrize(
    ("heir", "rounds"),
    [
        pytest.param("root", [(150, FIRST), (165, {"root": Tally(165, 60)})], id="its parent waited for a child"),
        pytest.param("root", [(150, FIRST), (155, {"root": Tally(105, 0)})], id="nobody waited for a child"),
        pytest.param(
            None,
            [(150, FIRST), (150, {"root": Tally(100, 0)}), (157, {"root": Tally(107, 0)})],
            id="a process outside the tree waited for an orphan",
        ),
        pytest.param("root", [(321, BRANCH), (321, {"root": Tally(321, 320)})], id="a whole branch ends at once"),
        pytest.param(
            "root",
            [(150, FIRST), (151, {"root": Tally(101, 0), "child": None}), (161, {"root": Tally(161, 60)})],
            id="an unreadable process counts as it last did",
        ),
        pytest.param("root", [(100, {"root": Tally(100, 0), "child": None})], id="a process was never readable"),
    ],
)
def test_an_ended_process_counts_once(heir: str | None, rounds: list[tuple[int, dict[str, Tally | None]]]) -> None:
    """What its parent absorbed is not kept as well, and the counter does not fall when nobody absorbs it."""
    counter = TreeCounter[str]()
    assert [total for total, _ in rounds] == [counter.update(tallies, lambda _: heir) for _, tallies in rounds]
