"""A simulated Valkey cluster: nodes that own slots, redirect, move slots, and replace primaries that are away."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from random import Random
from typing import Any, Final

import attrs

from statcore.testing.simulation.network import Network
from statcore.testing.simulation.resp import Failure, Reply, Words
from statcore.testing.simulation.valkey import Session
from statcore.testing.simulation.valkey_commands import OK, Command
from statcore.testing.simulation.valkey_replication import OnChange, ReplicatedValkey

SLOTS: Final = 16_384
_ALL: Final = (1 << SLOTS) - 1
_BUS_PORT: Final = 10_000
_TICK_S: Final = 0.2
"""How often nodes hear from each other."""
_NEWS_SHARE: Final = 0.5
"""How often they hear about changes then."""
_WRITABLE_DELAY_S: Final = 2.0
"""How long a primary that starts waits for news before it answers."""
_ELECTION_S: Final = (0.5, 1.0)
"""How long a replica waits before it asks for votes."""
_RANK_S: Final = 1.0
"""How much longer it waits for each replica that has more of the data."""
_ASKING: Final = "asking"
_READ_ONLY: Final = "readonly"


def key_slot(key: bytes) -> int:
    """Return the slot of a key; of a key with braces, that of what is between them."""
    _, brace, rest = key.partition(b"{")
    tag, end, _ = rest.partition(b"}")
    return binascii.crc_hqx(tag if brace and end and tag else key, 0) % SLOTS


@attrs.define(eq=False)
class Member:
    """What a node knows of a node.

    Attributes:
        node: the other node; only what it has told is looked at.
        address: where it is found.
        primary: the node that it follows, or None.
        epoch: the epoch of its claims; later claims win.
        slots: the slots that it owns, as the bits of a number.
        unclaimed: those that it does not claim any more, whose owner is not known yet.
        told: the number of the last news from it.
        heard_s: when it was last heard from.
        has_failed: whether the cluster agrees that it is away.
        has_synced: whether it has had the data of its primary.
    """

    node: ClusterNode
    address: tuple[str, int]
    primary: ClusterNode | None = None
    epoch: int = 0
    slots: int = 0
    unclaimed: int = 0
    told: int = -1
    heard_s: float = 0.0
    has_failed: bool = False
    has_synced: bool = False


@attrs.define(eq=False)
class ClusterNode(ReplicatedValkey):
    """A node of a cluster: it answers for its slots, and redirects for all others as far as it knows.

    Args:
        number: the number of the node, which makes its id.
        timeout_s: how long another node is silent before it counts as away.

    Attributes:
        members: what it knows of each node, itself among them.
        migrating: where the keys of slots go that leave it.
        importing: where the keys of slots come from that it takes over.
        is_up: whether it answers for its slots.
    """

    number: int = attrs.field(kw_only=True)
    timeout_s: float = attrs.field(default=2.0, kw_only=True)
    members: dict[int, Member] = attrs.field(init=False, factory=dict[int, "Member"], repr=False)
    migrating: dict[int, ClusterNode] = attrs.field(init=False, factory=dict[int, "ClusterNode"], repr=False)
    importing: dict[int, ClusterNode] = attrs.field(init=False, factory=dict[int, "ClusterNode"], repr=False)
    is_up: bool = attrs.field(init=False, default=True)
    news: int = attrs.field(init=False, default=0)
    """The number of its last own change; others look at it only when it has grown."""
    _started_s: float = attrs.field(init=False, default=float("-inf"))
    _minority_s: float = attrs.field(init=False, default=float("-inf"))
    """When it last heard from less than half of the primaries."""
    _elects_s: float | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        """Add the commands of a node."""
        super().__attrs_post_init__()
        self.commands.update(
            {
                "CLUSTER": Command(_cluster, -2, is_always=True),
                "ASKING": Command(_asking, 1),
                "READONLY": Command(_readonly, 1, is_always=True),
                "READWRITE": Command(_readwrite, 1, is_always=True),
                "SELECT": Command(_select, 2, is_always=True),
            }
        )

    @property
    def id(self) -> str:
        """The name of the node among the others."""
        return f"{self.number:040x}"

    @property
    def own(self) -> Member:
        """What it knows of itself."""
        return self.members[self.number]

    def owner(self, slot: int) -> Member | None:
        """Return the node that owns a slot, as far as this one knows."""
        return next((member for member in self.members.values() if member.slots >> slot & 1), None)

    def serves(self, key: bytes) -> bool:
        """Return whether it answers for a key as its primary, to clients that are sent to it where a slot moves, too."""
        slot = key_slot(key)
        if not self.is_running or self.is_hung or self.is_loading or not self.is_up or self.primary is not None:
            return False
        if self.own.slots >> slot & 1:
            return slot not in self.migrating or key in self.databases[0].values
        return slot in self.importing and any(
            self.address == member.node.sends_to(key, slot) for member in self.members.values()
        )

    def sends_to(self, key: bytes, slot: int) -> tuple[str, int] | None:
        """Return where it sends clients that look for a key whose slot moves; None if it sends them nowhere."""
        if not self.is_running or self.is_hung or not self.is_up or self.primary is not None:
            return None
        is_leaving = self.own.slots >> slot & 1 and slot in self.migrating and key not in self.databases[0].values
        return self.successor(self.migrating[slot]).address if is_leaving else None

    def redirection(  # noqa: PLR0911 - as many kinds of answers
        self, command: Command, words: Words, session: Session
    ) -> Failure | None:
        """Return the error for a command of another node, in the order in which a real node looks for it."""
        keys = command.keys(words)
        if not keys:
            return None
        slots = {key_slot(key) for key in keys}
        if len(slots) > 1:
            return Failure("CROSSSLOT Keys in request don't hash to the same slot")
        (slot,) = slots
        owner = self.owner(slot)
        if owner is None:
            return Failure("CLUSTERDOWN Hash slot not served")
        if not self.is_up:
            return Failure("CLUSTERDOWN The cluster is down")
        is_copy = _READ_ONLY in session.notes and owner.node is self.primary
        is_own = owner.node is self
        missing = [key for key in keys if self.databases[0].get(key) is None]
        if (is_own or is_copy) and slot in self.migrating and missing:
            if len(missing) < len(keys):
                return Failure("TRYAGAIN Multiple keys request during rehashing of slot")
            return self._redirect("ASK", slot, self.successor(self.migrating[slot]))
        is_asked = _ASKING in session.notes and (self.primary is None or _READ_ONLY in session.notes)
        if not is_own and slot in self.importing and is_asked:
            is_torn = len(keys) > 1 and missing
            return Failure("TRYAGAIN Multiple keys request during rehashing of slot") if is_torn else None
        return None if is_own or (is_copy and not command.is_write) else self._redirect("MOVED", slot, owner)

    def information(self) -> dict[str, dict[str, Any]]:
        """Return the sections of INFO, and the fields of each."""
        sections = super().information()
        return {**sections, "server": {**sections["server"], "server_mode": "cluster"}}

    def answer(self, words: Words, session: Session) -> Reply:
        """Return the reply to a command; ASKING is about the next command only."""
        reply = super().answer(words, session)
        if words[0].upper() != b"ASKING":
            session.notes.discard(_ASKING)
        return reply

    def restart(self, *, with_data: bool) -> None:
        """Start again; it still knows the other nodes."""
        self._started_s = self.time_s()
        for member in self.members.values():
            member.heard_s = self._started_s
        self.is_up = self.primary is not None
        super().restart(with_data=with_data)
        self.own.has_synced = self.has_synced
        self.news += 1

    def move(self, name: str) -> None:
        """Start again on another host, with the data."""
        if self.is_running:
            self.crash()
        self.name = name
        self.own.address = self.address
        self.news += 1
        self.restart(with_data=True)

    def hear(self, other: ClusterNode) -> None:
        """Hear that another node is there."""
        member = self.members[other.number]
        member.heard_s = self.time_s()
        if member.has_failed:
            member.has_failed = False
            self._change()

    def learn(self, other: ClusterNode) -> None:
        """Take over what another node says of itself."""
        member = self.members[other.number]
        if member.told == other.news:
            return
        member.told = other.news
        if member.primary is not None and other.primary is None:  # slots that move to or from its primary are now its own
            for moving in (self.migrating, self.importing):
                moving |= {slot: other for slot, node in moving.items() if node is member.primary}
        member.address, member.primary, member.epoch = other.own.address, other.own.primary, other.own.epoch
        member.has_synced = other.has_synced
        member.unclaimed = member.slots & ~other.own.slots
        if other.primary is None:
            self._accept(member, other.own.slots)
            if self.primary is None and self.own.epoch == member.epoch and self.number < other.number:
                self.own.epoch = self.next_epoch()  # two may have chosen the same one
                self.news += 1
        self._change()

    def claim(self, slots: int, epoch: int) -> None:
        """Own slots from now on, by the right of an epoch that is later than all others'."""
        for member in self.members.values():
            member.slots &= ~slots
        self.own.slots |= slots
        self.own.epoch = epoch
        self.news += 1
        self._change()

    def become(self, primary: ClusterNode | None) -> None:
        """Be a primary, or the replica of one, and tell the others."""
        self.own.primary = primary
        self.has_synced: bool = primary is None
        self._elects_s = None
        self.news += 1
        self.follow(primary)
        self._change()

    def look(self) -> None:
        """Find out which nodes are away, whether to answer, and whether to replace the primary."""
        if not self.is_reachable:
            return
        if self.primary is not None and self.is_linked and not self.own.has_synced:
            self.own.has_synced = True
            self.news += 1
        now_s = self.time_s()
        owners = [member for member in self.members.values() if member.slots]
        voters = [member for member in owners if member.node is self or self.reaches(member.node)]
        has_majority = 2 * len(voters) > len(owners)
        for member in self.members.values():
            if member.has_failed or not self.misses(member):
                continue
            if has_majority and all(voter.node.misses(voter.node.members[member.node.number]) for voter in voters):
                self.network.record(f"{self.name} knows that {member.node.name} is away")
                member.has_failed = True
                self._change()
        self._decide(now_s, [member for member in owners if member.node is self or not self.misses(member)], owners)
        self._elect(now_s, has_majority=has_majority)

    def ranges(self) -> list[tuple[int, int, Member]]:
        """Return first slot, last slot and owner of each range, in order."""
        found = [(first, last, member) for member in self.members.values() for first, last in slot_ranges(member.slots)]
        return sorted(found, key=lambda part: part[:2])

    def known_replicas(self, primary: Member) -> list[Member]:
        """Return the replicas of a node that are not away and have had its data."""
        return [
            member
            for member in self.members.values()
            if member.primary is primary.node and not member.has_failed and member.has_synced
        ]

    def successor(self, node: ClusterNode) -> Member:
        """Return the node that has the slots of a node, if it was replaced."""
        member = self.members[node.number]
        return self.members[member.primary.number] if member.primary is not None else member

    def _redirect(self, kind: str, slot: int, member: Member) -> Failure:
        host, port = member.address
        return Failure(f"{kind} {slot} {host}:{port}")

    def misses(self, member: Member) -> bool:
        """Return whether a node has been silent for too long."""
        return member.node is not self and self.time_s() - member.heard_s > self.timeout_s

    def _accept(self, sender: Member, claimed: int) -> None:
        """Take over the claims of a primary to slots whose owner has claimed them earlier."""
        leader = self.own.primary or self
        before = self.members[leader.number].slots
        gained = claimed & ~sender.slots
        for member in self.members.values():
            contested = gained & member.slots
            if member is not sender and contested:
                if member.epoch >= sender.epoch:
                    gained &= ~(contested & ~member.unclaimed)
                member.slots &= ~gained
        sender.slots |= gained
        after = self.members[leader.number].slots
        if leader is not sender.node and before and not after:
            self.network.record(f"{self.name} learns that {sender.node.name} has replaced {leader.name}")
            self.migrating, self.importing = {**sender.node.migrating}, {**sender.node.importing}
            self.become(sender.node)
        elif leader is self and before & ~after:
            self._forget_slots(before & ~after)

    def _forget_slots(self, slots: int) -> None:
        """Drop the keys of slots that are another node's, and what was said about moving them."""
        for slot in [slot for slot in self.migrating if slots >> slot & 1]:
            del self.migrating[slot]
        values = self.databases[0].values
        for key in [key for key in values if slots >> key_slot(key) & 1]:
            del values[key]
            self.change(key)
        self.news += 1

    def _decide(self, now_s: float, heard: Sequence[Member], owners: Sequence[Member]) -> None:
        """Answer while more than half of the primaries are heard, and some time after a start or a time alone."""
        may = 2 * len(heard) > len(owners)
        if not may:
            self._minority_s = now_s
        elif not self.is_up and self.primary is None:
            waits_s = min(max(self.timeout_s, 0.5), 5.0)
            may = now_s > max(self._minority_s + waits_s, self._started_s + _WRITABLE_DELAY_S)
        if may is not self.is_up:
            self.network.record(f"{self.name} {'answers again' if may else 'answers for no slot'}")
            self.is_up = may
            self._change()

    def _elect(self, now_s: float, *, has_majority: bool) -> None:
        """Take the place of the primary, if it is away, after a while in which a better replica may do it."""
        primary = self.own.primary
        if primary is None or not self.members[primary.number].has_failed or not self.members[primary.number].slots:
            self._elects_s = None
        elif self._elects_s is None:
            better = sum(
                peer.offset > self.offset for peer in primary.replicas() if peer is not self and self.reaches(peer)
            )
            self._elects_s = now_s + self.random.uniform(*_ELECTION_S) + _RANK_S * better
        elif now_s >= self._elects_s and has_majority:
            self.take_over()

    def take_over(self) -> None:
        """Become the primary in the place of the own one, with its slots and their moves."""
        primary = self.own.primary
        if primary is None:
            return
        self.network.record(f"{self.name} takes the place of {primary.name}")
        self.become(None)
        self.claim(self.members[primary.number].slots, self.next_epoch())

    def next_epoch(self) -> int:
        """Return an epoch that is later than all that the nodes of its side know."""
        voters = [member.node for member in self.members.values() if member.node is self or self.reaches(member.node)]
        return 1 + max(member.epoch for voter in voters for member in voter.members.values())

    def _change(self) -> None:
        self.on_change(None)


