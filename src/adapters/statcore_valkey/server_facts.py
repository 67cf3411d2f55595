"""What `statcore doctor` shows of each server of a store: version, clock, certificate, and what the user may not do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, cast

import attrs

from statcore.concurrency import Deadline, run_concurrently
from statcore.errors import AccessDeniedError, StatcoreError
from statcore.model.store_keys import activity_keys, endpoint_key, replica_key
from statcore.ports.diagnosis import ServerFacts
from statcore_connection.tls import certificate_expiry_s
from statcore_valkey.databases import DatabasePair
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.node import Command, Node, RedisNode
from statcore_valkey.topology import LONGEST_S, ask, fields_of, node_at

_NO_ID: Final = "00000000-0000-0000-0000-000000000000"
_PROGRAMS: Final = (("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly"), ("redis_version", "Redis"))
"""The field of INFO with the version, and the program that has it; Valkey has the field of Redis as well."""


async def read_server_facts(databases: DatabasePair, /) -> list[ServerFacts]:
    """Return what is known of each server of the statistics; servers that do not answer are left out.

    Args:
        databases: the databases. What the user may not do is tried with keys that nobody has.
    """
    keyspace, timeout_s = databases.statistics, min(databases.timeout_s, LONGEST_S)
    keyspace.lifetime.check(keyspace.name)
    async with Deadline(timeout_s, waiting_for=f"an answer about {keyspace.name}"):
        slots = await keyspace.discovery.current()
    addresses = [address for shard in slots.shards for address in (shard.primary, *shard.replicas)]
    is_one = keyspace.discovery.find is None
    live = None if databases.live is keyspace else databases.live
    found = await run_concurrently(_facts(node_at(address, keyspace, slots), timeout_s) for address in addresses)
    refused = await _refused_activity(live, timeout_s)
    return [
        attrs.evolve(facts, address="" if is_one else str(address), refused=(*facts.refused, *refused))
        for address, facts in zip(addresses, found, strict=True)
        if facts is not None
    ]


async def _facts(node: Node, timeout_s: float) -> ServerFacts | None:
    pong = await ask(node, ("PING",), timeout_s)
    if isinstance(pong, StatcoreError) and not isinstance(pong, AccessDeniedError):
        return None
    information = fields_of(await ask(node, ("INFO", "server"), timeout_s))
    fields = dict[str, str]() if isinstance(information, StatcoreError) else information
    before_s = time.time()
    answer = await ask(node, ("TIME",), timeout_s)
    after_s = time.time()
    offset_s = None
    if isinstance(answer, list):
        seconds, microseconds = map(int, cast("list[bytes]", answer))
        offset_s = seconds + microseconds / 1e6 - (before_s + after_s) / 2
    return ServerFacts(
        program=next((f"{name} {fields[field]}" for field, name in _PROGRAMS if field in fields), None),
        clock_offset_s=offset_s,
        clock_error_s=(after_s - before_s) / 2,
        refused=tuple([what for what, command in _needed(node) if await _is_refused(node, command, timeout_s)]),
        certificate_expires_s=await _certificate_expires_s(node, timeout_s),
    )


def _needed(node: Node) -> Iterator[tuple[str, Command]]:
    """Yield the commands that reading statistics sends, each with what it is for."""
    get = "GET" if node.is_cluster else "MGET"
    yield "PING", ("PING",)
    yield f"{get} of kernels, sessions and agents", (get, _NO_ID)
    yield f"{get} of endpoints", (get, endpoint_key(_NO_ID))
    yield f"{get} of replicas", (get, replica_key((_NO_ID, _NO_ID)))
    yield "PTTL, which tells ages", ("PTTL", _NO_ID)
    yield "EXISTS", ("EXISTS", _NO_ID)
    yield "TYPE", ("TYPE", _NO_ID)
    if node.is_cluster:
        yield "GET of the activity of sessions", ("GET", activity_keys(_NO_ID)[0])
        yield "CLUSTER SLOTS", ("CLUSTER", "SLOTS")


async def _refused_activity(live: Keyspace | None, timeout_s: float) -> list[str]:
    """Return what the user may not do in a database of its own with the activity of sessions."""
    if live is None:
        return []
    slots = await live.discovery.current()
    nodes = [live.node(shard.primary) for shard in slots.shards]
    command: Command = ("MGET", *activity_keys(_NO_ID))
    refused = [await _is_refused(node, command, timeout_s) for node in nodes]
    return ["MGET of the activity of sessions"] if any(refused) else []


async def _is_refused(node: Node, command: Command, timeout_s: float) -> bool:
    # A node of a cluster redirects for a key of another node only if the user may use the command and the key.
    return isinstance(await ask(node, command, timeout_s), AccessDeniedError)


async def _certificate_expires_s(node: Node, timeout_s: float) -> float | None:
    place = node.tls_place() if isinstance(node, RedisNode) else None
    if place is None:
        return None
    try:
        async with Deadline(timeout_s, waiting_for="the certificate"):
            return await certificate_expiry_s(*place)
    except (OSError, StatcoreError):  # the check of the store itself says why there is no connection
        return None
