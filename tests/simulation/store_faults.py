"""What goes wrong with one Valkey and the way to it, for a time that the seed chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any, Final, TypeAlias

import attrs
from tests.simulation.store_model import History

from statcore.errors import AccessDeniedError, ProtocolError, StatcoreError
from statcore.testing.simulation import Path
from statcore.testing.simulation.resp import Failure, Raw, Reply, Status, Words, encode
from statcore.testing.simulation.valkey import Session, SimulatedValkey, Torn, User

End: TypeAlias = Callable[[], object]

MALFORMED: Final = (
    b"",
    b"text",
    b"\x93\x01\x02\x03",
    b"\x07",
    b"\x81\xa5value",
    b"\x81\xa5value\x80\x00",
    b"\xc1",
    b"\x81\x80\x80",
)
"""Payloads that are no entry: nothing, text, a list, a number, half a map, a byte too many, no type, a map as a key."""
READER: Final = User("statcore", "readers-word")
"""The user by whom clients connect."""
HOST: Final = "host"
"""The name of the host's clients, whose replies statcore leaves to the driver."""
_READS: Final = (b"MGET", b"EXISTS", b"TYPE", b"PTTL", b"GET", b"STRLEN")


@attrs.define(eq=False)
class WatchedValkey(SimulatedValkey):
    """A server whose history is kept."""

    history: History = attrs.field(factory=History, init=False)

    def answer(self, words: Words, session: Session) -> Reply:
        """Return the reply to a command, and note what it changed."""
        reply = super().answer(words, session)
        command = self.commands.get(words[0].decode().upper())
        if command is not None and command.is_write:
            for key in command.keys(words):
                self.history.note(key, session.database.get(key), self.time_s())
        return reply

    def publish(self, key: str, content: bytes, *, ttl_s: float | None = None, database: int = 0) -> None:
        """Let a key hold a string, as after a SET by someone else."""
        self.databases[database].set(key.encode(), content, ttl_s=ttl_s)
        self.history.note(key.encode(), self.databases[database].get(key.encode()), self.time_s())

    def plant_list(self, key: str) -> None:
        """Let a key hold a list."""
        session = Session(0, self.databases[0], None)
        self.databases[0].values.pop(key.encode(), None)
        self.commands["RPUSH"].run(self, session, [b"RPUSH", key.encode(), b"word"])
        self.history.note(key.encode(), self.databases[0].get(key.encode()), self.time_s())

    def flush(self) -> None:
        """Drop all keys, and note it."""
        super().flush()
        self.history.note_flush(self.time_s())


@attrs.frozen
class Fault:
    """Something that goes wrong.

    Args:
        begin: lets it begin and returns what ends it.
        raises: the error that it causes at once, such as a `ProtocolError` for an answer that no server gives; None for a
            fault that only keeps answers away.
    """

    begin: Callable[[WatchedValkey, Random], End]
    raises: type[StatcoreError] | None = None

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.begin.__name__.strip("_")


def _cut(server: WatchedValkey, _: Random) -> End:
    server.host.cut()
    return server.host.heal


def _trickle(server: WatchedValkey, random: Random) -> End:
    return _with_path(server, piece_bytes=random.choice([1, 1, 2, 7]))


def _slow_path(server: WatchedValkey, random: Random) -> End:
    return _with_path(server, latency_s=(0.0, random.choice([0.02, 0.1, 0.5])))


def _resets(server: WatchedValkey, random: Random) -> End:
    return _with_path(server, reset_share=random.choice([0.05, 0.3, 0.9]))


def _cuts_all_connections(server: WatchedValkey, _: Random) -> End:
    for end in server.host.connections():
        end.abort()
    return _nothing


def _crash(server: WatchedValkey, _: Random) -> End:
    server.crash()
    return partial(_start, server)


def _restart_empty(server: WatchedValkey, _: Random) -> End:
    server.crash()
    server.flush()
    return partial(_start, server)


def _hang(server: WatchedValkey, _: Random) -> End:
    server.hang()
    return server.wake


def _slow(server: WatchedValkey, random: Random) -> End:
    return _with(server, delay_s=random.choice([0.003, 0.03, 0.3]))


def _loading(server: WatchedValkey, _: Random) -> End:
    return _with(server, is_loading=True)


def _busy(server: WatchedValkey, random: Random) -> End:
    texts = ["BUSY Valkey is busy running a script.", "MASTERDOWN Link with MASTER is down"]
    return _with(server, tamper=_answers(Failure(random.choice(texts))))


def _denied(server: WatchedValkey, _: Random) -> End:
    return _with(
        server, tamper=_answers(Failure(f"NOPERM User {READER.name} has no permissions to run the 'mget' command"))
    )


def _password_changed(server: WatchedValkey, random: Random) -> End:
    server.users = {READER.name: attrs.evolve(READER, password="another")}  # noqa: S106 - not the one that clients have
    _cuts_all_connections(server, random)
    return partial(_set_all, server, {"users": {READER.name: READER}})


