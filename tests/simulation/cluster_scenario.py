"""A cluster whose nodes are harmed and whose slots move, while callers read and write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final

import attrs
from tests.simulation.topology_harms import HARMS, End, nothing
from tests.simulation.topology_scenario import KEYS, Harm, TopologyScenario, chosen, is_sound

from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.valkey import Session
from statcore.testing.simulation.valkey_cluster import ClusterNode, SimulatedCluster, key_slot

_SLOTS: Final = {key.encode(): key_slot(key.encode()) for key in KEYS}


def _take_over(run: ClusterScenario) -> End:
    """Let a replica take the place of its primary, which is well, as an operator does."""
    replicas = [node for node in run.cluster.nodes if node.is_linked and node.is_up and node.side == 0]
    if replicas:
        run.simulation.random.choice(replicas).take_over()
    return nothing


def _new_address(run: ClusterScenario) -> End:
    """Start a node again on another host."""
    node = run.simulation.random.choice(run.cluster.nodes)
    node.move(f"{node.name}b")
    return nothing


def _swapped_addresses(run: ClusterScenario) -> End:
    """Start two nodes again, each where the other was."""
    first, second = run.simulation.random.sample(run.cluster.nodes, 2)
    for node in (first, second):
        if node.is_running:
            node.crash()
    first.name, second.name = second.name, first.name
    for node in (first, second):
        node.move(node.name)
    return nothing


def _old_map(run: ClusterScenario) -> End:
    """Let a node tell the map of this moment for a while."""
    node = run.simulation.random.choice(run.cluster.nodes)
    session = Session(0, node.databases[0], None)
    old = node.commands["CLUSTER"].run(node, session, [b"CLUSTER", b"SLOTS"])
    node.tamper = lambda words, reply, _: old if words[0] == b"CLUSTER" else reply
    return lambda: setattr(node, "tamper", None)


def _move_of_new_key(run: ClusterScenario) -> End:
    """Let a slot begin to move that has a key which the replicas of its owner do not have yet."""
    random = run.simulation.random
    owners = {key: run.cluster.primary_of(_SLOTS[key.encode()]) for key in KEYS}
    new = [key for key, owner in owners.items() if owner.databases[0].get(key.encode()) is None]
    key = random.choice(new or KEYS)
    slot, owner = _SLOTS[key.encode()], owners[key]
    others = [node for node in owners.values() if node is not owner and node.primary is None]
    if not new or slot in owner.migrating or owner.primary is not None or not others:
        return _nothing
    target = random.choice(others)
    owner.is_withholding = True
    for replica in owner.replicas():
        replica.unlink()
    run.write(owner, key)
    run.cluster.begin_move([slot], owner, target)

    def end() -> None:
        owner.is_withholding = False
        now = run.cluster.primary_of(slot)
        if now is not target:
            moved = [name for name in KEYS if _SLOTS[name.encode()] == slot]
            run.cluster.move_keys(moved, target, now)
        for node in run.cluster.nodes:
            node.migrating.pop(slot, None)
            node.importing.pop(slot, None)

    return end


def _nothing() -> None:
    """Do nothing."""


CLUSTER_HARMS: Final = [
    *HARMS,
    *(Harm(begin) for begin in (_take_over, _new_address, _swapped_addresses, _old_map)),
    Harm(_move_of_new_key, least_s=3.0),
]


@attrs.define(eq=False)
class ClusterScenario(TopologyScenario):
    """A run on three primaries, each with a replica."""

    cluster: SimulatedCluster = attrs.field(init=False)
    _primaries: dict[int, tuple[ClusterNode, str]] = attrs.field(factory=dict[int, tuple[ClusterNode, str]], init=False)
    """The primary of the slot of each key, and its host, to notice fail-overs."""
    _have_moved: bool = attrs.field(default=False, init=False)
    """Whether primaries have other addresses than at the start; a client may then take one for another."""
    _givers: dict[int, set[ClusterNode]] = attrs.field(factory=dict[int, set[ClusterNode]], init=False)
    """The nodes from which slots have moved; clients learn from them where the slots are."""

    def __attrs_post_init__(self) -> None:
        """Make the cluster."""
        self.cluster = SimulatedCluster(self.simulation.network, self.simulation.random, on_change=self.changed)

    @property
    def topology(self) -> SimulatedCluster:
        """The cluster."""
        return self.cluster

    @property
    def options(self) -> dict[str, Any]:
        """The options of every store."""
        return {"live_db": 0}

    @property
    def recovery_s(self) -> float:
        """Nodes agree within two seconds."""
        return 3.0

    def servers(self) -> Sequence[ClusterNode]:
        """Return the nodes."""
        return self.cluster.nodes

    def holders(self, key: bytes) -> Iterator[ClusterNode]:
        """Return the nodes that answer for a key as primaries."""
        return (node for node in self.cluster.nodes if node.serves(key))

    def is_well(self, key: bytes) -> bool:
        """Return whether the primary of a key is sound, and the node to which its slot moves; all know where others are."""
        slot = _SLOTS[key]
        primary = self.cluster.primary_of(slot)
        is_found = all(
            member.address == member.node.address for node in self.cluster.nodes for member in node.members.values()
        )
        if not (is_sound(primary) and primary.is_up and primary.primary is None and is_found):
            return False
        if not all(map(is_sound, self._givers.get(slot, ()))):
            return False
        if slot not in primary.migrating:
            return True
        target = primary.successor(primary.migrating[slot]).node
        return is_sound(target) and target.is_up and target.primary is None and slot in target.importing

    def is_found(self) -> bool:
        """Return whether a node at an address of the URL is sound; nodes may have left all others."""
        return any(is_sound(node) and f"{node.name}:{node.port}" in self.cluster.url for node in self.cluster.nodes)

    def changed(self, key: bytes | None) -> None:
        """Note what may be answered about a key, or about all, and fail-overs."""
        if key is None:
            self._note_fail_overs()
        super().changed(key)

    def extras(self) -> Iterator[Awaitable[None]]:
        """Let slots move."""
        if self.simulation.random.random() < 0.7:
            yield self._reshard()

    async def _heal(self) -> None:
        """Close slots that only their owner knows to move, too, as `--cluster fix` does."""
        await super()._heal()
        for node in self.cluster.nodes:
            for slot in [slot for slot, to in node.migrating.items() if slot not in node.successor(to).node.importing]:
                del node.migrating[slot]
        self.changed(None)

    async def _reshard(self) -> None:
        """Move one slot after the other, key by key; a move goes on when its nodes are there again."""
        random = self.simulation.random
        while self.goes_on():
            await asyncio.sleep(random.uniform(0.0, 4.0))
            slot = random.choice([*_SLOTS.values()])
            source = self.cluster.primary_of(slot)
            target = random.choice([node for node in self.cluster.nodes if node.primary is None and node is not source])
            is_known = source.members[target.number].primary is None and target.members[source.number].primary is None
            if not (source.reaches(target) and source.is_up and target.is_up and target.own.slots and is_known):
                continue
            self.cluster.begin_move([slot], source, target)
            while self.goes_on():
                await asyncio.sleep(random.choice([0.0, 0.3, 1.5, 6.0]) * random.random())
                source = self.cluster.primary_of(slot)
                target = source.successor(source.migrating[slot]).node if slot in source.migrating else source
                if target is source:
                    break  # a node has forgotten the move
                if not source.reaches(target) or slot not in target.importing or target.primary is not None:
                    continue
                keys = [key.decode() for key in source.databases[0].values if key_slot(key) == slot]
                self.cluster.move_keys(keys[:1], source, target)
                if len(keys) <= 1:
                    self.cluster.end_move([slot], source, target)
                    break

    def _note_fail_overs(self) -> None:
        """Note new primaries in the place of others; slots that move between primaries take their keys along.

        Clients know nodes by their addresses. When two primaries have swapped theirs, a map of a node that knows it of one
        of them names one address twice; by the next map, the other address has taken over.
        """
        before = self._primaries
        owners = {slot: self.cluster.primary_of(slot) for slot in _SLOTS.values()}
        self._primaries = {slot: (owner, owner.name) for slot, owner in owners.items()}
        hosts = {host for _, host in before.values()}, {host for _, host in self._primaries.values()}
        for slot, (was, host) in before.items():
            now = owners[slot]
            if host == now.name:
                continue
            self._have_moved = self._have_moved or was is now
            is_new = now.name not in hosts[0]
            if is_new or was is now:
                self.last_fail_over_s = self.now_s()
            else:
                self._givers.setdefault(slot, set()).add(was)
            keys = [key for key in KEYS if _SLOTS[key.encode()] == slot]
            has_replaced = is_new and host not in hosts[1] and not self._have_moved
            self.note_new_primary(was, host, now, keys, has_replaced=has_replaced)


def run_cluster(seed: int, *, harms: Sequence[str] | None = None) -> tuple[int, int]:
    """Run the scenario by a seed, and return how many answers were right, and how many keys had none for a reason.

    Args:
        seed: the seed.
        harms: the names of what happens besides moving slots; None lets the seed choose.
    """

    async def scenario(simulation: Simulation) -> tuple[int, int]:
        run = ClusterScenario(simulation, chosen(CLUSTER_HARMS, harms, simulation.random))
        await run.run()
        return run.answers, run.failures

    return simulate(scenario, seed=seed)
