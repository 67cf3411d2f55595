"""A counter of a whole process tree that never falls, whatever becomes of its processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

import attrs

ProcessT = TypeVar("ProcessT", bound=Hashable)


@attrs.frozen
class Tally:
    """What a process has used up: in all, and the part of it that grows when it waits for an ended child."""

    total: int
    absorbed: int


@attrs.frozen
class _Counted:
    """What was last read of a process, and how much of that is not counted."""

    tally: Tally = Tally(0, 0)
    uncounted: int = 0

    @property
    def counted(self) -> int:
        return self.tally.total - self.uncounted


class TreeCounter(Generic[ProcessT]):
    """The sum over a tree's processes, where a process that waits for an ended child adds the child's tally to its own.

    An ended process that its nearest existing ancestor did not absorb (nobody waited, or a process outside of the tree
    did) would take its share with it: that share is kept. An ancestor must be read before its descendants: a child that
    is waited for in between is then counted when it is missed, and not twice.
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
        """Count what the processes have used up until now, and return the tree's total since the beginning.

        Args:
            tallies: those of all processes of the tree that exist; None, where it cannot be read, stands for the last.
            heir: returns the nearest ancestor among them of a process that is gone, or None.
            unread: processes without which the total of the last round was told. What they used in the meantime is not
                counted, since nobody knows how much of it belongs to this round.
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
                # Beyond what was counted of them, an ancestor absorbs what was not, and then what they used since.
                kept = max(kept, -sum(before[process].uncounted for process in processes))
            self._kept += kept
        self._processes = now
        return self._kept + sum(process.counted for process in now.values())
