"""Real Valkey clusters and sentinels on loopback, whose servers can be killed, stopped, isolated and restarted."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import attrs
from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry
from tests.support.certificates import Pair
from tests.support.valkey_network import Network, running_network

from statcore.testing.servers import LOOPBACK, find_program, free_port

SLOTS: Final = 16_384
MASTER: Final = "mymaster"
"""The name under which the sentinels know the primary."""
_ATTEMPTS: Final = 3
_START_S: Final = 30.0
_CHANGE_S: Final = 60.0
"""How long a fail-over, or another change that the servers make by themselves, may take on a busy machine."""
_SLOTS_AT_ONCE: Final = 50
_KEYS_AT_ONCE: Final = 1_000
_ROUNDS: Final = 100
_MIGRATE_MS: Final = 5_000
_WAIT_MS: Final = 10_000
_NEVER_S: Final = 3_600
"""How long a primary waits before it sends its data to a new replica, where no replica is to get any."""


@attrs.frozen(kw_only=True)
class User:
    """An ACL user: name, password, and what it may do."""

    name: str
    password: str
    rules: str

    def __str__(self) -> str:
        """Return the user's line in an ACL file."""
        return f"user {self.name} on >{self.password} {self.rules}"


ADMIN: Final = User(name="admin", password="admins-word", rules="~* &* +@all")  # noqa: S106 - of servers that end with the test
READER: Final = User(
    name="statcore",
    password="readers-word",  # noqa: S106
    rules="~* resetchannels -@all +@read +@write -@dangerous +@connection +cluster|slots +info",
)
WATCHER: Final = User(
    name="watcher",
    password="watchers-word",  # noqa: S106
    rules="allchannels -@all +@connection +subscribe +psubscribe +role +info"
    " +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|sentinels",
)
"""The user of the sentinels by whom clients find the primary."""


@attrs.frozen(kw_only=True)
class Security:
    """How clients, and the servers among themselves, connect.

    Args:
        users: whether the servers know only `ADMIN` and `READER`, or, as sentinels, `WATCHER`; otherwise anyone may do
            anything.
        ca_file: the authority of the certificate, or None for connections without TLS.
        pair: the certificate of all servers, with `ca_file`.
    """

    users: bool = False
    ca_file: Path | None = None
    pair: Pair | None = None

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.ca_file is not None

    def settings(self, folder: Path, *users: User) -> list[tuple[str, str]]:
        """Return the settings of a server with these users; its ACL file is made in `folder`."""
        settings: list[tuple[str, str]] = []
        if self.users:
            acl_file = folder / "users.acl"
            acl_file.write_text("\n".join(["user default off", *map(str, users), ""]), encoding="utf-8")
            settings += [("aclfile", str(acl_file))]
        if self.ca_file and self.pair:
            settings += [
                ("tls-ca-cert-file", str(self.ca_file)),
                ("tls-cert-file", str(self.pair.certificate)),
                ("tls-key-file", str(self.pair.key)),
                ("tls-auth-clients", "optional"),
                ("tls-replication", "yes"),
            ]
        return settings


OPEN: Final = Security()


