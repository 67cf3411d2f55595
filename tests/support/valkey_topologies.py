"""Real Valkey clusters and sentinels on loopback, which fail over by themselves and whose slots move."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
from redis.crc import key_slot
from redis.exceptions import RedisError
from tests.support.valkey_network import running_network
from tests.support.valkey_nodes import ADMIN, DATA_SETTINGS, OPEN, READER, WATCHER, Security, ValkeyNode, new_node

from statcore.testing.servers import LOOPBACK

_SLOTS: Final = 16_384
MASTER: Final = "mymaster"
"""The name under which the sentinels know the primary."""
_CHANGE_S: Final = 60.0
"""How long a fail-over, or another change that the servers make by themselves, may take on a busy machine."""
_LOG_LINES: Final = 12
"""How many lines of each server's log tell why a change did not come."""
_DOWN_AFTER_MS: Final = 1_000
"""How long a primary is silent before sentinels begin to replace it."""
_MANUAL_S: Final = 6.0
"""After how long a replica is told again to take over; a server gives up after five seconds."""
_SLOTS_AT_ONCE: Final = 50
_KEYS_AT_ONCE: Final = 1_000
_ROUNDS: Final = 100
_MIGRATE_MS: Final = 5_000
_NEVER_S: Final = 3_600
"""How long a primary waits before it sends its data to a new replica, where no replica is to get any."""


