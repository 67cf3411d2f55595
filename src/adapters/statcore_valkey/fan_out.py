"""One call: its keys go to all their servers at the same time, and each key gets its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from operator import attrgetter
from random import choice, uniform
from typing import Any, Final, TypeVar

import attrs

from statcore.concurrency import Deadline, end_tasks, in_turns, retry
from statcore.errors import InputError, StatcoreError, UnavailableError
from statcore_valkey.commands import Work
from statcore_valkey.discovery import Discovery, most_telling
from statcore_valkey.error_mapping import RedirectError, is_failure
from statcore_valkey.node import AskingNode, Node, not_encodable, not_text
from statcore_valkey.slot_map import Address, Shard, SlotMap

GRACE_S: Final = 0.08
"""How much longer than all other servers a failing server is waited for at least."""
_SEARCH_S: Final = 0.5
"""How much longer than all other servers a search for the owners of keys is waited for at most."""
_FAILURES: Final = 3
"""How often keys fail until they are waited for no longer than those of a failing server."""
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_MAX_DOUBLINGS: Final = 10
_LOOK_S: Final = 0.05
"""How often a waiting call checks the time, and what other calls have learned of the servers."""
_SLOW_S: Final = 0.3
"""After how long an exchange is slow, and the search for the servers begins: a stopped server never answers."""
_MAX_REDIRECTS: Final = 5
"""How many redirects of a key are followed without a pause."""
_REST_S: Final = 5.0
"""How long after a failure a replica is read again."""
_RESERVE: Final = 0.1
"""The part of the deadline that remains for checking the answers, if one server does not answer before it."""
_OF_REPLICA: Final = 0.2
"""The part of the deadline that a replica may take before its keys are read from the primary."""
_KEYS_PER_TURN: Final = 1_000
"""Keys whose slots are computed between two turns of the event loop: about a millisecond of work."""
_PENDING: Final = object()

_Result = TypeVar("_Result")


@attrs.frozen
class Unsynced:
    """The outcome for a key that a new primary does not have, while it may not have received every key.

    Args:
        service: the address of the primary.
    """

    service: str


@attrs.define(kw_only=True, eq=False)
class _Part:
    """Keys of one server.

    Args:
        positions: the positions of the keys.
        deadline: the deadline of the call, with what this part waits for.
        address: the server, or None if the keys have no owner, or before it is chosen.
        slots: the map by which the server was chosen.
        owner: the primary of the keys by that map; a redirect may have named another server.
        is_replica: whether the server is a replica.
        is_ask: whether the server takes over the slot of the keys.
        attempts: how often the keys have failed.
        failure: the last error, or None.
        redirects: how often the keys have been redirected without a pause.
        started_s: since when it waits, on the clock of the event loop.
    """

    positions: Sequence[int]
    deadline: Deadline
    address: Address | None = None
    slots: SlotMap | None = None
    owner: Address | None = None
    is_replica: bool = False
    is_ask: bool = False
    attempts: int = 0
    failure: StatcoreError | None = None
    redirects: int = 0
    started_s: float = attrs.field(init=False, factory=lambda: asyncio.get_running_loop().time())


@attrs.define(kw_only=True, eq=False)
class FanOut:
    """One call of `Keyspace.fan_out`. A server is failing if its last exchanges failed.

    Args:
        keys, work, deadline, is_write: the arguments of the call.
        reads_replicas: whether keys are read from replicas where there are any.
        name: all servers for messages, without credentials.
        discovery: the slot map, which is known already.
        node: returns the node of an address; `is_replica` says whether it is read as a replica.
        failing: the failing servers, and when each failed, on the clock of the event loop; kept up to date.
    """

    keys: Sequence[str]
    work: Work
    deadline: Deadline
    is_write: bool
    reads_replicas: bool
    name: str
    discovery: Discovery
    node: Callable[..., Node]
    failing: dict[Address, float]
    _outcomes: list[Any] = attrs.field(init=False)
    _parts: dict[asyncio.Task[list[Any] | None], _Part] = attrs.field(
        factory=dict[asyncio.Task[list[Any] | None], _Part], init=False
    )
    """The parts by what they wait for: the answers of the server, or a pause or a search, which return None."""
    _is_answered: bool = attrs.field(default=False, init=False)
    """Whether any key has got its outcome."""
    _alone_s: float | None = attrs.field(default=None, init=False)
    """Since when only failing servers have been waited for, on the clock of the event loop."""
    _started_s: float = attrs.field(init=False, factory=lambda: asyncio.get_running_loop().time())
    _reserve_s: float = attrs.field(init=False)
    _replica_s: float = attrs.field(init=False)

    async def run(self) -> list[Any]:
        """Return the outcome for each key, as `Keyspace.fan_out` does."""
        self._outcomes = [_PENDING] * len(self.keys)
        self._reserve_s = _RESERVE * self.deadline.remaining_s()
        self._replica_s = _OF_REPLICA * self.deadline.remaining_s()
        every = range(len(self.keys))
        try:
            await self._start(_Part(positions=every, deadline=self.deadline))
            while self._parts:
                self._watch()
                patience_s = self._patience_s()
                search = self.discovery.pending
                waits = [*self._parts] if search is None else [*self._parts, search]
                done, _ = await asyncio.wait(waits, timeout=max(0, patience_s), return_when=asyncio.FIRST_COMPLETED)
                if patience_s <= 0 and not done:
                    break
                for task in [task for task in self._parts if task in done]:
                    await self._take(self._parts.pop(task), task)
                await self._regroup()
        finally:
            await end_tasks(self._parts)
        for part in self._parts.values():
            self._mark_failing(part.address)
            failure = part.failure or UnavailableError(f"gave up waiting for {part.deadline.waiting_for}")
            self._settle(part.positions, failure)
        return self._result()

    def _result(self) -> list[Any]:
        failures = [outcome for outcome in self._outcomes if is_failure(outcome)]
        if failures and (self.is_write or len(failures) == len(self._outcomes)):
            raise most_telling(failures)
        return self._outcomes

    async def _start(self, part: _Part) -> None:
        """Group the keys of a part by their owners, and start an exchange with each.

        The attempts of keys whose owner has changed count as one, since the new owner has not failed.
        """
        slots, keys = await self.discovery.current(), self.keys
        groups: dict[int, tuple[Shard | None, list[int]]] = {}
        if slots.only is not None:
            groups[0] = slots.only, [*part.positions]
        else:
            owner = slots.owner
            try:
                async for turn in in_turns(part.positions, size=_KEYS_PER_TURN):
                    for position in turn:
                        shard = owner(keys[position])
                        if id(shard) not in groups:
                            groups[id(shard)] = shard, []
                        groups[id(shard)][1].append(position)
            except UnicodeEncodeError as error:
                raise not_encodable(error) from None
            except AttributeError:
                raise not_text() from None
        for shard, positions in groups.values():
            address, is_replica = (None, False) if shard is None else self._server(shard, part)
            primary = None if shard is None else shard.primary
            attempts = part.attempts if part.owner in (None, primary) else min(part.attempts, 1)
            server: dict[str, Any] = {"address": address, "is_replica": is_replica, "slots": slots, "is_ask": False}
            self._send(attrs.evolve(part, positions=positions, owner=primary, attempts=attempts, **server))

    def _server(self, shard: Shard, part: _Part) -> tuple[Address, bool]:
        """Return the server of a shard for a part, and whether it is a replica."""
        if self.reads_replicas and not part.attempts and not part.redirects:
            rested_s = asyncio.get_running_loop().time() - _REST_S
            replicas = [replica for replica in shard.replicas if self.failing.get(replica, rested_s) <= rested_s]
            if replicas:
                replica = choice(replicas)  # noqa: S311 - no secret
                self.failing.pop(replica, None)
                return replica, True
        return shard.primary, False

    def _send(self, part: _Part) -> None:
        """Start the exchange of a part with its server."""
        part.deadline = self.deadline.of_part()
        if self._is_failing(part.address):
            self.discovery.search()
        self._begin(part, self._exchange(part))

    def _begin(self, part: _Part, wait: Coroutine[Any, Any, list[Any] | None]) -> None:
        self._parts[asyncio.create_task(wait)] = part

    async def _exchange(self, part: _Part) -> list[Any]:
        if part.address is None:
            raise UnavailableError(f"{self.name} cannot answer now: no server owns the slots of some keys")
        node = self.node(part.address, is_replica=part.is_replica)
        return await self.work(AskingNode(node) if part.is_ask else node, part.positions, deadline=part.deadline)

    async def _search(self) -> None:
        await self.discovery.refresh()  # if it fails, the keys are redirected again

    async def _take(self, part: _Part, task: asyncio.Task[list[Any] | None]) -> None:
        """Note what a part has waited for, and start what follows from it."""
        try:
            answers = task.result()
        except InputError:
            raise
        except StatcoreError as error:
            if error.retryable:
                self._retry(part, part.positions, error)
            else:
                self._settle(part.positions, error)
            return
        if answers is None:
            await self._start(part)
        else:
            if part.address is not None:
                self.failing.pop(part.address, None)
            await self._note(part, answers)

    async def _note(self, part: _Part, answers: list[Any]) -> None:
        """Note the answers of a server: an outcome, or what to do with the key next."""
        outcomes = self._outcomes
        failed: list[int] = []
        failure: StatcoreError | None = None
        missing: list[int] = []
        redirects: dict[tuple[Address, bool], list[int]] = {}
        pairs = list(zip(part.positions, answers, strict=True))
        async for turn in in_turns(pairs, size=_KEYS_PER_TURN):
            for position, answer in turn:
                if answer is None:
                    missing.append(position)
                elif not isinstance(answer, StatcoreError):
                    outcomes[position] = answer
                elif isinstance(answer, RedirectError):
                    redirects.setdefault((answer.address, answer.is_ask), []).append(position)
                elif answer.retryable:
                    failed.append(position)
                    failure = answer
                else:
                    outcomes[position] = answer
        unanswered = len(failed) + sum(map(len, redirects.values())) + (len(missing) if part.is_replica else 0)
        self._is_answered = self._is_answered or unanswered < len(answers)
        if missing:
            await self._note_missing(part, missing)
        if failure is not None:
            self._retry(part, failed, failure)
        for (address, is_ask), positions in redirects.items():
            await self._follow(part, positions, address, is_ask=is_ask)

    async def _note_missing(self, part: _Part, positions: Sequence[int]) -> None:
        """Note that a server does not have keys; a replica may not have them yet, and neither a new primary."""
        if part.is_replica:
            await self._start(attrs.evolve(part, positions=positions, redirects=part.redirects + 1))
            return
        sources = {part.address} if part.address else set[Address]()
        if part.redirects:  # the owner of the slot, by the map that is known, may not have had the keys either
            slots = await self.discovery.current()
            owners = (slots.owner(self.keys[position]) for position in positions)
            sources |= {shard.primary for shard in owners if shard is not None}
        unsynced = next(filter(self.discovery.is_unsynced, sources), None)
        self._settle(positions, None if unsynced is None else Unsynced(self.node(unsynced).service))

    def _retry(self, part: _Part, positions: Sequence[int], error: StatcoreError) -> None:
        """Search for the servers of keys that failed, and retry after a pause; a server that answers no key is failing.

        One failure of a primary may be that of an old connection. A new one may need the time of a search. Nothing is
        retried once the search is refused, since the keys stay at a server that fails.
        """
        if len(positions) == len(part.positions) and (part.attempts or part.is_replica):
            self._mark_failing(part.address)
        refusal = self.discovery.refusal if part.attempts else None  # of a search that ended after the keys had failed
        if refusal is not None:
            self._settle(positions, refusal)
            return
        self.discovery.search()
        self._pause(part, positions, error)

    def _pause(self, part: _Part, positions: Sequence[int], error: StatcoreError) -> None:
        """Give keys to their owners again after a pause, which doubles with every failure."""
        longest_s = min(_FIRST_PAUSE_S * 2 ** min(part.attempts, _MAX_DOUBLINGS), _LONGEST_PAUSE_S)
        pause_s = longest_s * uniform(0.5, 1.0)  # noqa: S311 - no secret
        changes: dict[str, Any] = {"attempts": part.attempts + 1, "failure": error, "redirects": 0, "is_ask": False}
        self._begin(attrs.evolve(part, positions=positions, **changes), asyncio.sleep(pause_s, None))

    async def _follow(self, part: _Part, positions: Sequence[int], address: Address, *, is_ask: bool) -> None:
        """Work with keys on the server that a redirect names."""
        if part.redirects >= _MAX_REDIRECTS:
            message = f"{self.name} cannot answer now: its servers redirect some keys to each other"
            self._pause(part, positions, UnavailableError(message))
            return
        if part.address and not address.host:
            address = Address(part.address.host, address.port)
        if part.is_replica and is_ask:  # the replica does not have the keys, but the primary may have them
            await self._start(attrs.evolve(part, positions=positions, redirects=part.redirects + 1))
            return
        redirected = attrs.evolve(part, positions=positions, redirects=part.redirects + 1, is_ask=is_ask, is_replica=False)
        primaries = [shard.primary for shard in (await self.discovery.current()).shards]
        if is_ask:
            self._send(attrs.evolve(redirected, address=address))
        elif address in primaries:  # some slots have moved
            self.discovery.search()
            self._send(attrs.evolve(redirected, address=address))
        else:  # perhaps a replica took over: the map tells whether its missing keys can be believed
            self._begin(redirected, self._search())

    async def _regroup(self) -> None:
        """Give keys to their owners again if the map has changed and their server is failing, slow, or not in the map.

        Keys of a replica that is failing, or takes too long, are given to the primary.
        """
        for task, part in [*self._parts.items()]:
            if part.is_replica and (self._is_failing(part.address) or self._age_s(part) > self._replica_s):
                self._mark_failing(part.address)
                part.redirects += 1
            elif not await self._has_new_owner(part):
                continue
            if not task.done():  # or else its answers are taken next
                await end_tasks([task])
                del self._parts[task]
                await self._start(part)

    async def _has_new_owner(self, part: _Part) -> bool:
        """Return whether any key of a part has another owner in a new map, if its server is failing, slow, or not in it."""
        slots = await self.discovery.current()
        if part.slots is slots or part.is_ask:
            return False
        if part.address in slots.addresses and not self._is_failing(part.address) and self._age_s(part) <= _SLOW_S:
            return False
        part.slots = slots
        async for turn in in_turns(part.positions, size=_KEYS_PER_TURN):
            for position in turn:
                shard = slots.owner(self.keys[position])
                if shard is None or not (
                    part.address == shard.primary or (part.is_replica and part.address in shard.replicas)
                ):
                    return True
        return False

    def _watch(self) -> None:
        """Search for the servers if an exchange is slow, and keep up to date what the error at the deadline says."""
        self.deadline.failure = None
        for part in self._parts.values():
            if self._age_s(part) > _SLOW_S:
                self.discovery.search()
            self.deadline.waiting_for = part.deadline.waiting_for
            self.deadline.failure = part.failure or self.deadline.failure

    def _patience_s(self) -> float:
        """Return how long to wait for the next answer, in seconds; zero or less to end with the outcomes so far."""
        if self.is_write or not self._is_answered:
            return _LOOK_S  # the deadline ends the call
        until_end_s = min(_LOOK_S, self.deadline.remaining_s() - self._reserve_s)
        if any(not self._is_failing(part.address) and part.attempts < _FAILURES for part in self._parts.values()):
            self._alone_s = None
            return until_end_s
        now_s = asyncio.get_running_loop().time()
        if self._alone_s is None:
            self._alone_s = now_s
        # A server that is not failing any more may need as long as all others.
        grace_s = max(GRACE_S, self._alone_s - self._started_s)
        if self.discovery.is_searching:  # it may find other owners of the keys
            grace_s = max(grace_s, _SEARCH_S)
        return min(until_end_s, self._alone_s + grace_s - now_s)

    def _age_s(self, part: _Part) -> float:
        return asyncio.get_running_loop().time() - part.started_s

    def _is_failing(self, address: Address | None) -> bool:
        """Return whether a server is failing; keys without an owner are treated like those of a failing server."""
        return address is None or address in self.failing

    def _mark_failing(self, address: Address | None) -> None:
        if address is not None:
            self.failing[address] = asyncio.get_running_loop().time()

    def _settle(self, positions: Iterable[int], outcome: object) -> None:
        for position in positions:
            self._outcomes[position] = outcome


def repeated(attempt: Callable[[], Awaitable[_Result]], deadline: Deadline) -> Awaitable[_Result]:
    """Return the result of the first attempt that succeeds, with the pauses of a fan-out between attempts.

    Raises:
        StatcoreError: the error of the last attempt.
    """
    return retry(
        attempt,
        deadline=deadline,
        is_retryable=attrgetter("retryable"),
        first_pause_s=_FIRST_PAUSE_S,
        longest_pause_s=_LONGEST_PAUSE_S,
    )
