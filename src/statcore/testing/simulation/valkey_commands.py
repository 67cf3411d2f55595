"""The commands of a simulated Valkey: what each does with the keys of a database, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from statcore.testing.simulation.resp import Failure, Reply, Status, Words

if TYPE_CHECKING:
    from statcore.testing.simulation.valkey import Session, SimulatedValkey

OK: Final = Status("OK")
_SYNTAX: Final = Failure("ERR syntax error")
_NOT_A_NUMBER: Final = Failure("ERR value is not an integer or out of range")
_NO_CLUSTER: Final = Failure("ERR This instance has cluster support disabled")
_WRONG_TYPE: Final = Failure("WRONGTYPE Operation against a key holding the wrong kind of value")
_LONGEST_MS: Final = 2**53
_LARGEST: Final = 2**63 - 1
_WHOLE: Final = re.compile(rb"0|-?[1-9][0-9]*")

Run: TypeAlias = "Callable[[SimulatedValkey, Session, Words], Reply]"


@attrs.define
class Value:
    """What a key holds.

    Args:
        kind: the type, as TYPE answers it.
        content: the bytes of a string; the words of another type.
        expires_s: when it is gone, on the clock of the event loop, or None for never.
    """

    kind: str
    content: bytes | list[bytes]
    expires_s: float | None = None


@attrs.frozen
class Database:
    """The keys of one database; keys whose time is up are gone.

    Args:
        time_s: returns the time of the event loop.
    """

    time_s: Callable[[], float]
    values: dict[bytes, Value] = attrs.field(factory=dict[bytes, Value])

    def get(self, key: bytes) -> Value | None:
        """Return what a key holds, or None."""
        value = self.values.get(key)
        if value is not None and value.expires_s is not None and value.expires_s <= self.time_s():
            del self.values[key]
            return None
        return value

    def set(self, key: bytes, content: bytes, *, ttl_s: float | None = None) -> None:
        """Let a key hold a string."""
        self.values[key] = Value("string", content, None if ttl_s is None else self.time_s() + ttl_s)


@attrs.frozen
class Command:
    """A command of the server.

    Args:
        run: executes it.
        arity: how many words it has, its name included; below zero, how many at least.
        first_key, last_key: where its keys are among its words; the last may count from the end; 0 without keys.
        is_write: whether it changes keys.
        is_always: whether it is answered while the server loads its data.
        is_open: whether it is answered before the user is known.
    """

    run: Run
    arity: int
    first_key: int = 0
    last_key: int = 0
    is_write: bool = attrs.field(default=False, kw_only=True)
    is_always: bool = attrs.field(default=False, kw_only=True)
    is_open: bool = attrs.field(default=False, kw_only=True)

    def keys(self, words: Words) -> list[bytes]:
        """Return the keys of a command."""
        if not self.first_key:
            return []
        return words[self.first_key : (self.last_key % len(words)) + 1]

    def fits(self, words: Words) -> bool:
        """Return whether it has as many words as it needs."""
        return len(words) == self.arity if self.arity >= 0 else len(words) >= -self.arity


def wrong_arity(name: str) -> Failure:
    """Return the error for a command with too many or too few words."""
    return Failure(f"ERR wrong number of arguments for '{name.lower()}' command")


def _get(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if value is None:
        return None
    return value.content if value.kind == "string" else _WRONG_TYPE


def _mget(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    found = map(session.database.get, words[1:])
    return [value.content if value is not None and value.kind == "string" else None for value in found]


def _set(_: SimulatedValkey, session: Session, words: Words) -> Reply:  # noqa: PLR0911 - a branch for each error
    database, (key, content, *options) = session.database, words[1:]
    ttl_s: float | None = None
    flags: set[bytes] = set()
    rest = iter(options)
    for option in map(bytes.upper, rest):
        if option in (b"EX", b"PX") and not flags & {b"EX", b"PX", b"KEEPTTL"}:
            if (word := next(rest, None)) is None:
                return _SYNTAX
            number = _whole(word)
            if number is None:
                return _NOT_A_NUMBER
            if not 0 < number * (1_000 if option == b"EX" else 1) < _LONGEST_MS:
                return Failure("ERR invalid expire time in 'set' command")
            ttl_s = number / (1 if option == b"EX" else 1_000)
        elif option not in (b"NX", b"XX", b"KEEPTTL"):
            return _SYNTAX
        flags.add(option)
    if flags >= {b"NX", b"XX"} or (b"KEEPTTL" in flags and ttl_s is not None):
        return _SYNTAX
    before = database.get(key)
    if (b"NX" in flags and before is not None) or (b"XX" in flags and before is None):
        return None
    database.set(key, content, ttl_s=ttl_s)
    if b"KEEPTTL" in flags and before is not None:
        database.values[key].expires_s = before.expires_s
    return OK


def _del(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    return sum(session.database.get(key) is not None and bool(session.database.values.pop(key)) for key in words[1:])


def _exists(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    return sum(session.database.get(key) is not None for key in words[1:])


def _type(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    return Status("none" if value is None else value.kind)


def _strlen(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if value is None:
        return 0
    return len(value.content) if value.kind == "string" else _WRONG_TYPE


def _pttl(server: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if value is None:
        return -2
    return -1 if value.expires_s is None else round((value.expires_s - server.time_s()) * 1_000)


def _pexpire(server: SimulatedValkey, session: Session, words: Words) -> Reply:
    value, number = session.database.get(words[1]), _whole(words[2])
    if number is None:
        return _NOT_A_NUMBER
    if value is None:
        return 0
    value.expires_s = server.time_s() + number / (1 if words[0].upper() == b"EXPIRE" else 1_000)
    return 1


def _incr(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if value is None:
        session.database.set(words[1], b"1")
        return 1
    if isinstance(value.content, list):
        return _WRONG_TYPE
    number = _whole(value.content)
    if number is None:
        return _NOT_A_NUMBER
    if number == _LARGEST:
        return Failure("ERR increment or decrement would overflow")
    value.content = b"%d" % (number + 1)
    return number + 1


def _rpush(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if value is None:
        value = session.database.values[words[1]] = Value("list", [])
    if value.kind != "list" or isinstance(value.content, bytes):
        return _WRONG_TYPE
    value.content += words[2:]
    return len(value.content)


def _hset(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    value = session.database.get(words[1])
    if len(words) % 2:
        return wrong_arity("hset")
    if value is None:
        value = session.database.values[words[1]] = Value("hash", [])
    if value.kind != "hash" or isinstance(value.content, bytes):
        return _WRONG_TYPE
    fields = dict(zip(value.content[::2], value.content[1::2], strict=True))
    before = len(fields)
    fields |= dict(zip(words[2::2], words[3::2], strict=True))
    value.content = [word for field in fields.items() for word in field]
    return len(fields) - before


def _flush(server: SimulatedValkey, _: Session, __: Words) -> Reply:
    server.flush()
    return OK


def _dbsize(_: SimulatedValkey, session: Session, __: Words) -> Reply:
    return sum(session.database.get(key) is not None for key in [*session.database.values])


def _auth(server: SimulatedValkey, session: Session, words: Words) -> Reply:
    if len(words) > 3:  # noqa: PLR2004 - AUTH, a name and a password
        return _SYNTAX
    name = words[1].decode(errors="replace") if len(words) > 2 else "default"  # noqa: PLR2004
    user = server.users.get(name)
    if len(words) == 2 and (user is None or user.password is None):  # noqa: PLR2004
        return Failure(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    if user is None or user.password not in (None, words[-1].decode(errors="replace")):
        return Failure("WRONGPASS invalid username-password pair or user is disabled.")
    session.user = user
    return OK


def _select(server: SimulatedValkey, session: Session, words: Words) -> Reply:
    number = _whole(words[1])
    if number is None:
        return _NOT_A_NUMBER
    if not 0 <= number < len(server.databases):
        return Failure("ERR DB index is out of range")
    session.database = server.databases[number]
    return OK


def _ping(_: SimulatedValkey, __: Session, words: Words) -> Reply:
    if len(words) > 2:  # noqa: PLR2004 - PING and a message
        return wrong_arity("ping")
    return words[1] if len(words) > 1 else Status("PONG")


def _echo(_: SimulatedValkey, __: Session, words: Words) -> Reply:
    return words[1]


def _client(_: SimulatedValkey, session: Session, words: Words) -> Reply:
    kind = words[1].upper()
    if kind == b"SETNAME":
        session.name = words[-1].decode(errors="replace")
    if kind in (b"SETINFO", b"SETNAME"):
        return OK
    if kind == b"ID":
        return session.number
    return Failure(f"ERR unknown subcommand '{words[1].decode(errors='replace')}'. Try CLIENT HELP.")


def _info(server: SimulatedValkey, _: Session, words: Words) -> Reply:
    wanted = {word.decode(errors="replace").lower() for word in words[1:]}
    sections = server.information()
    parts = [
        f"# {name.capitalize()}\r\n" + "".join(f"{field}:{value}\r\n" for field, value in fields.items())
        for name, fields in sections.items()
        if not wanted or name in wanted
    ]
    return "\r\n".join(parts).encode()


def _role(server: SimulatedValkey, _: Session, __: Words) -> Reply:
    return server.role()


def _time(server: SimulatedValkey, _: Session, __: Words) -> Reply:
    seconds, part = divmod(server.time_s(), 1)
    return [b"%d" % int(seconds), b"%d" % int(part * 1_000_000)]


def _quit(_: SimulatedValkey, session: Session, __: Words) -> Reply:
    session.is_ending = True
    return OK


def _no_cluster(_: SimulatedValkey, __: Session, ___: Words) -> Reply:
    return _NO_CLUSTER


def _hello(server: SimulatedValkey, session: Session, words: Words) -> Reply:
    if words[1:] not in ([], [b"2"]):
        return Failure("NOPROTO unsupported protocol version")
    if session.user is None:
        return Failure(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user>"
            " <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
        )
    about = server.information()["server"]
    fields: list[Any] = [b"server", about["server_name"].encode(), b"version", about["valkey_version"].encode()]
    fields += [b"proto", 2, b"id", session.number, b"mode", about["server_mode"].encode()]
    role: Any = server.role()
    fields += [] if role[0] == b"sentinel" else [b"role", b"master" if role[0] == b"master" else b"replica"]
    return [*fields, b"modules", []]


def _ok(_: SimulatedValkey, __: Session, ___: Words) -> Reply:
    return OK


def _whole(word: bytes) -> int | None:
    number = int(word) if _WHOLE.fullmatch(word) else None
    return number if number is not None and -_LARGEST - 1 <= number <= _LARGEST else None


COMMANDS: Final[dict[str, Command]] = {
    "GET": Command(_get, 2, 1, 1),
    "MGET": Command(_mget, -2, 1, -1),
    "SET": Command(_set, -3, 1, 1, is_write=True),
    "DEL": Command(_del, -2, 1, -1, is_write=True),
    "EXISTS": Command(_exists, -2, 1, -1),
    "TYPE": Command(_type, 2, 1, 1),
    "STRLEN": Command(_strlen, 2, 1, 1),
    "PTTL": Command(_pttl, 2, 1, 1),
    "EXPIRE": Command(_pexpire, -3, 1, 1, is_write=True),
    "PEXPIRE": Command(_pexpire, -3, 1, 1, is_write=True),
    "INCR": Command(_incr, 2, 1, 1, is_write=True),
    "RPUSH": Command(_rpush, -3, 1, 1, is_write=True),
    "HSET": Command(_hset, -4, 1, 1, is_write=True),
    "FLUSHALL": Command(_flush, -1, is_write=True),
    "DBSIZE": Command(_dbsize, 1),
    "AUTH": Command(_auth, -2, is_always=True, is_open=True),
    "SELECT": Command(_select, 2, is_always=True),
    "PING": Command(_ping, -1),
    "ECHO": Command(_echo, 2, is_always=True),
    "CLIENT": Command(_client, -2, is_always=True),
    "INFO": Command(_info, -1, is_always=True),
    "ROLE": Command(_role, 1, is_always=True),
    "TIME": Command(_time, 1, is_always=True),
    "QUIT": Command(_quit, -1, is_always=True, is_open=True),
    "CLUSTER": Command(_no_cluster, -2, is_always=True),
    "ASKING": Command(_no_cluster, 1),
    "READONLY": Command(_ok, 1, is_always=True),
    "READWRITE": Command(_ok, 1, is_always=True),
    "HELLO": Command(_hello, -1, is_always=True, is_open=True),
}
"""The commands of one server by name; a cluster node and a sentinel have some more."""