@attrs.define(eq=False)
class SimulatedCluster:
    """A cluster of primaries with replicas, which own equal parts of the slots at the start.

    Args:
        network: the network; each node is a host of its own.
        random: chooses how long everything takes.
        primaries: how many nodes own slots.
        replicas: how many replicas each has.
        timeout_s: how long a node is silent before the others replace it.
        on_change: told about changes of keys, and with None about those of nodes.

    Attributes:
        nodes: the nodes, primaries first.
    """

    network: Network
    random: Random
    primaries: int = attrs.field(default=3, kw_only=True)
    replicas: int = attrs.field(default=1, kw_only=True)
    timeout_s: float = attrs.field(default=2.0, kw_only=True)
    on_change: OnChange = attrs.field(default=lambda _: None, kw_only=True)
    nodes: list[ClusterNode] = attrs.field(init=False, factory=list[ClusterNode])
    _timer: asyncio.TimerHandle | None = attrs.field(init=False, default=None)

    def start(self) -> None:
        """Start the nodes, which know each other."""
        for number in range(self.primaries * (1 + self.replicas)):
            node = ClusterNode(
                self.network,
                f"node-{number}",
                random=self.random,
                peers=self.nodes,
                number=number,
                timeout_s=self.timeout_s,
            )
            self.nodes.append(node)
        share = [SLOTS * number // self.primaries for number in range(self.primaries + 1)]
        for node in self.nodes:
            for number, other in enumerate(self.nodes):
                is_primary = number < self.primaries
                member = Member(other, other.address, epoch=number + 1 if is_primary else 0, has_synced=True)
                if is_primary:
                    member.slots = (1 << share[number + 1]) - (1 << share[number])
                else:
                    member.primary = self.nodes[number % self.primaries]
                member.heard_s = node.time_s()
                node.members[number] = member
            node.follow(node.own.primary)
            node.is_linked = node.has_synced = True
            node.start()
        for node in self.nodes:
            node.on_change = self.on_change
        self._tick()

    def stop(self) -> None:
        """End every node."""
        if self._timer is not None:
            self._timer.cancel()
        for node in self.nodes:
            node.on_change = lambda _: None
            if node.is_running:
                node.crash()

    @property
    def url(self) -> str:
        """The URL for statcore, with the addresses of all nodes at the start."""
        return f"valkey+cluster://{','.join(f'node-{number}:{node.port}' for number, node in enumerate(self.nodes))}"

    @property
    def is_whole(self) -> bool:
        """Whether all nodes run, answer, agree on every slot, and have the data of their primaries."""
        maps = {tuple((*slots, of.node.number, of.address) for *slots, of in node.ranges()) for node in self.nodes}
        return len(maps) == 1 and all(
            node.is_reachable
            and node.is_up
            and not node.is_loading
            and (node.is_linked or node.primary is None)
            and not any(member.has_failed for member in node.members.values())
            and sum(member.slots for member in node.members.values()) == _ALL
            for node in self.nodes
        )

    def primary_of(self, slot: int) -> ClusterNode:
        """Return the node with the latest claim to a slot."""
        claims = [node for node in self.nodes if node.own.slots >> slot & 1]
        return max(claims, key=lambda node: node.own.epoch)

    def store(self, values: Mapping[str, bytes]) -> None:
        """Set keys that expire in a day, at primaries and replicas."""
        for key, value in values.items():
            for node in self.shard(self.primary_of(key_slot(key.encode()))):
                node.databases[0].set(key.encode(), value, ttl_s=86_400)
                self.on_change(key.encode())

    def shard(self, primary: ClusterNode) -> list[ClusterNode]:
        """Return a primary and its replicas."""
        return [primary, *(node for node in self.nodes if node.primary is primary)]

    def begin_move(self, slots: Sequence[int], source: ClusterNode, target: ClusterNode) -> None:
        """Open slots at both primaries: the source redirects for keys that it does not have."""
        self.network.record(f"slots {[*slots]} begin to move from {source.name} to {target.name}")
        for node in self.shard(source):  # replicas know, to go on when they are primaries
            node.migrating |= dict.fromkeys(slots, target)
        for node in self.shard(target):
            node.importing |= dict.fromkeys(slots, source)
        self.on_change(None)

    def move_keys(self, keys: Sequence[str], source: ClusterNode, target: ClusterNode) -> None:
        """Move keys of an open slot."""
        for key in map(str.encode, keys):
            value = source.databases[0].values.pop(key, None)
            if value is not None:
                target.databases[0].values[key] = copy(value)
                target.change(key)
                source.change(key)

    def end_move(self, slots: Sequence[int], source: ClusterNode, target: ClusterNode) -> None:
        """Give slots without keys at the source to the target; the others learn it later."""
        self.network.record(f"slots {[*slots]} are now those of {target.name}")
        target.claim(sum(1 << slot for slot in slots), target.next_epoch())
        source.learn(target)
        for slot in slots:
            for node in self.shard(target):
                node.importing.pop(slot, None)
            for node in self.shard(source):
                node.migrating.pop(slot, None)
        self.on_change(None)

    def _tick(self) -> None:
        there = [node for node in self.nodes if node.is_reachable]
        for node in there:
            for other in there:
                if other is not node and other.side == node.side:
                    node.hear(other)
                    if self.random.random() < _NEWS_SHARE:
                        node.learn(other)
        for node in self.nodes:
            node.look()
            node.tend()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)


