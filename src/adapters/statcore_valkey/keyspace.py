"""The keys of a store, on one server or many: which node has a key, and the nodes themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import sample
from typing import Any, Final, Self, TypeAlias

import attrs

from statcore.concurrency import Deadline
from statcore.errors import StatcoreError, UnavailableError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.commands import Work
from statcore_valkey.discovery import Discovery, first_answers
from statcore_valkey.fan_out import FanOut, repeated
from statcore_valkey.node import Node, close_all
from statcore_valkey.slot_map import Address, Shard, SlotMap

NewNode: TypeAlias = Callable[[Address, bool], Node]
"""Makes the node of an address; the second argument says whether it is read as a replica."""

_MOST_SEARCHED: Final = 6
"""How many servers are asked for the slot map at once, and how many more while none of them answers."""


@attrs.frozen
class _Told:
    """What a node of a cluster tells.

    Args:
        slots: the slot map.
        is_apart: whether the cluster is down as the node sees it, most often because it is cut off from most primaries;
            then it does not hear of fail-overs. False if the user may not use `CLUSTER INFO`.
    """

    slots: SlotMap
    is_apart: bool


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
        failing: the servers whose last exchanges failed, and when, on the clock of the event loop.
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
    failing: dict[Address, float] = attrs.field(factory=dict[Address, float], init=False)

    def __attrs_post_init__(self) -> None:
        """Close the nodes of servers that leave."""
        self.discovery.on_change.append(self.keep)

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
            timeout_s: how long each server that is asked for the slot map is waited for, in seconds.
            lifetime: the lifetime of the store, or None for a new one.
            reads_replicas: whether keys are read from replicas where there are any.
            any_server: a node whose commands any server may answer, if the driver finds servers by itself; `start` may then
                be empty. It is closed with the keyspace.
        """

        async def ask(node: Node, host: str) -> _Told:
            async with Deadline(timeout_s, waiting_for="the event loop") as deadline:
                answer, state = await node.exchange([("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")], deadline=deadline)
            if isinstance(answer, StatcoreError):
                raise answer
            slots = SlotMap.parse(answer, host=host)
            if not slots.ranges:  # a node that has left the cluster, or has not joined it, answers sooner than the others
                raise UnavailableError(f"{node.service} cannot answer now: it knows no owner of any slot")
            return _Told(slots, is_apart=isinstance(state, bytes) and b"cluster_state:fail" in state)

        async def find(known: SlotMap | None) -> SlotMap:
            """Return the map that most nodes tell, leaving out nodes that are apart, unless only these answer soon.

            A node that has just joined knows few slots.
            """
            everywhere = sorted({*start, *(known.addresses if known else ())})
            addresses = sample(everywhere, len(everywhere))
            groups = (addresses[at : at + _MOST_SEARCHED] for at in range(0, len(addresses), _MOST_SEARCHED))
            searches = ([ask(keyspace.node(address), address.host) for address in group] for group in groups)
            first: Sequence[Awaitable[_Told]] = next(searches, ())  # none if only the driver knows servers
            if any_server is not None:
                first = [*first, ask(any_server, "")]
            told = await first_answers(first, later=searches)
            return max(told, key=lambda one: (not one.is_apart, -one.slots.unowned, told.count(one))).slots

        keyspace = cls(
            name=any_server.service if any_server is not None else f"the Valkey cluster of {', '.join(map(str, start))}",
            discovery=Discovery(find=find, ages=any_server is not None),  # another driver follows redirects by itself
            new_node=new_node,
            lifetime=lifetime or Lifetime(),
            reads_replicas=reads_replicas,
            start=start,
            any_server=any_server,
        )
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

        Keys that fail are retried until the deadline, on the servers that own them by then. A server whose last exchange
        failed is not waited for much longer than all others; nor is a search for the servers, beyond half a second.

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
            answers = await repeated(partial(_work, self.only_node, keys, work, deadline), deadline)
            return answers if self.judge is None else self.judge(answers, self.only_node.service)
        await repeated(partial(self._find_slots, deadline), deadline)
        self.discovery.search_if_old()
        call = FanOut(
            keys=keys,
            work=work,
            deadline=deadline,
            is_write=is_write,
            reads_replicas=self.reads_replicas and not is_write,
            name=self.name,
            discovery=self.discovery,
            node=self.node,
            failing=self.failing,
        )
        return await call.run()

    async def _find_slots(self, deadline: Deadline) -> None:
        """Find the slot map if it is not known yet."""
        deadline.waiting_for = f"an answer about the servers of {self.name}"
        try:
            await self.discovery.current()
        except StatcoreError as error:
            deadline.failure = error
            raise

    async def ping(self, *, deadline: Deadline) -> None:
        """Return when a primary answers.

        Raises:
            ClosedError: the store is closed, or belongs to another event loop.
            StatcoreError: no primary answers; the most telling of their errors.
        """
        self.lifetime.check(self.service)
        has_failed = False

        async def attempt() -> None:
            nonlocal has_failed
            self.lifetime.check(self.service)
            try:
                slots = await self.discovery.current()
                nodes = [self.node(shard.primary) for shard in slots.shards]
                if not nodes:
                    raise UnavailableError(f"{self.name} cannot answer now: no server owns slots")
                await first_answers([node.exchange([("PING",)], deadline=deadline) for node in nodes])
            except StatcoreError as error:
                refusal = self.discovery.refusal if has_failed else None  # of a search that ended after a failure
                has_failed = True
                self.discovery.search()
                deadline.failure = refusal or error
                if refusal is not None:
                    raise refusal from error
                raise

        self.lifetime.check(self.name)
        await repeated(attempt, deadline)

    async def keep(self, slots: SlotMap, /) -> None:
        """Close the nodes of servers that are not in a map, and forget that these fail."""
        gone = [key for key in self._nodes if key[0] not in slots.addresses]
        for address in self.failing.keys() - slots.addresses:
            del self.failing[address]
        for key in gone:
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


async def _work(node: Node, keys: Sequence[str], work: Work, deadline: Deadline) -> list[Any]:
    try:
        answers = await work(node, range(len(keys)), deadline=deadline)
    except StatcoreError as error:
        deadline.failure = error
        raise
    deadline.failure = None
    return answers