@attrs.frozen(kw_only=True, eq=False)
class ValkeyCluster:
    """A cluster: its nodes, primaries first, as they were at the start."""

    nodes: Sequence[ValkeyNode]
    security: Security

    @property
    def url(self) -> str:
        """The URL for statcore, with the addresses that the nodes announce."""
        return self.security.url("+cluster", ",".join(map(str, self.nodes)))

    @property
    def well(self) -> list[ValkeyNode]:
        """The nodes that run, are not stopped, and are not isolated."""
        return [node for node in self.nodes if node.is_well]

    @property
    def primaries(self) -> list[ValkeyNode]:
        """The nodes that own slots, in the order of their first slot, as a well node knows them."""
        return list(dict.fromkeys(owner for _, _, owner in self.ranges()))

    def ranges(self) -> list[tuple[int, int, ValkeyNode]]:
        """Return the first and last slot of each range, and its primary, as a well node knows them."""
        return _ranges(self.well[0], self.nodes)

    def node_of(self, key: str) -> ValkeyNode:
        """Return the primary that owns a key."""
        return self.owners([key])[key]

    def owners(self, keys: Iterable[str]) -> dict[str, ValkeyNode]:
        """Return the primary that owns each key."""
        ranges = self.ranges()
        slots = {key: key_slot(key.encode()) for key in keys}
        return {key: next(owner for first, last, owner in ranges if first <= slot <= last) for key, slot in slots.items()}

    def store(self, values: Mapping[str, bytes]) -> None:
        """Set keys that expire in a day, and wait until all replicas have them."""

        def stored() -> bool:
            owners = self.owners(values)
            for node in set(owners.values()):
                node.store({key: value for key, value in values.items() if owners[key] is node})
            return True

        self._wait(stored, "nodes that agree on their slots")  # after a fail-over they may not agree yet

    def replica_of(self, primary: ValkeyNode) -> ValkeyNode:
        """Return a well replica of a primary."""
        return next(node for node in self.well if _primary_port(node) == primary.announced_port)

    def flush(self) -> None:
        """Remove every key."""
        for node in self.primaries:
            node.flush()

    def wait_until_whole(self) -> None:
        """Wait until all well nodes know the same well owners of the slots, and well replicas have the data."""
        self._wait(
            lambda: len(set(map(_owners, self.well))) == 1 and all(map(self._is_whole, self.well)), "a whole cluster"
        )

    def wait_until_failed_over(self, node: ValkeyNode) -> None:
        """Wait until every well node knows other owners of the slots of a primary that is not well."""
        self._wait(lambda: all(self._has_replaced(node, witness) for witness in self.well), f"a fail-over of {node}")
        self.wait_until_whole()

    def fail_over(self, primary: ValkeyNode) -> None:
        """Let a replica take over from a primary that is well, without a loss, and wait until it has."""
        replica = self.replica_of(primary)
        asked_s = float("-inf")

        def taken_over() -> bool:
            nonlocal asked_s
            if replica in self.primaries:
                return True
            if time.monotonic() > asked_s + _MANUAL_S:
                replica.command("CLUSTER", "FAILOVER")
                asked_s = time.monotonic()
            return False

        self._wait(taken_over, f"a fail-over of {primary} to {replica}")
        self.wait_until_whole()

    def wait_until_replicated(self) -> None:
        """Wait until the cluster is whole, each primary has a replica with its data, and all nodes find each other well.

        Only then can each primary be replaced, and do all nodes tell clients of the replicas. Where a primary has two of
        them, one goes to a primary without any.
        """

        def is_replicated() -> bool:
            replicated = {_primary_port(node) for node in self.well if _is_synced(node)}
            has_replicas = replicated >= {primary.announced_port for primary in self.primaries}
            known = all(_count_known(node) == len(self.nodes) and _lists_replicas(node) for node in self.well)
            return has_replicas and known

        self.wait_until_whole()
        self._wait(is_replicated, "a replica of each primary")

    def heal(self) -> None:
        """Let every node recover, and wait until the cluster is whole."""
        _heal(self.nodes, self.nodes)
        self.wait_until_whole()

    def disown(self, first: int, last: int) -> bool:
        """Let slots have no owner; return whether a node knew one, as it may again if a message was on its way to it."""
        knowing = [node for node in self.well if any(start <= last and first <= end for start, end, _ in _owners(node))]
        for node in knowing:
            node.command("CLUSTER", "DELSLOTSRANGE", first, last)
        return bool(knowing)

    def empty_replica(self, primary: ValkeyNode) -> None:
        """Restart the replica of a primary that then sends it no data: the cluster may promote an empty server."""
        primary.command("CONFIG", "SET", "repl-diskless-sync-delay", _NEVER_S)
        replica = self.replica_of(primary)
        replica.empty()
        self._wait(lambda: _primary_port(replica) == primary.announced_port and not _is_synced(replica), "an empty replica")

    def move_slots(self, number: int, source: ValkeyNode, target: ValkeyNode) -> list[int]:
        """Move slots with their keys from a primary to another, as `valkey-cli --cluster reshard` does; return them."""
        owned = (slot for first, last, owner in self.ranges() if owner is source for slot in range(first, last + 1))
        slots = [slot for slot, _ in zip(owned, range(number), strict=False)]
        for group in _chunks(slots, _SLOTS_AT_ONCE):
            self.begin_move(group, source, target)
            self._move_keys(group, source, target)
            self.end_move(group, source, target)
        return slots

    def begin_move(self, slots: Sequence[int], source: ValkeyNode, target: ValkeyNode) -> None:
        """Open slots at both primaries: the source redirects clients to the target for keys that it does not have."""
        _assign(target, slots, "IMPORTING", source)
        _assign(source, slots, "MIGRATING", target)

    def move_keys(self, keys: Sequence[str | bytes], source: ValkeyNode, target: ValkeyNode) -> None:
        """Move keys of a slot that is open at both primaries."""
        access = ["AUTH2", ADMIN.name, ADMIN.password] if self.security.users else []
        source.command("MIGRATE", LOOPBACK, target.announced_port, "", 0, _MIGRATE_MS, *access, "KEYS", *keys)

    def end_move(self, slots: Sequence[int], source: ValkeyNode, target: ValkeyNode) -> None:
        """Give slots without keys at the source to the target."""
        for node in (target, source):
            _assign(node, slots, "NODE", target)

    def announce(self, node: ValkeyNode, port: int) -> None:
        """Let a node be found at another port, such as a test's own proxy, and wait until all well nodes know it."""
        node.command("CONFIG", "SET", "cluster-announce-tls-port" if self.security.tls else "cluster-announce-port", port)
        id_ = node.command("CLUSTER", "MYID")
        node.announced_port = port
        self._wait(
            lambda: all(_address(witness, id_) == str(node) for witness in self.well), f"the announced port of {node}"
        )

    def _move_keys(self, slots: Sequence[int], source: ValkeyNode, target: ValkeyNode) -> None:
        for _ in range(_ROUNDS):
            batches = source.pipelined([("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_AT_ONCE) for slot in slots])
            if not any(batches):
                return
            for keys in filter(None, batches):
                self.move_keys(keys, source, target)
        raise RuntimeError(f"slots {slots[0]} to {slots[-1]} get new keys faster than they can be moved")

    def _is_whole(self, node: ValkeyNode) -> bool:
        covered = sum(last - first + 1 for first, last, owner in _ranges(node, self.nodes) if owner.is_well)
        return covered == _SLOTS and b"cluster_state:ok" in node.command("CLUSTER", "INFO") and _is_synced(node)

    def _has_replaced(self, node: ValkeyNode, witness: ValkeyNode) -> bool:
        return node is not witness and all(owner is not node for _, _, owner in _ranges(witness, self.nodes))

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        _wait(is_so, what, self.nodes)


@contextmanager
def running_cluster(
    folder: Path,
    *,
    primaries: int = 3,
    replicas: int = 1,
    node_timeout_ms: int = 1_000,
    security: Security = OPEN,
    proxied: bool = False,
    settings: Sequence[tuple[str, str]] = (),
) -> Generator[ValkeyCluster]:
    """Run a cluster until the block ends; yield it once it is whole.

    Args:
        folder: where its files are made.
        primaries: how many nodes own slots.
        replicas: how many replicas each of them has.
        node_timeout_ms: how long a node is silent before the others begin to replace it.
        security: how to connect.
        proxied: whether there are proxies in front of all nodes, so that they can be isolated.
        settings: more of each node's configuration, which comes last.
    """
    fixed = [
        *DATA_SETTINGS,
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("cluster-node-timeout", str(node_timeout_ms)),
        ("cluster-require-full-coverage", "no"),  # the other nodes go on while the slots of one have no owner
        ("cluster-replica-validity-factor", "0"),  # also a replica without data may replace its primary
        *([("tls-cluster", "yes")] if security.tls else []),
        *settings,
    ]
    with ExitStack() as stack:
        network = stack.enter_context(running_network()) if proxied else None
        nodes = [
            new_node(folder, settings=fixed, security=security, users=(ADMIN, READER), network=network, cluster=True)
            for _ in range(primaries * (1 + replicas))
        ]
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        cluster = ValkeyCluster(nodes=nodes, security=security)
        _form(cluster, primaries)
        yield cluster


@attrs.frozen(kw_only=True, eq=False)
class ValkeySentinels:
    """A primary with replicas, and the sentinels that watch them."""

    servers: Sequence[ValkeyNode]
    sentinels: Sequence[ValkeyNode]
    security: Security

    @property
    def url(self) -> str:
        """The URL for statcore; the sentinels' own user is `WATCHER`."""
        return self.security.url("+sentinel", f"{','.join(map(str, self.sentinels))}/{MASTER}")

    @property
    def primary(self) -> ValkeyNode:
        """The primary that a well sentinel names."""
        return self._primary_of(next(sentinel for sentinel in self.sentinels if sentinel.is_well))

    @property
    def well(self) -> list[ValkeyNode]:
        """The servers that run, are not stopped, and are not isolated."""
        return [server for server in self.servers if server.is_well]

    @property
    def replicas(self) -> list[ValkeyNode]:
        """The well servers that the sentinels do not name as the primary."""
        primary = self.primary
        return [server for server in self.well if server is not primary]

    def flush(self) -> None:
        """Remove every key."""
        self.primary.flush()

    def wait_until_whole(self) -> None:
        """Wait until well sentinels agree on a well primary and find each other, and other well servers have its data."""
        self._wait(self._is_whole, "sentinels that agree, and replicas with the data")

    def wait_until_failed_over(self, primary: ValkeyNode) -> None:
        """Wait until every well sentinel names another primary, and that server takes writes."""
        self._wait(lambda: self._has_replaced(primary), f"a fail-over of {primary}")

    def heal(self) -> None:
        """Let every server and sentinel recover, and wait until they agree and the replicas have the data."""
        _heal((*self.servers, *self.sentinels), self.servers)
        self.wait_until_whole()

    def empty_replicas(self) -> None:
        """Restart the replicas, whose next primary then sends them no data: the sentinels may promote an empty server."""
        primary = self.primary
        for server in self.servers:
            server.command("CONFIG", "SET", "repl-diskless-sync-delay", _NEVER_S)
        replicas = self.replicas
        for replica in replicas:
            replica.empty()
            replica.command("CONFIG", "SET", "repl-diskless-sync-delay", _NEVER_S)
            replica.command("REPLICAOF", LOOPBACK, primary.announced_port)
        ports = {replica.announced_port for replica in replicas}
        self._wait(lambda: all(_replicas(sentinel, link=b"err") == ports for sentinel in self.sentinels), "empty replicas")

    def fail_over(self) -> None:
        """Let the sentinels promote a replica while the primary is well, and wait until they have.

        A sentinel refuses where it has not heard of a good replica for a moment, and gives up if the replica does not obey
        in time. No sentinel tries again while the primary is well.
        """
        primary = self.primary
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.is_well)

        def is_replaced() -> bool:
            if self._primary_of(sentinel) is primary and b"failover_in_progress" not in _master(sentinel)[b"flags"]:
                sentinel.command("SENTINEL", "FAILOVER", MASTER)
            return self._has_replaced(primary)

        self._wait(is_replaced, f"a fail-over of {primary}")

    def _primary_of(self, sentinel: ValkeyNode) -> ValkeyNode:
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(server for server in self.servers if server.announced_port == int(port))

    def _is_whole(self) -> bool:
        sentinels = [sentinel for sentinel in self.sentinels if sentinel.is_well]
        named = set(map(self._primary_of, sentinels))
        if len(named) != 1:
            return False
        (primary,) = named
        if not primary.is_well or primary.replication()["role"] != "master":
            return False
        others = {server.announced_port for server in self.well if server is not primary}
        return all(map(_is_synced, self.well)) and all(
            _master(sentinel)[b"flags"] == b"master"
            and _replicas(sentinel, link=b"ok") == others
            and _count_others(sentinel) >= len(sentinels) - 1
            and not _is_in_tilt(sentinel)
            for sentinel in sentinels
        )

    def _has_replaced(self, primary: ValkeyNode) -> bool:
        named = {self._primary_of(sentinel) for sentinel in self.sentinels if sentinel.is_well}
        return len(named) == 1 and primary not in named and named.pop().replication()["role"] == "master"

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        _wait(is_so, what, (*self.sentinels, *self.servers))


@contextmanager
def running_sentinels(
    folder: Path,
    *,
    replicas: int = 2,
    sentinels: int = 3,
    security: Security = OPEN,
    proxied: bool = False,
) -> Generator[ValkeySentinels]:
    """Run a primary with replicas and sentinels until the block ends; yield them once they know each other.

    Args:
        folder: where their files are made.
        replicas: how many replicas the primary has.
        sentinels: how many sentinels there are; the majority decides.
        security: how to connect, to servers and to sentinels.
        proxied: whether there are proxies in front of all of them, so that they can be isolated.
    """
    with ExitStack() as stack:
        network = stack.enter_context(running_network()) if proxied else None
        servers = [
            new_node(folder, settings=DATA_SETTINGS, security=security, users=(ADMIN, READER), network=network)
            for _ in range(1 + replicas)
        ]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        primary, *others = servers
        for other in others:
            other.command("REPLICAOF", LOOPBACK, primary.announced_port)
        _wait(lambda: all(map(_is_synced, servers)), "replicas with the data", servers)
        watch = [
            ("sentinel", f"monitor {MASTER} {LOOPBACK} {primary.announced_port} {sentinels // 2 + 1}"),
            ("sentinel", f"down-after-milliseconds {MASTER} {_DOWN_AFTER_MS}"),
            ("sentinel", f"failover-timeout {MASTER} {3 * _DOWN_AFTER_MS}"),
        ]
        if security.users:
            watch += [
                ("sentinel", f"auth-user {MASTER} {ADMIN.name}"),
                ("sentinel", f"auth-pass {MASTER} {ADMIN.password}"),
                ("sentinel", f"sentinel-user {ADMIN.name}"),
                ("sentinel", f"sentinel-pass {ADMIN.password}"),
            ]
        watchers = [
            new_node(folder, settings=watch, security=security, users=(ADMIN, WATCHER), network=network, sentinel=True)
            for _ in range(sentinels)
        ]
        for watcher in watchers:
            stack.callback(watcher.kill)
            watcher.start()
        topology = ValkeySentinels(servers=servers, sentinels=watchers, security=security)
        topology.wait_until_whole()
        yield topology


def _form(cluster: ValkeyCluster, primaries: int) -> None:
    """Give the primaries their slots, let all nodes meet, and give each primary its replicas."""
    nodes = cluster.nodes
    for number, node in enumerate(nodes):
        node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            first, last = _SLOTS * number // primaries, _SLOTS * (number + 1) // primaries - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for other in nodes[:number]:
            node.command("CLUSTER", "MEET", LOOPBACK, other.announced_port, other.announced_bus_port)
    _wait(lambda: all(_count_known(node) == len(nodes) for node in nodes), "nodes that know each other", nodes)
    ids = [node.command("CLUSTER", "MYID") for node in nodes]
    for number, node in enumerate(nodes[primaries:]):
        node.command("CLUSTER", "REPLICATE", ids[number % primaries])
    cluster.wait_until_whole()
    replicas = len(nodes) - primaries
    _wait(lambda: all(_replicas_listed(node) == replicas for node in nodes), "nodes that know all replicas", nodes)


def _count_known(node: ValkeyNode) -> int:
    """Return how many nodes a node finds well, with itself."""
    lines: list[str] = node.command("CLUSTER", "NODES").decode().splitlines()
    words = (line.split() for line in lines)
    return sum(
        link == "connected" and not {"handshake", "fail", "fail?"} & {*flags.split(",")}
        for _, _, flags, _, _, _, _, link, *_ in words
    )


def _replicas_listed(node: ValkeyNode) -> int:
    return sum(len(entry) - 3 for entry in node.command("CLUSTER", "SLOTS"))


def _lists_replicas(node: ValkeyNode) -> bool:
    """Return whether a node tells clients of a replica for all slots; it leaves out those that it knows no data of."""
    return all(len(entry) > 3 for entry in node.command("CLUSTER", "SLOTS"))


def _address(node: ValkeyNode, id_: bytes) -> str:
    lines: list[str] = node.command("CLUSTER", "NODES").decode().splitlines()
    return next((line.split()[1].partition("@")[0] for line in lines if line.startswith(id_.decode())), "")


def _ranges(witness: ValkeyNode, nodes: Sequence[ValkeyNode]) -> list[tuple[int, int, ValkeyNode]]:
    by_port = {node.announced_port: node for node in nodes}
    return [(first, last, by_port[port]) for first, last, port in _owners(witness)]


def _owners(node: ValkeyNode) -> tuple[tuple[int, int, int], ...]:
    return tuple(sorted((first, last, owner[1]) for first, last, owner, *_ in node.command("CLUSTER", "SLOTS")))


def _assign(node: ValkeyNode, slots: Iterable[int], what: str, other: ValkeyNode) -> None:
    id_ = other.command("CLUSTER", "MYID")
    node.pipelined([("CLUSTER", "SETSLOT", slot, what, id_) for slot in slots])


def _heal(nodes: Iterable[ValkeyNode], servers: Iterable[ValkeyNode]) -> None:
    for node in nodes:
        if not node.is_well:
            node.recover()
    for server in servers:
        server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)


def _primary_port(node: ValkeyNode) -> int:
    port: int = node.replication().get("master_port", 0)
    return port


def _is_synced(node: ValkeyNode) -> bool:
    replication = node.replication()
    return bool(replication["role"] == "master" or replication["master_link_status"] == "up")


def _replicas(sentinel: ValkeyNode, *, link: bytes) -> set[int]:
    """Return the ports of the replicas that a sentinel finds well, and whose link to the primary is in this state."""
    replicas = map(_fields, sentinel.command("SENTINEL", "REPLICAS", MASTER))
    well = (replica for replica in replicas if (b"slave", link) == (replica[b"flags"], replica[b"master-link-status"]))
    return {int(replica[b"port"]) for replica in well}


def _count_others(sentinel: ValkeyNode) -> int:
    """Return how many other sentinels a sentinel finds well."""
    others = map(_fields, sentinel.command("SENTINEL", "SENTINELS", MASTER))
    return sum(other[b"flags"] == b"sentinel" for other in others)


def _master(sentinel: ValkeyNode) -> dict[bytes, bytes]:
    """Return what a sentinel says about the primary, by field."""
    return _fields(sentinel.command("SENTINEL", "MASTER", MASTER))


def _is_in_tilt(sentinel: ValkeyNode) -> bool:
    """Return whether a sentinel replaces no primary, as it was stopped or had no processor a moment ago."""
    return bool(sentinel.command("INFO", "sentinel")["sentinel_tilt"])  # the client parses this answer


def _fields(words: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(words[::2], words[1::2], strict=True))


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _wait(is_so: Callable[[], bool], what: str, nodes: Iterable[ValkeyNode]) -> None:
    deadline = time.monotonic() + _CHANGE_S
    while True:
        # A server may be starting, or loading its primary's data; a node may know a port that another had before.
        with suppress(RedisError, OSError, KeyError):
            if is_so():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("\n".join([f"waited {_CHANGE_S:g} s for {what}", *map(_report, nodes)]))
        time.sleep(0.02)  # servers tell nobody when they change


def _report(node: ValkeyNode) -> str:
    """Return what a node says about its topology, and the end of its log."""
    try:
        says = _state(node) if node.is_well else "not well"
    except (RedisError, OSError) as error:
        says = f"{type(error).__name__}: {error}"
    return "\n".join([f"{node}: {says}", *(f"  {line}" for line in node.log_tail(_LOG_LINES))])


def _state(node: ValkeyNode) -> str:
    if node.sentinel:
        answers = [node.command("SENTINEL", "MASTER", MASTER), *node.command("SENTINEL", "REPLICAS", MASTER)]
        told = [fields[b"name"] + b" is " + fields[b"flags"] for fields in map(_fields, answers)]
        return f"{b'; '.join(told).decode()}{'; in tilt' if _is_in_tilt(node) else ''}"
    if node.cluster:
        return str(node.command("CLUSTER", "NODES").decode())
    return str(node.command("ROLE"))
