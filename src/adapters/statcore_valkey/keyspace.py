"""The keys of a store, wherever they are: keys are grouped by node, and each node's part has its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from random import choice, sample, uniform
from typing import Any, Final, Self, TypeAlias, TypeVar

import attrs

from statcore.concurrency import Deadline, end_tasks, in_turns, retry
from statcore.errors import InputError, StatcoreError, UnavailableError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.commands import Work
from statcore_valkey.discovery import Discovery, first_answers, most_telling
from statcore_valkey.error_mapping import RedirectError, is_failure, is_retryable
from statcore_valkey.node import AskingNode, Node, close_all, not_encodable, not_text
from statcore_valkey.slot_map import Address, Shard, SlotMap

NewNode: TypeAlias = Callable[[Address, bool], Node]
"""Makes the node of an address; the second argument says whether it is read as a replica."""

GRACE_S: Final = 0.08
"""How much longer than all other nodes a node is waited for at least whose last exchange failed."""
_FAILURES: Final = 3
"""How often keys fail until they are waited for no longer than those of such a node."""
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_MAX_DOUBLINGS: Final = 10
_LOOK_S: Final = 0.05
"""How often a call that waits looks whether the servers have changed."""
_SLOW_S: Final = 0.3
"""How long a node may take before the search for the servers begins: a stopped server never answers."""
_MAX_REDIRECTS: Final = 5
"""How many redirects of a key are followed without a pause."""
_REST_S: Final = 5.0
"""How long after a failure a replica is read again."""
_MOST_SEARCHED: Final = 6
"""How many servers are searched for the slot map at once."""
_RESERVE: Final = 0.1
"""The part of the deadline that remains for checking the answers, if one node does not answer before it."""
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


@attrs.frozen(kw_only=True, eq=False)
class Keyspace:
    """The keys of one logical database, on one server or many.

    Args:
        name: the servers for messages, without credentials.
        discovery: which servers own which keys.
        new_node: makes the node of a server when it is first used.
        lifetime: the lifetime of the store.
        reads_replicas: whether keys are read from replicas where there are any.
        start: the addresses of nodes of a cluster by which the others are found.
        any_server: a node of a cluster whose commands any server may answer, if the driver finds servers by itself.
        only_node: the node of all keys, if it never changes and is not part of a cluster.
        judge: returns the outcomes for answers of the `only_node` and its address for messages; None takes the answers.

    Attributes:
        sick: the servers whose last exchange failed, and when, on the clock of the event loop; also None, which stands for
            the owner of a slot without an owner.
    """

    name: str
    discovery: Discovery
    new_node: NewNode
    lifetime: Lifetime = attrs.field(factory=Lifetime)
    reads_replicas: bool = False
    start: Sequence[Address] = ()
    any_server: Node | None = None
    only_node: Node | None = None
    judge: Callable[[list[Any], str], list[Any]] | None = None
    _nodes: dict[tuple[Address, bool], Node] = attrs.field(factory=dict[tuple[Address, bool], Node], init=False)
    sick: dict[Address | None, float] = attrs.field(factory=lambda: {None: float("-inf")}, init=False)

    @classmethod
    def of_one(cls, node: Node, /, *, lifetime: Lifetime | None = None) -> Self:
        """Return a keyspace that is always on one node.

        Args:
            node: the node.
            lifetime: the lifetime of the store, or None for a new one.
        """
        address = Address(node.service, 0)
        discovery = Discovery(find=None, map=SlotMap.of_one(Shard(address)))

        def new_node(_: Address, is_replica: bool) -> Node:  # noqa: ARG001, FBT001 - `NewNode`
            return node

        return cls(
            name=node.service,
            discovery=discovery,
            new_node=new_node,
            lifetime=lifetime or Lifetime(),
            only_node=None if node.is_cluster else node,  # the errors among the answers of a cluster are handled key by key
        )

    @classmethod
    def of_cluster(
        cls,
        start: Sequence[Address],
        new_node: NewNode,
        /,
        *,
        timeout_s: float,
        lifetime: Lifetime | None = None,
        reads_replicas: bool = False,
        any_server: Node | None = None,
    ) -> Self:
        """Return a keyspace on a cluster, whose nodes tell the slot map.

        Args:
            start: the addresses of nodes by which the others are found.
            new_node: makes the node of a server when it is first used.
            timeout_s: how long a search for the slot map may take, in seconds.
            lifetime: the lifetime of the store, or None for a new one.
            reads_replicas: whether keys are read from replicas where there are any.
            any_server: a node whose commands any server may answer, if the driver finds servers by itself; `start` may then
                be empty. It is closed with the keyspace.
        """

        async def slots_of(node: Node, host: str) -> SlotMap:
            async with Deadline(timeout_s, waiting_for="the event loop") as deadline:
                (answer,) = await node.exchange([("CLUSTER", "SLOTS")], deadline=deadline)
            if isinstance(answer, StatcoreError):
                raise answer
            slots = SlotMap.parse(answer, host=host)
            if not slots.ranges:  # a node that has left the cluster, or has not joined it, answers sooner than the others
                raise UnavailableError(f"{node.service} cannot answer now: it knows no owner of any slot")
            return slots

        async def find(known: SlotMap | None) -> SlotMap:
            """Return the map that most nodes tell; a node that has just joined knows few slots."""
            everywhere = [*{*start, *(known.addresses if known else ())}]
            addresses = sample(everywhere, min(len(everywhere), _MOST_SEARCHED))
            searches = [slots_of(keyspace.node(address), address.host) for address in addresses]
            searches += [slots_of(any_server, "")] if any_server is not None else []
            maps = await first_answers(searches)
            return max(maps, key=lambda slots: (-slots.unowned, maps.count(slots)))

        keyspace = cls(
            name=any_server.service if any_server is not None else f"the Valkey cluster of {', '.join(map(str, start))}",
            discovery=Discovery(find=find),
            new_node=new_node,
            lifetime=lifetime or Lifetime(),
            reads_replicas=reads_replicas,
            start=start,
            any_server=any_server,
        )
        keyspace.discovery.on_change.append(keyspace.keep)
        return keyspace

    @property
    def service(self) -> str:
        """The addresses of the servers for messages, without credentials."""
        slots = self.discovery.map
        return self.name if slots is None or slots.only is None else self.node(slots.only.primary).service

    def node(self, address: Address, /, *, is_replica: bool = False) -> Node:
        """Return the node of a server."""
        key = address, is_replica
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self.new_node(address, is_replica)
        return node

    async def fan_out(
        self,
        keys: Sequence[str],
        work: Work,
        /,
        *,
        deadline: Deadline,
        is_write: bool = False,
    ) -> list[Any]:
        """Do work with keys, on all their nodes concurrently, and return the outcome for each key in order.

        A part that fails is repeated until the deadline, on the servers that own its keys by then. A node whose last
        exchange failed is not waited for much longer than for all others.

        Args:
            keys: the keys; the work knows each by its position.
            work: what to do.
            deadline: the deadline of the call, entered.
            is_write: whether the keys are written: by primaries only, and until all nodes have confirmed.

        Returns:
            For each key the answer of the work; `Unsynced` in place of a None that says nothing, or the `StatcoreError` of
            a key that cannot be read.

        Raises:
            StatcoreError: no key got an answer, or the keys are written and one of them got none.
        """
        if not keys:
            return []
        self.lifetime.check(self.name)
        if self.only_node is not None:  # an error of any key is an error of the call
            answers = await _repeated(partial(_work, self.only_node, keys, work, deadline), deadline)
            return answers if self.judge is None else self.judge(answers, self.only_node.service)
        call = _Call(keyspace=self, keys=keys, work=work, deadline=deadline, is_write=is_write)
        return await call.run()

    async def ping(self, *, deadline: Deadline) -> None:
        """Return when a primary answers.

        Raises:
            ClosedError: the store is closed, or belongs to another event loop.
            StatcoreError: no primary answers; the most telling of their errors.
        """
        self.lifetime.check(self.service)

        async def attempt() -> None:
            self.lifetime.check(self.service)
            try:
                slots = await self.discovery.current()
                nodes = [self.node(shard.primary) for shard in slots.shards]
                if not nodes:
                    raise UnavailableError(f"{self.name} cannot answer now: no server owns slots")
                await first_answers([node.exchange([("PING",)], deadline=deadline) for node in nodes])
            except StatcoreError as error:
                self.discovery.search()
                deadline.failure = error
                raise

        self.lifetime.check(self.name)
        await _repeated(attempt, deadline)

    async def keep(self, slots: SlotMap, /) -> None:
        """Close the nodes of servers that are not in a map."""
        gone = [key for key in self._nodes if key[0] not in slots.addresses]
        for key in gone:
            self.sick.pop(key[0], None)
            if (node := self._nodes.pop(key, None)) is not None:
                await node.aclose()

    async def aclose(self) -> None:
        """Close the connections that this keyspace made; closing twice is allowed.

        Raises:
            ClosedError: the store belongs to another event loop, which is not closed.
        """
        self.lifetime.end(self.service)
        try:
            await self.discovery.aclose()
        finally:
            await close_all([*self._nodes.values(), *([] if self.any_server is None else [self.any_server])])


@attrs.define(kw_only=True, eq=False)
class _Part:
    """Keys that are worked on together: on one node, or after a pause.

    Args:
        positions: the positions of the keys.
        address: the server, or None if the keys have no owner.
        deadline: the deadline of the call, with the failure of this part.
        attempts: how often it has failed.
        redirects: how often its keys have been redirected without a pause.
        is_ask: whether the server takes over the slot of the keys.
        is_replica: whether the server is a replica.
        is_pause: whether this is the pause before the keys are given to their owners again.
        slots: the map by which the server was chosen.
        started_s: when it began, on the clock of the event loop.
    """

    positions: Sequence[int]
    address: Address | None
    deadline: Deadline
    slots: SlotMap
    attempts: int = 0
    redirects: int = 0
    is_ask: bool = False
    is_replica: bool = False
    is_pause: bool = False
    started_s: float = attrs.field(init=False, factory=lambda: asyncio.get_running_loop().time())


@attrs.define(kw_only=True, eq=False)
class _Call:
    """One call of `Keyspace.fan_out`, whose parts run as tasks."""

    keyspace: Keyspace
    keys: Sequence[str]
    work: Work
    deadline: Deadline
    is_write: bool
    outcomes: list[Any] = attrs.field(init=False)
    parts: dict[asyncio.Task[list[Any]], _Part] = attrs.field(factory=dict[asyncio.Task[list[Any]], _Part], init=False)
    slots: SlotMap = attrs.field(init=False)
    is_answered: bool = attrs.field(default=False, init=False)
    """Whether any key has got its outcome."""
    _alone_s: float | None = attrs.field(default=None, init=False)
    """Since when only sick servers have been waited for, on the clock of the event loop."""
    _started_s: float = attrs.field(init=False, factory=lambda: asyncio.get_running_loop().time())
    _reserve_s: float = attrs.field(default=0.0, init=False)
    _replica_s: float = attrs.field(default=0.0, init=False)

    async def run(self) -> list[Any]:
        """Return the outcome for each key, as `Keyspace.fan_out` does."""
        self.outcomes = [_PENDING] * len(self.keys)
        self.slots = await _repeated(self._map, self.deadline)
        if self.keyspace.any_server is not None:
            self.keyspace.discovery.search_if_old()
        self._reserve_s = _RESERVE * self.deadline.remaining_s()
        self._replica_s = _OF_REPLICA * self.deadline.remaining_s()
        try:
            every = range(len(self.keys))
            await self._start(_Part(positions=every, address=None, deadline=self.deadline, slots=self.slots))
            while self.parts:
                timeout_s = self._patience_s()
                done, _ = await asyncio.wait(self.parts, timeout=max(0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
                if timeout_s <= 0 and not done:
                    break
                for task in done:
                    await self._take(self.parts.pop(task), task)
                await self._regroup()
        finally:
            await end_tasks(self.parts)
        for part in self.parts.values():
            self._mark_sick(part.address)
            failure = part.deadline.failure or UnavailableError(f"gave up waiting for {part.deadline.waiting_for}")
            self._settle(part.positions, failure)
        return self._result()

    async def _map(self) -> SlotMap:
        self.deadline.waiting_for = f"an answer about the servers of {self.keyspace.service}"
        try:
            return await self.keyspace.discovery.current()
        except StatcoreError as error:
            self.deadline.failure = error
            raise

    def _result(self) -> list[Any]:
        failures = [outcome for outcome in self.outcomes if is_failure(outcome)]
        if failures and (self.is_write or len(failures) == len(self.outcomes)):
            raise most_telling(failures)
        return self.outcomes

    async def _start(self, part: _Part) -> None:
        """Group the keys of a part by their owners, and start a part for each."""
        groups: dict[int, tuple[Shard | None, list[int]]] = {}
        only = self.slots.only
        if only is not None:
            groups[id(only)] = only, [*part.positions]
        else:
            owner, keys = self.slots.owner, self.keys
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
            chosen: dict[str, Any] = {"address": address, "is_replica": is_replica, "slots": self.slots}
            self._run(attrs.evolve(part, positions=positions, is_pause=False, is_ask=False, **chosen))

    def _server(self, shard: Shard, part: _Part) -> tuple[Address, bool]:
        """Return the server of a shard for a part, and whether it is a replica."""
        if self.keyspace.reads_replicas and not self.is_write and not part.attempts and not part.redirects:
            sick, failed_before_s = self.keyspace.sick, asyncio.get_running_loop().time() - _REST_S
            well = [replica for replica in shard.replicas if sick.get(replica, failed_before_s) <= failed_before_s]
            if well:
                replica = choice(well)  # noqa: S311 - no secret
                sick.pop(replica, None)
                return replica, True
        return shard.primary, False

    def _run(self, part: _Part) -> None:
        failure = part.deadline.failure if part.attempts else None
        part.deadline = part.deadline.of_part()
        part.deadline.failure = failure
        if part.address in self.keyspace.sick:
            self.keyspace.discovery.search()
        self.parts[asyncio.create_task(self._exchange(part))] = part

    async def _exchange(self, part: _Part) -> list[Any]:
        if part.address is None:
            raise UnavailableError(f"{self.keyspace.service} cannot answer now: no server owns the slots of some keys")
        node = self.keyspace.node(part.address, is_replica=part.is_replica)
        return await self.work(AskingNode(node) if part.is_ask else node, part.positions, deadline=part.deadline)

    def _pause(self, part: _Part, positions: Sequence[int]) -> None:
        """Give keys to their owners again after a pause, which doubles with every failure."""
        longest_s = min(_FIRST_PAUSE_S * 2 ** min(part.attempts, _MAX_DOUBLINGS), _LONGEST_PAUSE_S)
        again = attrs.evolve(
            part, positions=positions, attempts=part.attempts + 1, redirects=0, is_ask=False, is_pause=True
        )
        pause_s = longest_s * uniform(0.5, 1.0)  # noqa: S311 - no secret
        self.parts[asyncio.create_task(asyncio.sleep(pause_s, []))] = again

    async def _take(self, part: _Part, task: asyncio.Task[list[Any]]) -> None:
        """Note the outcomes of a part that has ended, and start what follows from it."""
        error = task.exception()
        if isinstance(error, StatcoreError):
            if is_retryable(error):
                self._mark_sick(part.address)
                self.keyspace.discovery.search()
                part.deadline.failure = self.deadline.failure = error
                self._pause(part, part.positions)
            else:
                if isinstance(error, InputError):
                    raise error
                self._settle(part.positions, error)
        elif part.is_pause:
            self.slots = self.keyspace.discovery.map or self.slots
            await self._start(part)
        else:
            answers = task.result()
            self.keyspace.sick.pop(part.address, None)
            self.deadline.failure = None
            await self._note(part, answers)

    async def _note(self, part: _Part, answers: list[Any]) -> None:
        """Note the answers of a node: an outcome, or what to do with the key next."""
        outcomes = self.outcomes
        failed: list[int] = []
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
                elif is_retryable(answer):
                    failed.append(position)
                    part.deadline.failure = self.deadline.failure = answer
                else:
                    outcomes[position] = answer
        self.is_answered = self.is_answered or len(failed) + sum(map(len, redirects.values())) < len(answers)
        if missing:
            await self._note_missing(part, missing)
        if failed:
            self._note_failed(part, failed)
        for (address, is_ask), positions in redirects.items():
            self._follow(part, positions, address, is_ask=is_ask)

    def _note_failed(self, part: _Part, positions: Sequence[int]) -> None:
        """Try keys again later that a node cannot answer now; a node that answers none is as sick as one that is down."""
        if len(positions) == len(part.positions):
            self._mark_sick(part.address)
        self.keyspace.discovery.search()
        self._pause(part, positions)

    def _mark_sick(self, address: Address | None) -> None:
        self.keyspace.sick[address] = asyncio.get_running_loop().time()

    async def _note_missing(self, part: _Part, positions: Sequence[int]) -> None:
        """Note that a node does not have keys; a replica may not have them yet, and neither a new primary."""
        if part.is_replica:
            await self._start(attrs.evolve(part, positions=positions, redirects=part.redirects + 1))
            return
        sources = {part.address} if part.address else set[Address]()
        if part.is_ask:  # the owner of the slot may not have had the keys either
            owners = (self.slots.owner(self.keys[position]) for position in positions)
            sources |= {shard.primary for shard in owners if shard is not None}
        unsynced = next(filter(self.keyspace.discovery.is_unsynced, sources), None)
        self._settle(positions, None if unsynced is None else Unsynced(self.keyspace.node(unsynced).service))

    def _follow(self, part: _Part, positions: Sequence[int], address: Address, *, is_ask: bool) -> None:
        """Work with keys on the server that a redirect names."""
        if part.redirects >= _MAX_REDIRECTS:
            message = f"{self.keyspace.service} cannot answer now: its servers redirect some keys to each other"
            part.deadline.failure = self.deadline.failure = UnavailableError(message)
            self._pause(part, positions)
            return
        if part.address and not address.host:
            address = Address(part.address.host, address.port)
        again = attrs.evolve(part, positions=positions, redirects=part.redirects + 1, is_ask=is_ask, is_replica=False)
        discovery = self.keyspace.discovery
        primaries = {shard.primary for shard in (discovery.map or self.slots).shards}
        if is_ask:
            self._run(attrs.evolve(again, address=address))
        elif address in primaries:  # some slots have moved
            discovery.search()
            self._run(attrs.evolve(again, address=address))
        else:  # perhaps a replica took over: the map tells whether its missing keys can be believed
            self.parts[asyncio.create_task(self._map_again())] = attrs.evolve(again, is_pause=True)

    async def _map_again(self) -> list[Any]:
        await self.keyspace.discovery.refresh()
        return []

    async def _regroup(self) -> None:
        """Give keys to their new owners if they wait for a server that is sick or slow, or not in the new map.

        Keys that wait for a replica that is sick or slow are given to the primary.
        """
        self.slots = self.keyspace.discovery.map or self.slots
        everywhere = self.slots.addresses
        now_s = asyncio.get_running_loop().time()
        for task, part in list(self.parts.items()):
            is_suspect = part.address in self.keyspace.sick or now_s - part.started_s > _SLOW_S
            if part.is_replica and (part.address in self.keyspace.sick or now_s - part.started_s > self._replica_s):
                self._mark_sick(part.address)
                await end_tasks([task])
                del self.parts[task]
                await self._start(attrs.evolve(part, redirects=part.redirects + 1))
                continue
            if part.slots is self.slots or part.is_ask or not (is_suspect or part.address not in everywhere):
                continue
            part.slots = self.slots
            if any(not self._is_owner(part, position) for position in part.positions):
                await end_tasks([task])
                del self.parts[task]
                await self._start(part)

    def _is_owner(self, part: _Part, position: int) -> bool:
        shard = self.slots.owner(self.keys[position])
        servers = () if shard is None else (shard.primary, *shard.replicas) if part.is_replica else (shard.primary,)
        return part.address in servers

    def _patience_s(self) -> float:
        """Return how long to wait for the next answer, in seconds; zero or less to end with the outcomes so far."""
        now_s = asyncio.get_running_loop().time()
        self._look_for_slow_servers(now_s)
        if self.is_write or not self.is_answered:
            return _LOOK_S  # the deadline ends the call
        sick = self.keyspace.sick
        if any(part.address not in sick and part.attempts < _FAILURES for part in self.parts.values()):
            self._alone_s = None
            return min(_LOOK_S, self.deadline.remaining_s() - self._reserve_s)
        if self._alone_s is None:
            self._alone_s = now_s
        # A server that is well again may need as long as all others.
        return min(_LOOK_S, self._alone_s + max(GRACE_S, self._alone_s - self._started_s) - now_s)

    def _look_for_slow_servers(self, now_s: float) -> None:
        """Search for the servers again if one takes long."""
        for part in self.parts.values():
            if now_s - part.started_s > _SLOW_S:
                self.keyspace.discovery.search()
            self.deadline.waiting_for = part.deadline.waiting_for

    def _settle(self, positions: Iterable[int], outcome: object) -> None:
        for position in positions:
            self.outcomes[position] = outcome


async def _work(node: Node, keys: Sequence[str], work: Work, deadline: Deadline) -> list[Any]:
    try:
        answers = await work(node, range(len(keys)), deadline=deadline)
    except StatcoreError as error:
        deadline.failure = error
        raise
    deadline.failure = None
    return answers


def _repeated(attempt: Callable[[], Awaitable[_Result]], deadline: Deadline) -> Awaitable[_Result]:
    return retry(
        attempt,
        deadline=deadline,
        is_retryable=is_retryable,
        first_pause_s=_FIRST_PAUSE_S,
        longest_pause_s=_LONGEST_PAUSE_S,
    )