def _turned_away(server: WatchedValkey, _: Random) -> End:
    def turn_away(_: Words, __: Reply, session: Session) -> Reply:
        session.is_ending = True
        return Failure("ERR max number of clients reached")

    return _with(server, tamper=turn_away)


def _torn(server: WatchedValkey, random: Random) -> End:
    def tear(_: Words, reply: Reply, __: Session) -> Reply | Torn:
        return Torn(reply, random.randrange(len(encode(reply)) + 1)) if random.random() < 0.3 else reply

    return _with(server, tamper=tear)


def _crash_in_reply(server: WatchedValkey, random: Random) -> End:
    def crash(words: Words, reply: Reply, _: Session) -> Reply | Torn:
        if words[0] not in _READS:
            return reply
        server.network.host(server.name).listeners.clear()
        return Torn(reply, random.randrange(len(encode(reply)) + 1))

    end = _with(server, tamper=crash)

    def start_again() -> None:
        end()
        server.restart(with_data=True)

    return start_again


def _answers(reply: Reply) -> Any:
    return lambda words, right, _: reply if words[0] in _READS else right


def _lying(change: Callable[[Reply, Random], Reply]) -> Callable[[WatchedValkey, Random], End]:
    def begin(server: WatchedValkey, random: Random) -> End:
        def lie(words: Words, reply: Reply, session: Session) -> Reply:
            if words[0] not in _READS or random.random() < 0.5:
                return reply
            # Where only the next answer can show that there is one too many, that one must have another type.
            is_slow = isinstance(reply, Status) and server.delay_s > 0
            is_plain = is_slow or server.host.path.piece_bytes is not None or session.name == HOST
            return _empty_too_many(reply, random) if change is _one_too_many and is_plain else change(reply, random)

        return _with(server, tamper=lie)

    begin.__name__ = change.__name__
    return begin


def _too_few(reply: Reply, _: Random) -> Reply:
    return reply[:-1] if isinstance(reply, list) else reply


def _too_many(reply: Reply, _: Random) -> Reply:
    return [*reply, b"word"] if isinstance(reply, list) else reply


def _error_inside(reply: Reply, random: Random) -> Reply:
    if not isinstance(reply, list):
        return reply
    at = random.randrange(len(reply))
    return [*reply[:at], Failure("ERR inside"), *reply[at + 1 :]]


def _number_inside(reply: Reply, random: Random) -> Reply:
    if not isinstance(reply, list):
        return reply
    at = random.randrange(len(reply))
    return [*reply[:at], 7, *reply[at + 1 :]]


def _another_type(reply: Reply, _: Random) -> Reply:
    return Status("OK") if isinstance(reply, list | int) else [1]


def _one_too_many(reply: Reply, _: Random) -> Reply:
    return Raw(encode(reply) + b"+EXTRA\r\n")


def _empty_too_many(reply: Reply, _: Random) -> Reply:
    return Raw(encode(reply) + b"*0\r\n")


def _echo(server: WatchedValkey, random: Random) -> End:
    def repeat(words: Words, reply: Reply, _: Session) -> Reply:
        return Failure(f"ERR cannot run {b' '.join(words).decode(errors='replace')}") if random.random() < 0.5 else reply

    _cuts_all_connections(server, random)
    return _with(server, tamper=repeat)


def _no_protocol(_: Reply, random: Random) -> Reply:
    return Raw(random.choice([b"!garbage\r\n", b"*-7\r\n", b"$x\r\n", b"\r\n\r\n", b"\x00" * 30]))


def _with(server: SimulatedValkey, **values: Any) -> End:
    before = {"delay_s": 0.0, "is_loading": False, "is_read_only": False, "tamper": None}
    _set_all(server, values)
    return partial(_set_all, server, {name: before[name] for name in values})


def _with_path(server: SimulatedValkey, **values: Any) -> End:
    normal = Path()
    _set_all(server.host.path, values)
    return partial(_set_all, server.host.path, {name: getattr(normal, name) for name in values})


def _set_all(holder: object, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(holder, name, value)


def _start(server: SimulatedValkey) -> None:
    if not server.is_running:
        server.start()


def _nothing() -> None:
    """Do nothing."""


FAULTS: Final = [
    *[Fault(begin) for begin in (_cut, _trickle, _slow_path, _resets, _cuts_all_connections, _crash, _restart_empty)],
    *[Fault(begin) for begin in (_hang, _slow, _loading, _busy, _turned_away, _torn, _crash_in_reply)],
    *[Fault(begin, AccessDeniedError) for begin in (_denied, _password_changed)],
    Fault(_echo, ProtocolError),
    *[
        Fault(_lying(change), ProtocolError)
        for change in (
            _too_few,
            _too_many,
            _error_inside,
            _number_inside,
            _another_type,
            _one_too_many,
            _empty_too_many,
            _no_protocol,
        )
    ],
]