@attrs.define(kw_only=True, eq=False)
class ValkeyNode:
    """A server of a topology.

    Args:
        folder: where its files are.
        settings: what its configuration says besides its port.
        security: how to connect.
        source: the address from which it connects to other servers.
        network: the proxies in front of it, or None without any.
        sentinel: whether it is a sentinel.
        cluster: whether it is part of a cluster, and listens on a second port.
    """

    folder: Path
    settings: Sequence[tuple[str, str]] = attrs.field(repr=False)
    security: Security = attrs.field(default=OPEN, repr=False)
    source: str = attrs.field(default=LOOPBACK, repr=False)
    network: Network | None = attrs.field(default=None, repr=False)
    sentinel: bool = False
    cluster: bool = attrs.field(default=False, repr=False)
    port: int = attrs.field(default=0, init=False)
    """Where it listens."""
    announced_port: int = attrs.field(default=0, init=False)
    """Where clients and other servers find it: a proxy's port, or its own."""
    announced_bus_port: int = attrs.field(default=0, init=False, repr=False)
    """Where the other nodes of a cluster find it."""
    _bus_port: int = attrs.field(default=0, init=False, repr=False)
    is_well: bool = attrs.field(default=False, init=False)
    """Whether it runs, is not stopped, and is not isolated."""
    _process: subprocess.Popen[bytes] | None = attrs.field(default=None, init=False, repr=False)
    _admin: Redis | None = attrs.field(default=None, init=False, repr=False)

    def __str__(self) -> str:
        """Return the address that the other servers know."""
        return f"{LOOPBACK}:{self.announced_port}"

    @property
    def pid(self) -> int:
        """The id of its process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """The URL for statcore to read it alone."""
        return f"{_scheme(self.security)}://{_credentials(self.security)}{self}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers.

        Raises:
            RuntimeError: it ends at once, or does not answer in time.
        """
        for attempt in range(_ATTEMPTS if self.port == 0 else 1):  # another process may take a port first
            if attempt or self.port == 0:
                self._choose_ports()
            with (self.folder / "valkey.log").open("ab") as log:
                self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True)
            if self._answers():
                self.is_well = True
                return
            self.kill()
        words = (self.folder / "valkey.log").read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"the server in {self.folder} did not start: {' '.join(words)}")

    def client(self, user: User = ADMIN) -> Redis:
        """Return a client of it that goes through no proxy and repeats nothing."""
        options: dict[str, Any] = {"socket_timeout": 10.0, "socket_connect_timeout": 5.0, "protocol": 2}
        if self.security.users:
            options |= {"username": user.name, "password": user.password}
        if self.security.tls:
            options |= {"ssl": True, "ssl_ca_certs": str(self.security.ca_file)}
        return Redis(host=LOOPBACK, port=self.port, retry=Retry(NoBackoff(), 0), **options)

    def command(self, *words: str | bytes | int) -> Any:
        """Return the undecoded answer to a command."""
        self._admin = self._admin or self.client()
        return self._admin.execute_command(*words, NEVER_DECODE=True)  # type: ignore[no-untyped-call]

    def pipelined(self, commands: Iterable[Sequence[str | bytes | int]]) -> list[Any]:
        """Return the answers to commands that are sent at once."""
        with self.client() as client, client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
        return answers

    def store(self, values: Mapping[str, bytes]) -> None:
        """Set keys that expire in a day, and wait until all replicas have them."""
        replicas = self.replication()["connected_slaves"]
        sets = [("SET", key, value, "EX", 86_400) for key, value in values.items()]
        *_, count = self.pipelined([*sets, ("WAIT", replicas, _WAIT_MS)])
        assert replicas <= count, "the replicas do not confirm the writes"

    def replication(self) -> dict[str, Any]:
        """Return what INFO says about replication, by field."""
        fields: dict[str, Any] = self.command("INFO", "replication")  # the client parses this one answer
        return fields

    def kill(self) -> None:
        """End it at once; without a process, do nothing."""
        self.is_well = False
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop its process: the kernel takes connections for it, and nobody answers."""
        self.is_well = False
        self._signal(signal.SIGSTOP)

    def isolate(self) -> None:
        """Keep all bytes between it and anyone else; it needs proxies."""
        assert self.network is not None, "started without proxies"
        self.is_well = False
        self.network.isolate(self.source)

    def recover(self) -> None:
        """Let it go on after `stop`, rejoin after `isolate`, or start again, empty, after `kill`."""
        if self.network is not None:
            self.network.rejoin(self.source)
        if self._process is None:
            self.start()
        self._signal(signal.SIGCONT)
        self.is_well = True

    def empty(self) -> None:
        """Restart it without its data."""
        self.kill()
        self.start()

    def _choose_ports(self) -> None:
        self.port = self.announced_port = free_port()
        self._bus_port = self.announced_bus_port = free_port() if self.cluster else 0
        if self.network is not None:
            self.announced_port = self.network.forward(self.port, owner=self.source)
            if self.cluster:
                self.announced_bus_port = self.network.forward(self._bus_port, owner=self.source)

    def _command(self) -> list[str]:
        for dump in self.folder.glob("*.rdb"):
            dump.unlink()
        config = self.folder / "valkey.conf"
        if not (self.sentinel and config.exists()):  # a sentinel keeps what it has learnt in its configuration
            listen = [("port", "0"), ("tls-port", str(self.port))] if self.security.tls else [("port", str(self.port))]
            lines = [("bind", LOOPBACK), ("bind-source-addr", self.source), ("dir", str(self.folder)), *listen]
            lines += self._announcements()
            config.write_text("".join(f"{name} {value}\n" for name, value in (*lines, *self.settings)), encoding="utf-8")
        program = find_program("valkey-server", "redis-server")
        return [program, str(config), *(["--sentinel"] if self.sentinel else [])]

    def _announcements(self) -> list[tuple[str, str]]:
        if self.sentinel:
            return [("sentinel", f"announce-ip {LOOPBACK}"), ("sentinel", f"announce-port {self.announced_port}")]
        if not self.cluster:
            return [("replica-announce-ip", LOOPBACK), ("replica-announce-port", str(self.announced_port))]
        kind = "tls-port" if self.security.tls else "port"
        return [
            ("cluster-port", str(self._bus_port)),
            ("cluster-announce-ip", LOOPBACK),
            (f"cluster-announce-{kind}", str(self.announced_port)),
            ("cluster-announce-bus-port", str(self.announced_bus_port)),
        ]

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(RedisError, OSError):
                return bool(self.command("PING"))
            time.sleep(0.01)  # no server tells its parent when it is ready
        return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_server(folder: Path, *, security: Security = OPEN) -> Generator[ValkeyNode]:
    """Run one server until the block ends; its files are made in `folder`."""
    node = _new_node(folder, settings=_data_settings(), security=security, users=(ADMIN, READER))
    with ExitStack() as stack:
        stack.callback(node.kill)
        node.start()
        yield node


@attrs.frozen(kw_only=True, eq=False)
class ValkeyCluster:
    """A cluster: its nodes, primaries first, as they were at the start."""

    nodes: Sequence[ValkeyNode]
    security: Security

    @property
    def url(self) -> str:
        """The URL for statcore, with the addresses that the nodes announce."""
        return f"{_scheme(self.security)}+cluster://{_credentials(self.security)}{','.join(map(str, self.nodes))}"

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
        owners = self.owners(values)
        for node in set(owners.values()):
            node.store({key: value for key, value in values.items() if owners[key] is node})

    def replica_of(self, primary: ValkeyNode) -> ValkeyNode:
        """Return a well replica of a primary."""
        return next(node for node in self.well if _primary_port(node) == primary.announced_port)

    def flush(self) -> None:
        """Remove every key."""
        for node in self.primaries:
            node.command("FLUSHALL", "SYNC")

    def wait_until_whole(self) -> None:
        """Wait until all well nodes know the same well owners of the slots, and well replicas have the data."""
        _wait(lambda: len(set(map(_owners, self.well))) == 1 and all(map(self._is_whole, self.well)), "a whole cluster")

    def wait_until_failed_over(self, node: ValkeyNode) -> None:
        """Wait until every well node knows other owners of the slots of a primary that is not well."""
        _wait(lambda: all(self._has_replaced(node, witness) for witness in self.well), f"a fail-over of {node}")
        self.wait_until_whole()

    def heal(self) -> None:
        """Let every node recover, and wait until the cluster is whole."""
        _heal(self.nodes, self.nodes)
        self.wait_until_whole()

    def empty_replica(self, primary: ValkeyNode) -> None:
        """Restart the replica of a primary that then sends it no data: the cluster may promote an empty server."""
        primary.command("CONFIG", "SET", "repl-diskless-sync-delay", _NEVER_S)
        replica = self.replica_of(primary)
        replica.empty()
        _wait(lambda: _primary_port(replica) == primary.announced_port and not _is_synced(replica), "an empty replica")

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
        """Open slots at both primaries: keys that the source does not have are now asked for at the target."""
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
        _wait(lambda: all(_address(witness, id_) == str(node) for witness in self.well), f"the announced port of {node}")

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
        return covered == SLOTS and b"cluster_state:ok" in node.command("CLUSTER", "INFO") and _is_synced(node)

    def _has_replaced(self, node: ValkeyNode, witness: ValkeyNode) -> bool:
        return node is not witness and all(owner is not node for _, _, owner in _ranges(witness, self.nodes))


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
        settings: more of each node's configuration.
    """
    fixed = [
        *_data_settings(),
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
            _new_node(folder, settings=fixed, security=security, users=(ADMIN, READER), network=network, cluster=True)
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
        places = ",".join(map(str, self.sentinels))
        return f"{_scheme(self.security)}+sentinel://{_credentials(self.security)}{places}/{MASTER}"

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
        self.primary.command("FLUSHALL", "SYNC")

    def wait_until_whole(self) -> None:
        """Wait until every well sentinel names the same well primary, and every other well server has its data."""
        _wait(self._is_whole, "sentinels that agree, and replicas with the data")

    def wait_until_failed_over(self, primary: ValkeyNode) -> None:
        """Wait until every well sentinel names another primary, and that server takes writes."""
        _wait(lambda: self._has_replaced(primary), f"a fail-over of {primary}")

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
        _wait(lambda: all(_replicas(sentinel, link=b"err") == ports for sentinel in self.sentinels), "empty replicas")

    def fail_over(self) -> None:
        """Let the sentinels promote a replica while the primary is well, and wait until they have."""
        primary = self.primary
        next(sentinel for sentinel in self.sentinels if sentinel.is_well).command("SENTINEL", "FAILOVER", MASTER)
        self.wait_until_failed_over(primary)

    def _primary_of(self, sentinel: ValkeyNode) -> ValkeyNode:
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(server for server in self.servers if server.announced_port == int(port))

    def _is_whole(self) -> bool:
        named = {self._primary_of(sentinel) for sentinel in self.sentinels if sentinel.is_well}
        if len(named) != 1:
            return False
        (primary,) = named
        if not primary.is_well or primary.replication()["role"] != "master":
            return False
        others = {server.announced_port for server in self.well if server is not primary}
        return all(_replicas(sentinel, link=b"ok") == others for sentinel in self.sentinels if sentinel.is_well)

    def _has_replaced(self, primary: ValkeyNode) -> bool:
        named = {self._primary_of(sentinel) for sentinel in self.sentinels if sentinel.is_well}
        return len(named) == 1 and primary not in named and named.pop().replication()["role"] == "master"


@contextmanager
def running_sentinels(
    folder: Path,
    *,
    replicas: int = 2,
    sentinels: int = 3,
    down_after_ms: int = 1_000,
    security: Security = OPEN,
    proxied: bool = False,
) -> Generator[ValkeySentinels]:
    """Run a primary with replicas and sentinels until the block ends; yield them once they know each other.

    Args:
        folder: where their files are made.
        replicas: how many replicas the primary has.
        sentinels: how many sentinels there are; the majority decides.
        down_after_ms: how long the primary is silent before they begin to replace it.
        security: how to connect, to servers and to sentinels.
        proxied: whether there are proxies in front of all of them, so that they can be isolated.
    """
    with ExitStack() as stack:
        network = stack.enter_context(running_network()) if proxied else None
        access = [("masteruser", ADMIN.name), ("masterauth", ADMIN.password)] if security.users else []
        fixed = [*_data_settings(), *access]
        servers = [
            _new_node(folder, settings=fixed, security=security, users=(ADMIN, READER), network=network)
            for _ in range(1 + replicas)
        ]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        primary, *others = servers
        for other in others:
            other.command("REPLICAOF", LOOPBACK, primary.announced_port)
        _wait(lambda: all(map(_is_synced, servers)), "replicas with the data")
        watch = [
            ("sentinel", f"monitor {MASTER} {LOOPBACK} {primary.announced_port} {sentinels // 2 + 1}"),
            ("sentinel", f"down-after-milliseconds {MASTER} {down_after_ms}"),
            ("sentinel", f"failover-timeout {MASTER} {3 * down_after_ms}"),
        ]
        if security.users:
            watch += [
                ("sentinel", f"auth-user {MASTER} {ADMIN.name}"),
                ("sentinel", f"auth-pass {MASTER} {ADMIN.password}"),
                ("sentinel", f"sentinel-user {ADMIN.name}"),
                ("sentinel", f"sentinel-pass {ADMIN.password}"),
            ]
        watchers = [
            _new_node(folder, settings=watch, security=security, users=(ADMIN, WATCHER), network=network, sentinel=True)
            for _ in range(sentinels)
        ]
        for watcher in watchers:
            stack.callback(watcher.kill)
            watcher.start()
            # By default they look for each other and at the replicas every 2 and 10 seconds.
            watcher.command("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "PING-PERIOD", 200)
        topology = ValkeySentinels(servers=servers, sentinels=watchers, security=security)
        _wait(
            lambda: all(_count_others(watcher) == sentinels - 1 for watcher in watchers), "sentinels that know each other"
        )
        topology.wait_until_whole()
        yield topology


def _data_settings() -> list[tuple[str, str]]:
    return [
        ("save", '""'),
        ("appendonly", "no"),
        ("io-threads", "1"),
        ("repl-diskless-sync", "yes"),
        ("repl-diskless-sync-delay", "0"),
        ("repl-ping-replica-period", "1"),
    ]


_numbers: Iterator[int] = count(1)


def _new_node(
    folder: Path, *, settings: Sequence[tuple[str, str]], security: Security, users: Sequence[User], **options: Any
) -> ValkeyNode:
    number = next(_numbers)
    own = folder / f"node-{number}"
    own.mkdir()
    settings = [*settings, *security.settings(own, *users)]
    if security.users and options.get("cluster"):
        settings += [("masteruser", ADMIN.name), ("masterauth", ADMIN.password)]
    source = f"127.0.{1 + number // 250}.{1 + number % 250}" if options.get("network") else LOOPBACK
    return ValkeyNode(folder=own, settings=settings, security=security, source=source, **options)


def _form(cluster: ValkeyCluster, primaries: int) -> None:
    """Give the primaries their slots, let all nodes meet, and give each primary its replicas."""
    nodes = cluster.nodes
    for number, node in enumerate(nodes):
        node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            first, last = SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for other in nodes[:number]:
            node.command("CLUSTER", "MEET", LOOPBACK, other.announced_port, other.announced_bus_port)
    _wait(lambda: all(_count_known(node) == len(nodes) for node in nodes), "nodes that know each other")
    ids = [node.command("CLUSTER", "MYID") for node in nodes]
    for number, node in enumerate(nodes[primaries:]):
        node.command("CLUSTER", "REPLICATE", ids[number % primaries])
    cluster.wait_until_whole()
    _wait(lambda: all(_replicas_listed(node) == len(nodes) - primaries for node in nodes), "nodes that know all replicas")


def _count_known(node: ValkeyNode) -> int:
    lines: list[str] = node.command("CLUSTER", "NODES").decode().splitlines()
    return sum("handshake" not in line and "connected" in line.split()[7] for line in lines)


def _replicas_listed(node: ValkeyNode) -> int:
    return sum(len(entry) - 3 for entry in node.command("CLUSTER", "SLOTS"))


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
    replicas = [
        dict(zip(words[::2], words[1::2], strict=True)) for words in sentinel.command("SENTINEL", "REPLICAS", MASTER)
    ]
    well = (replica for replica in replicas if (b"slave", link) == (replica[b"flags"], replica[b"master-link-status"]))
    return {int(replica[b"port"]) for replica in well}


def _count_others(sentinel: ValkeyNode) -> int:
    return len(sentinel.command("SENTINEL", "SENTINELS", MASTER))


def _scheme(security: Security) -> str:
    return "valkeys" if security.tls else "valkey"


def _credentials(security: Security) -> str:
    return f"{READER.name}:{READER.password}@" if security.users else ""


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _wait(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _CHANGE_S
    while True:
        with suppress(RedisError, OSError):  # a server may be starting, or loading its primary's data
            if is_so():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_CHANGE_S:g} s for {what}")
        time.sleep(0.02)  # servers tell nobody when they change
