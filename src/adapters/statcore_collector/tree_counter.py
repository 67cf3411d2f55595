"""A counter of a whole process tree that never falls, whatever becomes of its processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

import attrs

ProcessT = TypeVar("ProcessT", bound=Hashable)


@attrs.frozen
class Tally:
    """What a process has used up: in all, and the part of it that grows when it waits for an ended child."""

    total: int
    absorbed: int


_NOTHING: Final = Tally(0, 0)


class TreeCounter(Generic[ProcessT]):
    """The sum over a tree's processes, where a process that waits for an ended child adds the child's tally to its own.

    An ended process that its nearest existing ancestor did not absorb (nobody waited, or a process outside of the tree
    did) would take its share with it: that share is kept. An ancestor must be read before its descendants: a child that
    is waited for in between is then counted when it is missed, and not twice.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._tallies: dict[ProcessT, Tally] = {}
        self._kept = 0

    def update(self, tallies: Mapping[ProcessT, Tally | None], heir: Callable[[ProcessT], ProcessT | None]) -> int:
        """Count what the processes have used up until now, and return the tree's total since the beginning.

        Args:
            tallies: those of all processes of the tree that exist; None, where it cannot be read, stands for the last.
            heir: returns the nearest ancestor among them of a process that is gone, or None.
        """
        before = self._tallies
        now = {process: tally or before.get(process, _NOTHING) for process, tally in tallies.items()}
        missed: Counter[ProcessT | None] = Counter()
        for process, tally in before.items():
            if process not in now:
                missed[heir(process)] += tally.total
        for ancestor, total in missed.items():
            absorbed = 0 if ancestor is None else now[ancestor].absorbed - before.get(ancestor, _NOTHING).absorbed
            self._kept += max(0, total - absorbed)
        self._tallies = now
        return self._kept + sum(tally.total for tally in now.values())
