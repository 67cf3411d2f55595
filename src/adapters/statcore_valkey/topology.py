"""The servers of a keyspace as they are now: roles, slots, and how far replicas are behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from statcore.concurrency import Deadline, run_concurrently
from statcore.errors import AccessDeniedError, StatcoreError
from statcore.ports.diagnosis import ServerState, Topology
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.node import Command, Node
from statcore_valkey.slot_map import Address, Shard, SlotMap, slot_ranges

Fields: TypeAlias = Mapping[str, str]

LONGEST_S: Final = 5.0
"""How long each server is waited for at most; `statcore doctor` has a deadline for all of them."""


async def inspect_topology(keyspace: Keyspace, /, *, timeout_s: float) -> Topology | None:
    """Return the servers of a keyspace; None if it is always on one server.

    Args:
        keyspace: the keyspace.
        timeout_s: how long the search for the servers may take, and then the answer of each server, in seconds.

    Raises:
        ClosedError: the store is closed, or belongs to another event loop.
        StatcoreError: no server tells the others.
    """
    if keyspace.discovery.find is None:
        return None
    keyspace.lifetime.check(keyspace.name)
    timeout_s = min(timeout_s, LONGEST_S)
    async with Deadline(timeout_s, waiting_for=f"an answer about {keyspace.name}"):
        await keyspace.discovery.refresh()
        slots = await keyspace.discovery.current()
    known = [address for shard in slots.shards for address in (shard.primary, *shard.replicas)]
    addresses = list(dict.fromkeys([*known, *keyspace.start]))
    sentinels = keyspace.discovery.nodes
    answers = await run_concurrently(
        ask(node_at(address, keyspace, slots), ("INFO", "replication"), timeout_s) for address in addresses
    )
    information = {address: fields_of(answer) for address, answer in zip(addresses, answers, strict=True)}
    servers = [_state(address, slots, information) for address in addresses]
    unowned = {slot for slot, owner in enumerate(slots.owners) if owner is None}
    if sentinels:
        pongs = await run_concurrently(ask(node, ("PING",), timeout_s) for node in sentinels.values())
        servers = [attrs.evolve(server, slots="") for server in servers] + [
            ServerState(address=str(address), role="sentinel", fault=_fault(pong))
            for address, pong in zip(sentinels, pongs, strict=True)
        ]
    else:  # the map is that of one node, which may still know the former owner of a slot
        for lost in await run_concurrently(_lost_slots(shard, keyspace, slots, timeout_s) for shard in slots.shards):
            unowned |= lost
    return Topology(servers=tuple(servers), unowned_slots=slot_ranges(sorted(unowned)))


def node_at(address: Address, keyspace: Keyspace, slots: SlotMap) -> Node:
    """Return the node of a server that is inspected, whatever its role is."""
    # A node of a sentinel's primary connects to no other server. A node of a cluster's replica needs one more permission.
    is_replica = bool(keyspace.discovery.nodes) and any(address in shard.replicas for shard in slots.shards)
    return keyspace.node(address, is_replica=is_replica)


async def _lost_slots(shard: Shard, keyspace: Keyspace, slots: SlotMap, timeout_s: float) -> set[int]:
    """Return the slots of a primary that have no owner by its own map; none if it does not answer."""
    answer = await ask(node_at(shard.primary, keyspace, slots), ("CLUSTER", "SLOTS"), timeout_s)
    if isinstance(answer, StatcoreError):
        return set()
    own = SlotMap.parse(answer, host=shard.primary.host)
    return {slot for slot, owners in enumerate(zip(slots.owners, own.owners, strict=True)) if owners == (shard, None)}


async def ask(node: Node, command: Command, timeout_s: float) -> object:
    """Return the answer of a server to a command, or its error."""
    try:
        async with Deadline(timeout_s, waiting_for="the event loop") as deadline:
            (answer,) = await node.exchange([command], deadline=deadline)
    except StatcoreError as error:
        return error
    return answer


def fields_of(answer: object) -> Fields | StatcoreError:
    """Return the fields in an answer to INFO, none if the user may not read them, or the error."""
    if isinstance(answer, StatcoreError) and not isinstance(answer, AccessDeniedError):
        return answer
    lines = answer.decode(errors="replace").splitlines() if isinstance(answer, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _state(address: Address, slots: SlotMap, information: Mapping[Address, Fields | StatcoreError]) -> ServerState:
    shard = next((shard for shard in slots.shards if address in (shard.primary, *shard.replicas)), None)
    found = information[address]
    fault = _fault(found)
    if shard is None:
        role, fault = "neither primary nor replica", fault or "the other servers do not know it"
        return ServerState(address=str(address), role=role, fault=fault)
    if address == shard.primary:
        return ServerState(address=str(address), role="primary", slots=_slots_of(slots, shard), fault=fault)
    of_primary = information[shard.primary]
    lag_bytes = None
    if not isinstance(found, StatcoreError):
        if not isinstance(of_primary, StatcoreError):
            lag_bytes = _lag_bytes(of_primary, found)
        if found.get("master_link_status") == "down":
            fault = "its link to the primary is down"
    return ServerState(address=str(address), role=f"replica of {shard.primary}", lag_bytes=lag_bytes, fault=fault)


def _lag_bytes(primary: Fields, replica: Fields) -> int | None:
    offsets = primary.get("master_repl_offset", ""), replica.get("slave_repl_offset", "")
    return max(0, int(offsets[0]) - int(offsets[1])) if all(map(str.isdecimal, offsets)) else None


def _fault(answer: object) -> str | None:
    return str(answer) if isinstance(answer, StatcoreError) else None


def _slots_of(slots: SlotMap, shard: Shard) -> str:
    return slot_ranges([slot for slot, owner in enumerate(slots.owners) if owner == shard])