def slot_ranges(slots: int) -> Iterator[tuple[int, int]]:
    """Yield first and last slot of each range of slots, which are the bits of a number."""
    start = 0
    while slots:
        gap = (slots & -slots).bit_length() - 1
        slots >>= gap
        length = (~slots & (slots + 1)).bit_length() - 1
        yield start + gap, start + gap + length - 1
        slots >>= length
        start += gap + length


def _place(member: Member) -> list[Any]:
    host, port = member.address
    return [host.encode(), port, member.node.id.encode(), []]


def _slots(node: ClusterNode) -> Reply:
    return [[first, last, _place(owner), *map(_place, node.known_replicas(owner))] for first, last, owner in node.ranges()]


def _nodes(node: ClusterNode) -> Reply:
    lines: list[str] = []
    for member in node.members.values():
        host, port = member.address
        flags = ["myself"] if member.node is node else []
        flags += ["master" if member.primary is None else "slave", *(["fail"] if member.has_failed else [])]
        of = "-" if member.primary is None else member.primary.id
        link = "disconnected" if node.misses(member) else "connected"
        slots = [f"{first}-{last}" if last > first else str(first) for first, last in slot_ranges(member.slots)]
        place = f"{host}:{port}@{port + _BUS_PORT}"
        lines.append(" ".join([member.node.id, place, ",".join(flags), of, "0", "0", str(member.epoch), link, *slots]))
    return "".join(f"{line}\n" for line in lines).encode()


