"""A simulated Valkey: a server in the memory network, with databases that expire on the virtual clock, and with faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from statcore.testing.simulation.network import Host, Network, SimulatedTransport
from statcore.testing.simulation.resp import CommandError, CommandReader, Failure, Raw, Reply, Words, encode
from statcore.testing.simulation.valkey_commands import COMMANDS, Command, Database, wrong_arity

VERSION: Final = "8.0.1"
_DATABASES: Final = 16
_LOADING: Final = Failure("LOADING Valkey is loading the dataset in memory")
_READ_ONLY: Final = Failure("READONLY You can't write against a read only replica.")
_NO_AUTH: Final = Failure("NOAUTH Authentication required.")
_SHOWN_CHARACTERS: Final = 120


@attrs.frozen
class User:
    """A user whom the server knows.

    Args:
        name: the name.
        password: the password, or None if any password does.
        denied: commands that the user may not use, in small letters, such as `mget` or `client|setinfo`.
        key_prefixes: the beginnings of keys that the user may use, or None for any key.
    """

    name: str
    password: str | None = attrs.field(default=None, repr=False)
    denied: frozenset[str] = attrs.field(default=frozenset(), kw_only=True)
    key_prefixes: tuple[bytes, ...] | None = attrs.field(default=None, kw_only=True)

    def refusal(self, name: str, command: Command, words: Words) -> Failure | None:
        """Return the error for a command that the user may not use."""
        full = f"{name}|{words[1].decode(errors='replace')}".lower() if len(words) > 1 else name.lower()
        if denied := self.denied & {name.lower(), full}:
            return Failure(f"NOPERM User {self.name} has no permissions to run the '{max(denied)}' command")
        prefixes = self.key_prefixes
        if prefixes is not None and not all(key.startswith(prefixes) for key in command.keys(words)):
            return Failure("NOPERM No permissions to access a key")
        return None


@attrs.define(eq=False)
class Session:
    """A client's connection, as the server sees it.

    Attributes:
        number: its number at the server.
        database: the database that is selected.
        user: who is connected, or None as long as the client has to say it.
        name: what the client calls itself, by CLIENT SETNAME.
        is_ending: whether the connection is closed after the reply.
        notes: what a kind of server remembers of the connection, such as ASKING.
    """

    number: int
    database: Database
    user: User | None
    name: str = ""
    is_ending: bool = False
    notes: set[str] = attrs.field(factory=set[str])


@attrs.frozen
class Torn:
    """A reply of which only the beginning is sent; then the connection is reset."""

    reply: Reply
    sent_bytes: int


Tamper: TypeAlias = Callable[[Words, Reply, Session], "Reply | Torn"]
"""Returns what is sent in the place of the reply to a command."""


@attrs.define(eq=False)
class SimulatedValkey:
    """One server of the simulated network; a node of a cluster and a sentinel build on it.

    `answer` returns the reply to a command; a subclass adds to `commands`, `redirection`, `role` and `information`.

    Args:
        network: the network.
        name: the host's name.
        port: where it listens.
        users: who may connect; a user `default` is anyone who does not say a name.

    Attributes:
        databases: what it holds, by number.
        commands: what it can do, by name in capitals.
        is_loading: whether it answers that it loads its data.
        is_read_only: whether it refuses to write, as a replica does.
        delay_s: how long it takes for each command; those of other connections may come between two of them.
        tamper: changes replies before they are sent, or None.
        is_hung: whether it answers nothing.
        connections: the connections of its clients, oldest first.
    """

    network: Network
    name: str
    port: int = 6379
    users: Mapping[str, User] = attrs.field(factory=lambda: {"default": User("default")}, kw_only=True)
    databases: list[Database] = attrs.field(init=False)
    commands: dict[str, Command] = attrs.field(init=False, factory=lambda: dict(COMMANDS), repr=False)
    is_loading: bool = attrs.field(init=False, default=False)
    is_read_only: bool = attrs.field(init=False, default=False)
    delay_s: float = attrs.field(init=False, default=0.0)
    tamper: Tamper | None = attrs.field(init=False, default=None)
    is_hung: bool = attrs.field(init=False, default=False)
    connections: dict[_Connection, None] = attrs.field(init=False, factory=dict["_Connection", None], repr=False)
    _next_number: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        """Make its databases."""
        self.databases = [Database(self.time_s) for _ in range(_DATABASES)]

    @property
    def host(self) -> Host:
        """The machine on which it runs."""
        return self.network.host(self.name)

    @property
    def is_running(self) -> bool:
        """Whether it takes connections."""
        return self.port in self.host.listeners

    def time_s(self) -> float:
        """Return the time of the event loop."""
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        """Listen."""
        self.network.record(f"{self.name}:{self.port} starts")
        self.host.listen(self.port, self._connect)

    def crash(self) -> None:
        """End at once: connections are reset, and new ones refused; the data stays for a restart."""
        self.host.crash()
        self.is_hung = False

    def restart(self, *, with_data: bool) -> None:
        """Start again, after a crash where it still runs; without its data it is empty."""
        if self.is_running:
            self.crash()
        if not with_data:
            self.flush()
        self.start()

    def hang(self) -> None:
        """Answer nothing until `wake`, as a stopped process; connections are still made."""
        self.network.record(f"{self.name}:{self.port} hangs")
        self.is_hung = True

    def wake(self) -> None:
        """Answer what has been asked meanwhile, and go on."""
        self.network.record(f"{self.name}:{self.port} goes on")
        self.is_hung = False
        for connection in [*self.connections]:
            connection.serve()

    def heal(self) -> None:
        """End every fault of the process; start it with its data where it does not run."""
        self.is_loading = self.is_read_only = False
        self.delay_s, self.tamper = 0.0, None
        if self.is_hung:
            self.wake()
        if not self.is_running:
            self.start()

    def flush(self) -> None:
        """Drop all keys."""
        for database in self.databases:
            database.values.clear()

    def answer(self, words: Words, session: Session) -> Reply:
        """Return the reply to a command."""
        name = words[0].decode(errors="replace").upper()
        command = self.commands.get(name)
        if command is None:
            shown = "".join(f"'{word.decode(errors='replace')}' " for word in words[1:])[:_SHOWN_CHARACTERS]
            return Failure(f"ERR unknown command '{words[0].decode(errors='replace')}', with args beginning with: {shown}")
        if not command.fits(words):
            return wrong_arity(name)
        refusal = self.refusal(name, command, words, session)
        return command.run(self, session, words) if refusal is None else refusal

    def refusal(self, name: str, command: Command, words: Words, session: Session) -> Failure | None:
        """Return the error for a command that is not executed, or None; the checks are in the order of a real server."""
        if session.user is None:
            if not command.is_open:
                return _NO_AUTH
        elif not command.is_open and (denied := session.user.refusal(name, command, words)):
            return denied
        if redirection := self.redirection(command, words, session):
            return redirection
        if self.is_read_only and command.is_write:
            return _READ_ONLY
        if self.is_loading and not command.is_always:
            return _LOADING
        return None

    def redirection(self, command: Command, words: Words, session: Session) -> Failure | None:  # noqa: ARG002 - of clusters
        """Return the error for a command that another server has to execute, or None."""
        return None

    def information(self) -> dict[str, dict[str, Any]]:
        """Return the sections of INFO, and the fields of each."""
        return {
            "server": {
                "redis_version": "7.2.4",
                "server_name": "valkey",
                "valkey_version": VERSION,
                "server_mode": "standalone",
            },
            "replication": {"role": "master", "connected_slaves": 0, "master_repl_offset": 0},
        }

    def role(self) -> Reply:
        """Return the answer to ROLE."""
        return [b"master", 0, []]

    def _connect(self) -> asyncio.Protocol:
        self._next_number += 1
        default = self.users.get("default")
        user = default if default is not None and default.password is None else None
        return _Connection(self, Session(self._next_number, self.databases[0], user))


class _Connection(asyncio.Protocol):
    """A client's connection: commands wait in a queue while the server hangs or is slow."""

    def __init__(self, server: SimulatedValkey, session: Session) -> None:
        self._server = server
        self._session = session
        self._reader = CommandReader()
        self._queue: deque[Words | CommandError] = deque()
        self._turn: asyncio.TimerHandle | None = None
        self._transport: SimulatedTransport

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - a transport of the simulated network
        self._transport = transport
        self._server.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of a protocol
        self._server.connections.pop(self, None)
        self._queue.clear()
        if self._turn is not None:
            self._turn.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._queue.extend(self._reader.feed(data))
        except CommandError as error:
            self._queue.append(error)
        self.serve()

    def serve(self) -> None:
        """Answer what is in the queue: all at once and in one write, or one command after the other if it is slow."""
        if self._turn is not None or not self._queue:
            return
        if self._server.delay_s:
            self._turn = asyncio.get_running_loop().call_later(self._server.delay_s, self._take_turn)
        else:
            self._answer(len(self._queue))

    def _take_turn(self) -> None:
        self._turn = None
        self._answer(1)
        if not self._server.is_hung:
            self.serve()

    def _answer(self, most: int) -> None:
        """Answer at most so many commands of the queue."""
        server, session = self._server, self._session
        content = bytearray()
        while most and self._queue and not server.is_hung and not self._transport.is_closing():
            most -= 1
            words = self._queue.popleft()
            if isinstance(words, CommandError):
                session.is_ending = True
                content += encode(Failure(f"ERR Protocol error: {words}"))
            else:
                right = server.answer(words, session)
                reply = right if server.tamper is None else server.tamper(words, right, session)
                self._record(words, reply)
                if isinstance(reply, Torn):
                    self._transport.write(bytes(content + encode(reply.reply)[: reply.sent_bytes]))
                    self._transport.abort()
                    return
                content += encode(reply)
            if session.is_ending:
                self._queue.clear()
        if content:
            self._transport.write(bytes(content))
        if session.is_ending:
            self._transport.close()

    def _record(self, words: Words, reply: Reply | Torn) -> None:
        shown = b" ".join(words[:3]).decode(errors="replace")[:_SHOWN_CHARACTERS]
        found = reply.text if isinstance(reply, Failure) else type(reply).__name__
        if isinstance(reply, Torn | Raw):
            found = f"{found}, on purpose"
        self._server.network.record(f"{self._transport.label} asks {shown} ({len(words)} words): {found}")
