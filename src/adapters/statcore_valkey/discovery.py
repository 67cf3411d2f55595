"""The current slot map of a keyspace: found again when it is wrong, by one task for all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context
from itertools import chain
from math import inf
from typing import Final, TypeAlias, TypeVar

import attrs

from statcore.concurrency import end_tasks
from statcore.errors import ClosedError, ProtocolError, StatcoreError, UnavailableError
from statcore_connection.error_boundary import describe_unforeseen
from statcore_valkey.node import Node, close_all
from statcore_valkey.slot_map import Address, SlotMap

Find: TypeAlias = Callable[["SlotMap | None"], Awaitable[SlotMap]]
"""Returns the slot map as servers tell it now, and raises a `StatcoreError` if none does; the argument is the last map."""

UNSYNCED_S: Final = 60.0
"""How long after a fail-over a missing key may be one that the new primary has not received; agents write again sooner."""
_BETWEEN_S: Final = 0.2
"""The shortest time between two searches."""
_OLD_S: Final = 10.0
"""How long after a search the map is taken as it is where redirects are not shown."""
_CONFIRM_S: Final = 0.3
"""How long a new connection waits to learn whether its server is still the primary; stopped sentinels never answer."""
_SETTLE_S: Final = 0.05
"""How long after the first answer other servers are waited for; a stopped server never answers."""
_LONG_S: Final = 0.3
"""How long servers are waited for until others are asked as well; a stopped server never answers."""
_MOST_GONE: Final = 1_000
"""How many replicas that have left the map are remembered; few clusters have more servers."""

_Found = TypeVar("_Found")


@attrs.define(kw_only=True, eq=False)
class Discovery:
    """Keeps the slot map up to date.

    Args:
        find: finds the map; None if the map never changes.
        map: the map, or None if it is not known yet.
        nodes: the servers that are used for the search only, such as sentinels; they are closed with it.
        ages: whether the map may become wrong without an answer that shows it, so that it is searched again after a while.
        on_change: called after each change of the map.
    """

    find: Find | None
    map: SlotMap | None = None
    nodes: Mapping[Address, Node] = attrs.field(factory=dict[Address, "Node"])
    ages: bool = False
    on_change: list[Callable[[SlotMap], Awaitable[None]]] = attrs.field(factory=list[Callable[[SlotMap], Awaitable[None]]])
    _search: asyncio.Task[StatcoreError | None] | None = attrs.field(default=None, init=False)
    _is_pausing: bool = attrs.field(default=False, init=False)
    """Whether the search waits for its turn after another that has just found the map."""
    _is_closed: bool = attrs.field(default=False, init=False)
    _started_s: float = attrs.field(default=float("-inf"), init=False)
    _following: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)
    """The tasks that call `on_change`; closing the connections to a stopped server may take longer than the next change."""
    _unsynced: dict[Address, float] = attrs.field(factory=dict[Address, float], init=False)
    """Until when a missing key says nothing, on the clock of the event loop, by the primary that took over."""
    _followed: dict[Address, Address] = attrs.field(factory=dict[Address, Address], init=False)
    """The primary of each server that was last known as a replica; a map leaves out replicas that are down or empty.

    Those that left first come first.
    """
    _moved: dict[tuple[Address, Address], float] = attrs.field(factory=dict[tuple[Address, Address], float], init=False)
    """The moves of slots that maps told a short time ago, and until when they are remembered, on the event loop's clock.

    A later map may tell that the giver had been replaced before the move. Until that map comes, missing keys of the taker
    are believed.
    """

    async def current(self) -> SlotMap:
        """Return the map, and find it first if it is not known.

        Raises:
            StatcoreError: no server tells the map; the most telling of their errors.
        """
        while self.map is None:
            if (error := await self.refresh()) is not None:
                raise error
        return self.map

    async def refresh(self) -> StatcoreError | None:
        """Wait until a search that runs or begins now has ended; return its error. A cancelled caller does not end it."""
        if self.find is None:
            return None
        search = self.search()
        if search is not None:
            await asyncio.wait([search])
        if search is None or search.cancelled():
            return ClosedError("the client of the Valkey servers is closed; make a new one")
        return search.result()

    def search(self) -> asyncio.Task[StatcoreError | None] | None:
        """Start to search for the map, unless a search runs already; None if the map never changes, or after closing."""
        if self.find is None or self._is_closed:
            return None
        last = self._search
        if last is None or last.done():
            self._is_pausing = last is not None and not last.cancelled() and last.result() is None
            # All callers wait for it, so it has its whole time, however little the first of them has.
            self._search = Context().run(asyncio.create_task, self._run(self.find))
        return self._search

    @property
    def pending(self) -> asyncio.Task[StatcoreError | None] | None:
        """The search that has not ended, or None."""
        return None if self._search is None or self._search.done() else self._search

    @property
    def is_searching(self) -> bool:
        """Whether a search runs, and does not just wait for its turn after another that has found the map."""
        return self.pending is not None and not self._is_pausing

    @property
    def refusal(self) -> UnavailableError | None:
        """Why the servers refused the last search, which another attempt would not change; None while a search runs."""
        search = self._search
        error = search.result() if search is not None and search.done() and not search.cancelled() else None
        return error if isinstance(error, UnavailableError) and not error.retryable else None

    def search_if_old(self) -> None:
        """Start to search if the map ages, and the last search was long ago."""
        if self.ages and asyncio.get_running_loop().time() > self._started_s + _OLD_S:
            self.search()

    async def confirms(self, primary: Address) -> bool:
        """Return whether a server is a primary by a search of this moment; True as well if it finds nothing in time."""
        is_due = asyncio.get_running_loop().time() > self._started_s + _BETWEEN_S
        if is_due:
            self.search()
        if self._search is not None and (is_due or not self._is_pausing):
            await asyncio.wait([self._search], timeout=_CONFIRM_S)
        return self.map is None or any(primary == shard.primary for shard in self.map.shards)

    async def _run(self, find: Find) -> StatcoreError | None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._started_s + _BETWEEN_S - clock()))
        self._started_s, self._is_pausing = clock(), False
        try:
            found = await find(self.map)
        except StatcoreError as error:
            return error
        except Exception as error:  # noqa: BLE001 - callers get errors of ours
            return ProtocolError(f"the search for the servers failed: {describe_unforeseen(error)}")
        if found != self.map:
            self._change(found)
        return None

    def _change(self, found: SlotMap) -> None:
        before, self.map = self.map, found
        if before is not None:
            self._remember(before)
            pairs = moves(before, found)
            for giver, taker in pairs:  # what a giver may lack, the taker may lack as well
                self._unsynced[taker] = max(map(self._unsynced_until_s, (giver, taker)))
            until_s = asyncio.get_running_loop().time() + UNSYNCED_S
            self._unsynced |= dict.fromkeys(fail_overs(before, found, self._followed, self._moved), until_s)
            self._moved |= dict.fromkeys(pairs, until_s)
        task = asyncio.create_task(self._follow(found))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    def _remember(self, before: SlotMap) -> None:
        """Learn the roles in the map before; forget what is long over, as new addresses may come without end."""
        gone = [(replica, primary) for replica, primary in self._followed.items() if replica not in before.addresses]
        self._followed = dict(gone[-_MOST_GONE:]) | before.followed
        now_s = asyncio.get_running_loop().time()
        self._unsynced = {primary: until_s for primary, until_s in self._unsynced.items() if until_s > now_s}
        self._moved = {pair: until_s for pair, until_s in self._moved.items() if until_s > now_s}

    async def _follow(self, found: SlotMap) -> None:
        for call in self.on_change:
            await call(found)

    def is_unsynced(self, primary: Address) -> bool:
        """Return whether a primary took over a short time ago, and may not have every key of the primary before."""
        return asyncio.get_running_loop().time() < self._unsynced_until_s(primary)

    def _unsynced_until_s(self, primary: Address) -> float:
        return self._unsynced.get(primary, float("-inf"))

    async def aclose(self) -> None:
        """End the search; no other begins."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        running = (self._search, *self._following)
        try:
            await end_tasks([task for task in running if task and not task.done() and task.get_loop() is loop])
        finally:
            await close_all([*self.nodes.values()])