def _shards(node: ClusterNode) -> Reply:
    shards: list[Any] = []
    for primary in node.members.values():
        if primary.primary is not None:
            continue
        slots = [slot for both in slot_ranges(primary.slots) for slot in both]
        members = [primary, *(member for member in node.members.values() if member.primary is primary.node)]
        shards.append([b"slots", slots, b"nodes", [_shard_member(member) for member in members]])
    return shards


def _shard_member(member: Member) -> list[Any]:
    host, port = member.address
    role, health = b"replica" if member.primary else b"master", b"fail" if member.has_failed else b"online"
    fields = {b"id": member.node.id.encode(), b"port": port, b"ip": host.encode(), b"endpoint": host.encode()}
    fields |= {b"role": role, b"replication-offset": member.node.offset, b"health": health}
    return [word for field in fields.items() for word in field]


def _info(node: ClusterNode) -> Reply:
    owners = [member for member in node.members.values() if member.slots]
    failed = [member for member in owners if member.has_failed]
    missed = [member for member in owners if member not in failed and node.misses(member)]
    counts = [sum(member.slots.bit_count() for member in members) for members in (owners, failed, missed)]
    fields = {
        "cluster_state": "ok" if node.is_up else "fail",
        "cluster_slots_assigned": counts[0],
        "cluster_slots_ok": counts[0] - counts[1] - counts[2],
        "cluster_slots_pfail": counts[2],
        "cluster_slots_fail": counts[1],
        "cluster_known_nodes": len(node.members),
        "cluster_size": len(owners),
        "cluster_current_epoch": max(member.epoch for member in node.members.values()),
        "cluster_my_epoch": node.own.epoch,
    }
    return "".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode()


