"""A real Valkey server on loopback, with or without TLS and ACL users, that can be killed, stopped and isolated."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import attrs
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from tests.support.certificates import Pair
from tests.support.valkey_network import Network

from statcore.testing.servers import LOOPBACK, find_program, free_port, start_program

_ATTEMPTS: Final = 3
_START_S: Final = 30.0
_WAIT_MS: Final = 10_000
_SENTINEL_MS: Final = ("INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "PING-PERIOD", 400, "TILT-PERIOD", 2_000)
"""How often a sentinel looks at the servers, and for other sentinels: by default every 10 and 2 seconds.

It pings a new server first after the ping period, and finds it down `down-after-milliseconds` after it began to watch. It
promotes no replica without news for five ping periods; while a primary is down, news come once a second. After two
seconds without a processor, or stopped, it replaces no primary for its tilt period: by default 30 seconds.
"""


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
    rules="~* resetchannels -@all +@read +@write -@dangerous +@connection +cluster|slots +cluster|info +info",
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

    def url(self, kind: str, places: str) -> str:
        """Return a URL for statcore by which `READER` connects; `kind` is `+cluster`, `+sentinel`, or nothing."""
        user = f"{READER.name}:{READER.password}@" if self.users else ""
        return f"valkey{'s' if self.tls else ''}{kind}://{user}{places}"

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
    def _config(self) -> Path:
        return self.folder / "valkey.conf"

    @property
    def url(self) -> str:
        """The URL for statcore to read it alone."""
        return self.security.url("", str(self))

    def start(self) -> None:
        """Start it, empty, and wait until it answers.

        Raises:
            RuntimeError: it ends at once, or does not answer in time.
        """
        is_new = self.port == 0
        for _ in range(_ATTEMPTS if is_new else 1):  # another process may take a port first
            if is_new:
                self._choose_ports()
            self._process = start_program(self._command(), self.folder / "valkey.log")
            if self._answers():
                if self.sentinel:
                    self.command("SENTINEL", "DEBUG", *_SENTINEL_MS)
                self.is_well = True
                return
            self.kill()
        raise RuntimeError(f"the server in {self.folder} did not start: {' '.join(self.log_tail(3))}")

    def log_tail(self, lines: int) -> list[str]:
        """Return the last lines of its log."""
        return (self.folder / "valkey.log").read_text(errors="replace").strip().splitlines()[-lines:]

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
        self._write([("SET", key, value, "EX", 86_400) for key, value in values.items()])

    def flush(self) -> None:
        """Remove every key, and wait until all replicas have done so."""
        self._write([("FLUSHALL", "SYNC")])

    def _write(self, commands: Iterable[Sequence[str | bytes | int]]) -> None:
        replicas = self.replication()["connected_slaves"]
        *_, count = self.pipelined([*commands, ("WAIT", replicas, _WAIT_MS)])
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
        self._config.unlink(missing_ok=True)  # a sentinel would keep the port that it says
        self.port = self.announced_port = free_port()
        self._bus_port = self.announced_bus_port = free_port() if self.cluster else 0
        if self.network is not None:
            self.announced_port = self.network.forward(self.port, owner=self.source)
            if self.cluster:
                self.announced_bus_port = self.network.forward(self._bus_port, owner=self.source)

    def _command(self) -> list[str]:
        for dump in self.folder.glob("*.rdb"):
            dump.unlink()
        if not (self.sentinel and self._config.exists()):  # a sentinel keeps what it has learnt in its configuration
            listen = [("port", "0"), ("tls-port", str(self.port))] if self.security.tls else [("port", str(self.port))]
            lines = [("bind", LOOPBACK), ("bind-source-addr", self.source), ("dir", str(self.folder)), *listen]
            lines += self._announcements()
            settings = (*lines, *self.settings)
            self._config.write_text("".join(f"{name} {value}\n" for name, value in settings), encoding="utf-8")
        program = find_program("valkey-server", "redis-server")
        return [program, str(self._config), *(["--sentinel"] if self.sentinel else [])]

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


DATA_SETTINGS: Final = (
    ("save", '""'),
    ("appendonly", "no"),
    ("io-threads", "1"),
    ("repl-diskless-sync", "yes"),
    ("repl-diskless-sync-delay", "0"),
    ("repl-ping-replica-period", "1"),
)
"""The configuration of a server with data: it writes no files, and sends its data to a new replica at once."""


_numbers: Final = count(1)


def new_node(
    folder: Path, *, settings: Sequence[tuple[str, str]], security: Security, users: Sequence[User], **options: Any
) -> ValkeyNode:
    """Return a server that is not started, with a folder and, behind proxies, a source address of its own.

    Args:
        folder: where the server's folder is made.
        settings: what its configuration says besides its port and users.
        security: how to connect.
        users: the ACL users that it knows, if any.
        options: more arguments of `ValkeyNode`.
    """
    number = next(_numbers)
    own = folder / f"node-{number}"
    own.mkdir()
    settings = [*settings, *security.settings(own, *users)]
    if security.users and not options.get("sentinel"):
        settings += [("masteruser", ADMIN.name), ("masterauth", ADMIN.password)]
    source = f"127.0.{1 + number // 250}.{1 + number % 250}" if options.get("network") else LOOPBACK
    return ValkeyNode(folder=own, settings=settings, security=security, source=source, **options)


@contextmanager
def running_server(folder: Path, *, security: Security = OPEN) -> Generator[ValkeyNode]:
    """Run one server until the block ends; its files are made in `folder`."""
    node = new_node(folder, settings=DATA_SETTINGS, security=security, users=(ADMIN, READER))
    with ExitStack() as stack:
        stack.callback(node.kill)
        node.start()
        yield node