def moves(before: SlotMap, after: SlotMap) -> set[tuple[Address, Address]]:
    """Return pairs of primaries: slots of the first now belong to the second."""
    pairs = {(id(giver), id(taker)): (giver, taker) for giver, taker in zip(before.owners, after.owners, strict=True)}
    owners = ((giver.primary, taker.primary) for giver, taker in pairs.values() if giver is not None and taker is not None)
    return {(giver, taker) for giver, taker in owners if giver != taker}


def fail_overs(
    before: SlotMap,
    after: SlotMap,
    followed: Mapping[Address, Address],
    moved: Collection[tuple[Address, Address]] = (),
) -> set[Address]:
    """Return the primaries that may lack keys, because replicas have become primaries.

    Slots that move between primaries take their keys along, unless a replica took the place of the first meanwhile. A
    map may tell such a move, and further moves, before it tells the fail-over, because nodes learn of them from different
    nodes. A primary whose replica took its place has lost that role; if it is a primary now, it has become one again.

    Args:
        before: the map before.
        after: the map now.
        followed: the primary of each replica, when it was last known to be one.
        moved: the pairs of `moves` that maps told a short time ago.
    """
    old, new = ({shard.primary for shard in slots.shards} for slots in (before, after))
    replaced = {followed[primary] for primary in new - old if primary in followed} & old
    again = replaced & new
    pairs = moves(before, after)
    replaced |= {giver for giver, taker in pairs if giver not in new and taker in (new - old) | again}
    pairs |= {*moved}
    lacking = {*replaced}
    while takers := {taker for giver, taker in pairs if giver in lacking} - lacking:
        lacking |= takers
    return again | (lacking - replaced)


