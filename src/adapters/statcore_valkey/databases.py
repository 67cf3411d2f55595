"""The two databases of the wire format, on a server, a cluster, or servers that sentinels know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias, cast

import attrs
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - redis-py's own

from statcore.concurrency import Deadline
from statcore.errors import AccessDeniedError, InputError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.discovery import UNSYNCED_S, Discovery, first_answers
from statcore_valkey.fan_out import Unsynced
from statcore_valkey.keyspace import Keyspace
from statcore_valkey.node import RedisNode
from statcore_valkey.options import ValkeyOptions
from statcore_valkey.server import ServerUrl, driver_settings, new_pool
from statcore_valkey.slot_map import Address, SlotMap

Client: TypeAlias = Redis | RedisCluster

_NOT_OURS: Final = ("max_connections", "response_callbacks", "redis_connect_func", "himport_registry", "decode_responses")
"""Settings of a client of a cluster that are not settings of its connections, or that are about its own commands."""


@attrs.frozen(eq=False)
class DatabasePair:
    """The two databases of the wire format, opened and closed together.

    Args:
        statistics: the database with the statistics of kernels, sessions, agents, endpoints and replicas.
        live: the database with the activity of sessions.
        timeout_s: the deadline of a call in seconds.
    """

    statistics: Keyspace
    live: Keyspace
    timeout_s: float

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions) -> Self:
        """Return the databases of the servers at a URL, by their numbers in the options; nothing is sent yet.

        Raises:
            InputError: the URL or an option cannot be used, or they contradict each other.
        """
        server_url = ServerUrl.from_url(url)
        numbers = server_url.databases(options)
        settings = server_url.connection_settings(options)
        lifetime = Lifetime()
        if server_url.cluster:
            both = _cluster(server_url.cluster, settings, options, lifetime)
            return cls(both, both, options.timeout_s)
        if server_url.sentinels:
            discovery = _sentinels(server_url, settings, options, lifetime)
            first, second = (
                _of_sentinels(server_url, discovery, settings | {"db": db}, options, lifetime) for db in numbers
            )
        else:
            pools = [new_pool(server_url.address, settings | {"db": db}) for db in numbers]
            first, second = (_one(pool, owned=True, options=options, lifetime=lifetime) for pool in pools)
        return cls(first, second, options.timeout_s)

    @classmethod
    def from_clients(cls, statistics: Client, live: Client, /, *, options: ValkeyOptions) -> Self:
        """Return the databases of clients that a host hands in; the host closes them.

        Raises:
            InputError: a client cannot be used; the message names the argument.
        """
        lifetime = Lifetime()
        first = _of_client(statistics, name="statistics", options=options, lifetime=lifetime)
        second = first if live is statistics else _of_client(live, name="live", options=options, lifetime=lifetime)
        return cls(first, second, options.timeout_s)

    def deadline(self) -> Deadline:
        """Return the deadline of one call, for all its exchanges."""
        return Deadline(self.timeout_s, waiting_for="the event loop")

    async def aclose(self) -> None:
        """Close the owned connections.

        Raises:
            ClosedError: the store belongs to another event loop, which is not closed.
        """
        try:
            await self.statistics.aclose()
        finally:
            await self.live.aclose()


def _one(pool: ConnectionPool, *, owned: bool, options: ValkeyOptions, lifetime: Lifetime) -> Keyspace:
    """Return a keyspace on one server."""
    node = RedisNode(pool=pool, owned=owned, pool_size=options.pool_size, lifetime=lifetime)
    return Keyspace.of_one(node, lifetime=lifetime)


def _cluster(
    start: Sequence[Address],
    settings: dict[str, Any],
    options: ValkeyOptions,
    lifetime: Lifetime,
    remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None,
) -> Keyspace:
    """Return a keyspace on a cluster.

    Args:
        start: the addresses of nodes by which the others are found.
        settings: settings of the driver's connections.
        options: the settings of the store.
        lifetime: the lifetime of the store.
        remap: returns the address at which a node is reached, for the address that the cluster tells.
    """

    def new_node(address: Address, is_replica: bool) -> RedisNode:  # noqa: FBT001 - `NewNode`
        own = settings | {"redis_connect_func": _read_only} if is_replica else settings
        reached = address if remap is None or address in start else Address(*remap((address.host, address.port)))
        return RedisNode(
            pool=new_pool(reached, own),
            owned=True,
            pool_size=options.pool_size,
            lifetime=lifetime,
            role=", a replica of a cluster" if is_replica else ", a node of a cluster",
            is_cluster=True,
        )

    return Keyspace.of_cluster(
        start, new_node, timeout_s=options.timeout_s, lifetime=lifetime, reads_replicas=options.read_from_replicas
    )


async def _read_only(connection: Any) -> None:  # noqa: ANN401 - the driver's
    """Set up a connection on which a replica of a cluster answers reads itself."""
    await connection.on_connect()
    await connection.send_command("READONLY")
    await connection.read_response()


def _sentinels(server_url: ServerUrl, settings: dict[str, Any], options: ValkeyOptions, lifetime: Lifetime) -> Discovery:
    """Return the discovery of servers that sentinels know."""
    own = server_url.sentinel_settings(settings, options)
    nodes = {
        address: RedisNode(
            pool=new_pool(address, own), owned=True, pool_size=options.pool_size, lifetime=lifetime, role=", a sentinel"
        )
        for address in server_url.sentinels
    }
    name = server_url.master or ""

    async def servers_of(node: RedisNode) -> SlotMap:
        async with Deadline(options.timeout_s, waiting_for="the event loop") as deadline:
            master = await node.exchange(
                [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name)], deadline=deadline
            )
            replicas: list[Any] = [[]]
            with suppress(AccessDeniedError):  # then there are none for reading
                replicas = await node.exchange([("SENTINEL", "REPLICAS", name)], deadline=deadline)
        return SlotMap.parse_sentinel(*master, *replicas)

    async def find(known: SlotMap | None) -> SlotMap:
        """Return the map of the sentinels that know the latest fail-over; half of them may know less than this client."""
        maps = await first_answers([servers_of(node) for node in nodes.values()])
        primaries = [slots.shards[0].primary for slots in maps]
        latest = max(maps, key=lambda slots: (slots.epoch, primaries.count(slots.shards[0].primary)))
        if known is not None and latest.epoch < known.epoch and 2 * len(maps) <= len(nodes):
            return known
        return latest

    return Discovery(find=find, nodes=nodes, ages=True)


def _of_sentinels(
    server_url: ServerUrl, discovery: Discovery, settings: dict[str, Any], options: ValkeyOptions, lifetime: Lifetime
) -> Keyspace:
    """Return a keyspace on the servers that sentinels know.

    A primary that is replaced in good health answers on, as a replica, and after a restart it may be empty. But its
    connections are cut, so each new connection is used only if the sentinels still name its server, and if the server
    itself says that it has this role. A server that has the other role since a restart has other data, or lacks some.
    """

    def new_node(address: Address, is_replica: bool) -> RedisNode:  # noqa: FBT001 - `NewNode`
        async def check(connection: Any) -> None:  # noqa: ANN401 - the driver's
            await connection.on_connect()
            if not (is_replica or await discovery.confirms(address)):
                raise ConnectionError("the sentinels name another master")
            if await _own_role(connection) == (b"master" if is_replica else b"replica"):
                raise ConnectionError("the server and the sentinels name different roles of the server")

        async def connect(connection: Any) -> None:  # noqa: ANN401 - the driver's
            try:
                await check(connection)
            except BaseException:  # after a cancellation the driver would keep the connection, and use it
                await connection.disconnect(nowait=True)
                raise

        role = f", {'a replica of' if is_replica else 'the master'} {server_url.master!r} of a sentinel"
        pool = new_pool(address, settings | {"redis_connect_func": connect})
        return RedisNode(pool=pool, owned=True, pool_size=options.pool_size, lifetime=lifetime, role=role)

    return Keyspace(
        name=f"the master {server_url.master!r} of the sentinels {', '.join(map(str, server_url.sentinels))}",
        discovery=discovery,
        new_node=new_node,
        lifetime=lifetime,
        reads_replicas=options.read_from_replicas,
    )


async def _own_role(connection: Any) -> object:  # noqa: ANN401 - the driver's
    """Return what a server says that it is, master or replica; None if it does not say it, as before Redis 6.

    Every user may use HELLO, unlike ROLE and INFO.
    """
    await connection.send_command("HELLO", 2)
    try:
        answer = await connection.read_response()
    except ResponseError:
        return None
    words = cast("list[Any]", cast("Any", answer)) if isinstance(answer, list) else []
    return next((value for name, value in zip(words[::2], words[1::2], strict=False) if name == b"role"), None)


def _of_client(client: Client, *, name: str, options: ValkeyOptions, lifetime: Lifetime) -> Keyspace:
    if isinstance(client, RedisCluster):
        own = cast("Any", client)  # it has no types for these
        settings = {key: value for key, value in own.connection_kwargs.items() if key not in _NOT_OURS}
        settings = {key: value for key, value in settings.items() if "maint_notifications" not in key}
        start = [Address(node.host, int(node.port)) for node in own.nodes_manager.startup_nodes.values()]
        settings |= driver_settings(options)
        return _cluster(start, settings, options, lifetime, remap=own.nodes_manager.address_remap)
    if not isinstance(client, Redis):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        kind = type(client)
        raise InputError(
            f"{name} cannot be {kind.__module__}.{kind.__qualname__}; expected redis.asyncio.Redis, as its constructor,"
            " Redis.from_pool(pool) or a Sentinel's master_for(…) makes it, or redis.asyncio.RedisCluster. Clients of other"
            " drivers and without asyncio are not supported; ClientStatistics takes clients with methods"
            " get_…_statistics_batch"
        )
    pool = client.connection_pool
    keyspace = _one(pool, owned=False, options=options, lifetime=lifetime)
    return attrs.evolve(keyspace, judge=_HostsMaster(pool).judge) if isinstance(pool, SentinelConnectionPool) else keyspace


@attrs.define(eq=False)
class _HostsMaster:
    """The master to which a host's client of sentinels connects; missing keys say nothing after a fail-over."""

    _pool: Any  # it has no types
    _master: object = attrs.field(default=None, init=False)
    _unsynced_until_s: float = attrs.field(default=float("-inf"), init=False)

    def judge(self, answers: list[Any], service: str) -> list[Any]:
        """Return answers with `Unsynced` in place of None, a short time after a fail-over."""
        now_s = asyncio.get_running_loop().time()
        before, self._master = self._master, self._pool.master_address or self._master
        if before not in (None, self._master):
            self._unsynced_until_s = now_s + UNSYNCED_S
        if now_s >= self._unsynced_until_s:
            return answers
        return [Unsynced(service) if answer is None else answer for answer in answers]
