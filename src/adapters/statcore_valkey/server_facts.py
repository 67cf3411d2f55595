"""What `statcore doctor` shows of each server of a store: version, clock, certificate, and what the user may not do."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, cast
from uuid import uuid4

import attrs

from statcore.concurrency import Deadline, run_concurrently
from statcore.errors import AccessDeniedError, ProtocolError, StatcoreError
from statcore.model.store_keys import activity_keys, container_count_key, endpoint_key, replica_key
from statcore.ports.diagnosis import ServerFacts
from statcore_connection.tls import certificate_expiry_s
from statcore_valkey.databases import DatabasePair
from statcore_valkey.error_mapping import RedirectError, is_refused_for_now
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.node import Command, Node, RedisNode
from statcore_valkey.topology import LONGEST_S, ask, fields_of, node_at

_NO_ID: Final = "00000000-0000-0000-0000-000000000000"
_PROGRAMS: Final = (("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly"), ("redis_version", "Redis"))
"""The field of INFO with the version, and the program that has it; Valkey has the field of Redis as well."""


@attrs.frozen(kw_only=True)
class _Permissions:
    """What the user may do, as in `ServerFacts`."""

    reads: Mapping[str, bool | None]
    writes: Mapping[str, bool | None]


async def read_server_facts(databases: DatabasePair, /) -> list[ServerFacts]:
    """Return what is known of each server of the statistics.

    A server that does not answer has a fault; one that refuses everything is left out. What the user may not do is tried
    with commands on keys that nobody has. Nothing is written: a server checks the permission first, and then refuses a SET
    whose options contradict each other.
    """
    keyspace, timeout_s = databases.statistics, min(databases.timeout_s, LONGEST_S)
    keyspace.lifetime.check(keyspace.name)
    async with Deadline(timeout_s, waiting_for=f"an answer about {keyspace.name}"):
        slots = await keyspace.discovery.current()
    addresses = [address for shard in slots.shards for address in (shard.primary, *shard.replicas)]
    is_one = keyspace.discovery.find is None
    activity = await _activity(databases.live, timeout_s)
    found = await run_concurrently(
        _facts("" if is_one else str(address), node_at(address, keyspace, slots), activity, timeout_s)
        for address in addresses
    )
    return [facts for facts in found if facts is not None]


async def _facts(address: str, node: Node, activity: _Permissions, timeout_s: float) -> ServerFacts | None:
    pong = await ask(node, ("PING",), timeout_s)
    if isinstance(pong, StatcoreError) and not isinstance(pong, AccessDeniedError):
        return ServerFacts(address=address, fault=str(pong))
    reads = await _allowed(_reads(node), node, timeout_s)
    if {False} == set(reads.values()):  # the server refuses the password, as the error of the store says
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
        address=address,
        program=next((f"{name} {fields[field]}" for field, name in _PROGRAMS if field in fields), None),
        clock_offset_s=offset_s,
        clock_error_s=(after_s - before_s) / 2,
        reads={**reads, **activity.reads},
        writes={**await _allowed(_writes(), node, timeout_s), **activity.writes},
        certificate_expires_s=await _certificate_expires_s(node, timeout_s),
    )


def _reads(node: Node) -> Iterator[tuple[str, Command]]:
    """Yield what reading statistics needs, and a command that shows whether the user may do it."""
    get = "GET" if node.is_cluster else "MGET"
    yield "PING", ("PING",)
    yield f"{get} of kernels, sessions and agents", (get, _NO_ID)
    yield f"{get} of endpoints", (get, endpoint_key(_NO_ID))
    yield f"{get} of replicas", (get, replica_key((_NO_ID, _NO_ID)))
    yield "PTTL (ages)", ("PTTL", _NO_ID)
    yield "EXISTS", ("EXISTS", _NO_ID)
    yield "TYPE", ("TYPE", _NO_ID)
    yield "STRLEN (large entries)", ("STRLEN", _NO_ID)
    if node.is_cluster:
        yield "ASKING (while slots move)", ("ASKING",)
        yield "CLUSTER SLOTS", ("CLUSTER", "SLOTS")
        yield "CLUSTER INFO (while nodes are cut off)", ("CLUSTER", "INFO")


def _writes() -> Iterator[tuple[str, Command]]:
    """Yield what writing statistics needs, and a command that shows whether the user may do it, and changes nothing."""
    yield "SET of kernels, sessions and agents", _set_nothing(_NO_ID)
    yield "SET of container counts", _set_nothing(container_count_key(_NO_ID))
    yield "SET of endpoints", _set_nothing(endpoint_key(_NO_ID))
    yield "SET of replicas", _set_nothing(replica_key((_NO_ID, _NO_ID)))
    yield "DEL", ("DEL", str(uuid4()))  # of a key that certainly nobody has


def _set_nothing(key: str) -> Command:
    return ("SET", key, "", "NX", "XX")


async def _activity(keyspace: Keyspace, timeout_s: float) -> _Permissions:
    """Return what the user may do with the activity of sessions, which may be in a database of its own."""
    nodes = [keyspace.node(shard.primary) for shard in (await keyspace.discovery.current()).shards]
    key, _ = activity_keys(_NO_ID)
    get = "GET" if nodes[0].is_cluster else "MGET"
    may_read, may_write = [
        _all([await _is_allowed(node, command, timeout_s) for node in nodes]) for command in ((get, key), _set_nothing(key))
    ]
    return _Permissions(
        reads={f"{get} of the activity of sessions": may_read}, writes={"SET of the activity of sessions": may_write}
    )


def _all(permissions: Collection[bool | None]) -> bool | None:
    return False if False in permissions else None if None in permissions else True


async def _allowed(commands: Iterable[tuple[str, Command]], node: Node, timeout_s: float) -> dict[str, bool | None]:
    return {what: await _is_allowed(node, command, timeout_s) for what, command in commands}


async def _is_allowed(node: Node, command: Command, timeout_s: float) -> bool | None:
    """Return whether the user may use a command, or None if the server does not say so."""
    answer = await ask(node, command, timeout_s)
    if not isinstance(answer, StatcoreError):
        return True
    if isinstance(answer, AccessDeniedError):
        return False
    if isinstance(answer, RedirectError) or is_refused_for_now(answer):  # a server checks the permission first
        return True
    is_contradiction = isinstance(answer, ProtocolError) and command[0] == "SET" and "unknown command" not in str(answer)
    return True if is_contradiction else None


async def _certificate_expires_s(node: Node, timeout_s: float) -> float | None:
    place = node.tls_place() if isinstance(node, RedisNode) else None
    if place is None:
        return None
    try:
        async with Deadline(timeout_s, waiting_for="the certificate"):
            return await certificate_expiry_s(*place)
    except (OSError, StatcoreError):  # the check of the store itself says why there is no connection
        return None