async def first_answers(
    calls: Sequence[Awaitable[_Found]], /, *, later: Iterable[Sequence[Awaitable[_Found]]] = ()
) -> list[_Found]:
    """Return the results of calls that end a short time after the first of them succeeds; the others are cancelled.

    Args:
        calls: the calls that begin at once.
        later: groups of further calls. A group begins when all calls before it have failed, or when `_LONG_S` have passed
            without a success. No group begins once all have failed for good, such as by a refused user.

    Raises:
        StatcoreError: every call failed; a refused user is more telling than a server that cannot be reached.
    """
    tasks: list[asyncio.Future[_Found]] = []
    try:
        for group in chain([calls], later):
            tasks += map(asyncio.ensure_future, group)
            await _first_success(tasks, within_s=_LONG_S)
            if _is_decided(tasks):
                break
        else:
            await _first_success(tasks, within_s=inf)
        if pending := [task for task in tasks if not task.done()]:
            await asyncio.wait(pending, timeout=_SETTLE_S)
    finally:
        await end_tasks(tasks)
    results = [task.result() for task in tasks if not task.cancelled() and task.exception() is None]
    if not results:
        errors = [error for task in tasks if (error := task.exception()) is not None]
        unforeseen = [error for error in errors if not isinstance(error, StatcoreError)]
        if unforeseen:
            raise unforeseen[0]
        raise most_telling([error for error in errors if isinstance(error, StatcoreError)])
    return results


async def _first_success(tasks: Sequence[asyncio.Future[_Found]], /, *, within_s: float) -> None:
    """Wait until a task succeeds, or all have failed, or the time is over."""
    clock = asyncio.get_running_loop().time
    end_s = clock() + within_s
    while pending := [task for task in tasks if not task.done()]:
        if clock() >= end_s or any(task.done() and task.exception() is None for task in tasks):
            break
        timeout_s = None if end_s == inf else end_s - clock()
        await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _is_decided(tasks: Sequence[asyncio.Future[_Found]]) -> bool:
    """Return whether a task has succeeded, or all have failed in a way that no retry would change."""
    errors = [task.exception() for task in tasks if task.done()]
    may_change = any(isinstance(error, StatcoreError) and error.retryable for error in errors)
    return None in errors or (len(errors) == len(tasks) and not may_change)


def most_telling(errors: Sequence[StatcoreError]) -> StatcoreError:
    """Return the error that says most: one that no retry would change, or else the first."""
    return min(errors, key=lambda error: error.retryable)
