"""The counter of a process tree against simulated processes: it never falls, and counts no more than was used."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from statcore import MetricValue
from statcore_collector.metric import sum_kernels
from statcore_collector.process_tree import Tally, TreeCounter
from statcore_collector.tcp_traffic import SocketTable, TcpSocket, TreeTraffic


@attrs.define(eq=False)
class Simulated:
    """A process: what it used, what it absorbed from children, and whether it waits for children at all."""

    parent: Simulated | None
    waits: bool = True
    used: int = 0
    absorbed: int = 0
    exists: bool = True
    readable: bool = True


class Processes(RuleBasedStateMachine):
    """Processes of a tree start, work and end; any number of these steps lies between two rounds."""

    processes = Bundle("processes")

    def __init__(self) -> None:
        """Start without processes."""
        super().__init__()
        self.counter = TreeCounter[Simulated]()
        self.used = 0
        self.used_before = 0
        self.unread: set[Simulated] = set()
        self.living: list[Simulated] = []
        self.parents: dict[Simulated, Simulated | None] = {}
        self.total = 0

    @initialize(target=processes, waits=st.booleans())
    def start_root(self, waits: bool) -> Simulated:  # noqa: FBT001 - drawn by name
        """The root process starts."""
        root = Simulated(None, waits=waits)
        self.living.append(root)
        return root

    @rule(target=processes, parent=processes, waits=st.booleans())
    def start(self, parent: Simulated, waits: bool) -> Any:  # noqa: FBT001 - drawn by name
        """A process starts a child."""
        if not parent.exists:
            return multiple()
        child = Simulated(parent, waits=waits)
        self.living.append(child)
        return child

    @rule(process=processes, used=st.integers(1, 100))
    def work(self, process: Simulated, used: int) -> None:
        """A process uses some CPU time."""
        if process.exists:
            process.used += used
            self.used += used

    def may_end(self, process: Simulated) -> bool:
        """Return whether a process may end: every process except the last."""
        return process.exists and len(self.living) > 1

    def is_waited_for(self, process: Simulated) -> bool:
        """Return whether its parent exists and waits for children."""
        return process.parent is not None and process.parent.waits

    @rule(process=processes)
    def end(self, process: Simulated) -> None:
        """A process ends; its children get a parent outside the tree."""
        if not self.may_end(process):
            return
        process.exists = False
        self.living.remove(process)
        if process.parent is not None and self.is_waited_for(process):
            process.parent.absorbed += process.used + process.absorbed
        for child in self.living:
            if child.parent is process:
                child.parent = None

    @rule()
    def collect(self) -> None:
        """The total never falls, and grows by no more than was used since the last round."""

        def heir(process: Simulated) -> Simulated | None:
            ancestor = self.parents[process]
            while ancestor is not None and not ancestor.exists:
                ancestor = self.parents[ancestor]
            return ancestor

        tallies = {
            process: Tally(process.used + process.absorbed, process.absorbed) if process.readable else None
            for process in self.living
        }
        before, self.total = self.total, self.counter.update(tallies, heir, self.unread)
        assert before <= self.total <= before + self.used - self.used_before
        self.parents = {process: process.parent for process in self.living}
        self.unread = {process for process in self.living if not process.readable}
        self.used_before = self.used

    def teardown(self) -> None:
        """Count once more at the end."""
        if self.living:
            self.collect()


class HiddenProcesses(Processes):
    """A process may become unreadable, and readable again."""

    @rule(process=Processes.processes)
    def hide_or_show(self, process: Simulated) -> None:
        """The system begins or stops denying access to it."""
        process.readable = not process.readable


class OrderlyProcesses(Processes):
    """Every process waits for its children and ends after them, so the total is exact."""

    def may_end(self, process: Simulated) -> bool:
        """Return whether a process may end: not before its children."""
        return super().may_end(process) and not any(child.parent is process for child in self.living)

    def is_waited_for(self, process: Simulated) -> bool:
        """Return whether it has a parent, because every parent waits."""
        return process.parent is not None

    @rule()
    def collect(self) -> None:
        """The total is exactly what was used."""
        super().collect()
        assert self.used == self.total


TestProcesses = Processes.TestCase
TestHiddenProcesses = HiddenProcesses.TestCase
TestOrderlyProcesses = OrderlyProcesses.TestCase


@given(rounds=st.lists(st.dictionaries(st.integers(1, 6), st.integers(0, 50)), min_size=1), data=st.data())
def test_traffic_is_the_sum_over_all_sockets_ever_seen(rounds: list[dict[int, int]], data: st.DataObject) -> None:
    """Sockets appear, carry data, are missed by a dump and disappear; inodes are used again. Each socket counts once."""
    traffic = TreeTraffic()
    carried: dict[int, int] = {}
    seen: dict[int, int] = {}
    for growth in rounds:
        for cookie, received in growth.items():
            carried[cookie] = carried.get(cookie, 0) + received
        missed = data.draw(st.sets(st.sampled_from(sorted(growth)))) if growth else set()
        sockets = [
            TcpSocket(cookie=cookie, inode=cookie + 70, received=carried[cookie], sent=2 * carried[cookie])
            for cookie in growth
            if cookie not in missed
        ]
        table = SocketTable(namespace=1, by_inode={tcp.inode: tcp for tcp in sockets}, orphans={})
        seen |= {tcp.cookie: tcp.received for tcp in sockets}
        received, sent = traffic.update(table, {cookie + 70 for cookie in carried})
        assert (sum(seen.values()), 2 * sum(seen.values())) == (received, sent)


@given(
    kernels=st.lists(
        st.dictionaries(st.sampled_from(["mem", "io_read", "cpu_used"]), st.integers(0, 10**12)), min_size=1, max_size=5
    )
)
def test_a_session_sums_what_all_its_kernels_have(kernels: list[dict[str, int]]) -> None:
    """Current values are summed exactly; a metric exists if and only if every kernel has it."""
    values = [{metric: MetricValue(current=str(number)) for metric, number in kernel.items()} for kernel in kernels]
    expected = {metric: sum(kernel[metric] for kernel in kernels) for metric in set.intersection(*map(set, kernels))}
    assert expected == {metric: int(value.current) for metric, value in sum_kernels(values).items()}
