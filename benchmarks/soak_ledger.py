"""What was written under each key of a store, and so what an answer may say; what a sample of a series may say.

A stored number holds which object it belongs to and how new it is, so that an answer of another object, or an old one, is
recognized by itself.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import attrs

OBJECTS: Final = 10_000
"""More than there are objects."""
LAG_S: Final = 2.0
"""How long before a fail-over a confirmed write may be lost; a replica needs milliseconds, and a processor."""
_SAMPLES_FROM_MS: Final = 1_790_000_000_000
"""Samples count time from here on, so that they have at most 15 digits; VictoriaMetrics 1.79 rounds some values of 16."""
_MARK_S: Final = 0.25
_WINDOWS: Final = 8
"""How many losses are remembered; a call lasts no longer than so many."""


def stamp(number: int, place: int) -> int:
    """Return what is stored for the object at a place in the write with a number."""
    return number * OBJECTS + place


@attrs.frozen
class View:
    """What was known when a call began: the time, and the oldest number that each object may have."""

    began_s: float
    floors: array[int]


@attrs.frozen
class Write:
    """A write: its number, and when it began."""

    number: int
    began_s: float


@attrs.define
class Ledger:
    """The writes to a store of objects 0 to `count` - 1.

    A write is confirmed when the call that made it has returned. From then on no older number may be answered, except where
    a fail-over has lost the write. Between `begin_loss` and `end_loss` writes may be lost. Those that begin or end in this
    time do not count, and neither do those of the last `LAG_S` seconds before it. A primary that was stopped confirms what
    it gets until it learns that another has taken over.
    """

    count: int
    clock: Callable[[], float] = time.monotonic
    _newest: array[int] = attrs.field(init=False)
    """The number of the last write that was begun, by object; 0 before the first."""
    _floors: array[int] = attrs.field(init=False)
    _number: int = attrs.field(default=0, init=False)
    _is_losing: bool = attrs.field(default=False, init=False)
    _marks: deque[tuple[float, array[int]]] = attrs.field(factory=deque[tuple[float, "array[int]"]], init=False)
    _losses: deque[tuple[float, array[int]]] = attrs.field(
        factory=lambda: deque[tuple[float, "array[int]"]](maxlen=_WINDOWS), init=False
    )
    """When each loss ended, and the floors that it left."""

    def __attrs_post_init__(self) -> None:
        """Begin without a write."""
        self._newest = array("q", bytes(8 * self.count))
        self._floors = array("q", bytes(8 * self.count))
        self._marks.append((self.clock(), self._floors[:]))

    def begin_write(self, places: Iterable[int]) -> Write:
        """Return a new write of these objects."""
        self._number += 1
        for place in places:
            self._newest[place] = self._number
        return Write(self._number, self.clock())

    def confirm(self, places: Iterable[int], write: Write) -> None:
        """Note that a write has succeeded."""
        if self._may_lose(write.began_s):
            return
        for place in places:
            self._floors[place] = max(write.number, self._floors[place])
        now_s = self.clock()
        if now_s - self._marks[-1][0] >= _MARK_S:
            self._marks.append((now_s, self._floors[:]))
            while self._marks[1][0] <= now_s - LAG_S:
                self._marks.popleft()

    def begin_loss(self) -> None:
        """Note that the store may lose confirmed writes from now on."""
        settled_s = self.clock() - LAG_S
        settled = [floors for marked_s, floors in self._marks if marked_s <= settled_s]
        self._floors = settled[-1][:] if settled else array("q", [min(1, floor) for floor in self._floors])
        self._is_losing = True

    def end_loss(self) -> None:
        """Note that the store keeps what it confirms, if it may have lost writes."""
        if not self._is_losing:
            return
        now_s = self.clock()
        self._is_losing = False
        self._losses.append((now_s, self._floors[:]))
        self._marks.clear()
        self._marks.append((now_s, self._floors[:]))

    def _may_lose(self, began_s: float) -> bool:
        """Return whether a loss lasts, or has ended after a call began."""
        return self._is_losing or bool(self._losses and self._losses[-1][0] >= began_s)

    def view(self, *, is_behind: bool = False) -> View:
        """Return what a call that begins now must know; a replica may be behind, and answer any older number."""
        return View(self.clock(), array("q", bytes(8 * self.count)) if is_behind else self._floors[:])

    def fault(self, place: int, value: int, view: View) -> str | None:
        """Return what is wrong with the value that a call answers for an object, or None."""
        number, of = divmod(value, OBJECTS)
        if of != place:
            return f"the value of object {of} for object {place}"
        if number > self._newest[place]:
            return f"number {number} for object {place}, which was never written"
        floor = view.floors[place]
        if self._is_losing:
            floor = min(floor, self._floors[place])
        for ended_s, floors in self._losses:
            if ended_s >= view.began_s:
                floor = min(floor, floors[place])
        if number < floor:
            return f"number {number} for object {place}, which was {floor} before the call"
        if not self._may_lose(view.began_s):
            self._floors[place] = max(number, self._floors[place])  # who has seen it must not see an older one later
        return None


def sample(place: int, time_ms: int) -> int:
    """Return the value of an object's series at a time; every engine holds it exactly."""
    return (time_ms - _SAMPLES_FROM_MS) * OBJECTS // 10 + place


def sample_fault(place: int, value: float, *, at_s: float, age_s: float) -> str | None:
    """Return what is wrong with the value of an object's series, or None.

    Args:
        place: the object.
        value: the value.
        at_s: the instant of the answer, in unix seconds.
        age_s: how old the newest sample may be.
    """
    if not value.is_integer():
        return f"the value {value!r} for object {place}"
    since_ms, of = divmod(int(value), OBJECTS // 10)
    time_ms = since_ms + _SAMPLES_FROM_MS
    if of != place:
        return f"the value {value!r} of object {of} for object {place}"
    if not at_s - age_s <= time_ms / 1_000 <= at_s:
        return f"a sample of {time_ms / 1_000:.3f} for {at_s:.3f}"
    return None