def _cluster(node: Any, _: Session, words: Words) -> Reply:  # noqa: ANN401 - a `ClusterNode`, whose commands these are
    kind = words[1].upper()
    if kind == b"MYID":
        return node.id.encode()  # type: ignore[no-any-return]
    if kind == b"KEYSLOT":
        return key_slot(words[2])
    answers = {b"SLOTS": _slots, b"NODES": _nodes, b"SHARDS": _shards, b"INFO": _info}
    if kind not in answers:
        return Failure(f"ERR unknown subcommand '{words[1].decode(errors='replace')}'. Try CLUSTER HELP.")
    return answers[kind](node)


def _asking(_: Any, session: Session, __: Words) -> Reply:  # noqa: ANN401
    session.notes.add(_ASKING)
    return OK


def _readonly(_: Any, session: Session, __: Words) -> Reply:  # noqa: ANN401
    session.notes.add(_READ_ONLY)
    return OK


def _readwrite(_: Any, session: Session, __: Words) -> Reply:  # noqa: ANN401
    session.notes.discard(_READ_ONLY)
    return OK


def _select(_: Any, __: Session, words: Words) -> Reply:  # noqa: ANN401
    if words[1] == b"0":
        return OK
    return Failure(
        "ERR SELECT is not allowed in cluster mode" if words[1].isdigit() else "ERR value is not an integer or out of range"
    )
