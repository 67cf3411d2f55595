"""One database of one server: commands go out, whole answers come back, or one of our errors."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias, cast

import attrs
import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisError

from statcore.errors import InputError, ProtocolError, StatcoreError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.deadline import Deadline
from statcore_valkey.faults import cause_of, describe_driver, from_driver, is_worth_retrying
from statcore_valkey.files import PasswordFile
from statcore_valkey.options import ValkeyOptions

Command: TypeAlias = tuple[str | bytes | int, ...]

AT_A_TIME: Final = 1_000
"""How many keys one exchange names at most: a millisecond or two of work between turns of the event loop."""
_pack = cast("Callable[[Command], bytes]", cast("Any", hiredis).pack_command)  # its stub knows tuples of one word only
_REPLIES_A_TURN: Final = 128
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0


@attrs.frozen(kw_only=True, eq=False)
class Database:
    """A pool of redis-py connections to one database, with a waiting room in front of it.

    The driver's pool and connections are used directly: its commands would pack 10,000 keys in 13 ms of one piece.

    Args:
        pool: who connects.
        owned: whether the pool is closed with the database.
        pool_size: how many calls use a connection at once.
        slots: as many, for the others to wait at.
        lifetime: that of the store.
    """

    pool: ConnectionPool = attrs.field(repr=False)
    owned: bool
    pool_size: int
    slots: asyncio.Semaphore = attrs.field(repr=False)
    lifetime: Lifetime
    _connections: weakref.WeakSet[Any] = attrs.field(factory=weakref.WeakSet[Any], init=False, repr=False)

    @classmethod
    def own(cls, pool: ConnectionPool, /, *, options: ValkeyOptions, lifetime: Lifetime) -> Self:
        """Return the database that a pool of ours connects to; nothing is sent until it is used."""
        return cls._of(pool, owned=True, options=options, lifetime=lifetime)

    @classmethod
    def of(cls, client: Redis, /, *, name: str, options: ValkeyOptions, lifetime: Lifetime) -> Self:
        """Return the database that a client handed in talks to; the client stays its owner's to close.

        Raises:
            InputError: it is not a client that can be used; the message names the argument.
        """
        if not isinstance(client, Redis):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            kind = type(client)
            raise InputError(
                f"{name} cannot be {kind.__module__}.{kind.__qualname__}; expected redis.asyncio.Redis, as its constructor,"
                " Redis.from_pool(pool) or a Sentinel's master_for(…) makes it. Clients of clusters, of other drivers and"
                " without asyncio are not supported; ClientStatistics takes clients with methods get_…_statistics_batch"
            )
        return cls._of(client.connection_pool, owned=False, options=options, lifetime=lifetime)

    @classmethod
    def _of(cls, pool: ConnectionPool, *, owned: bool, options: ValkeyOptions, lifetime: Lifetime) -> Self:
        slots = asyncio.Semaphore(options.pool_size)
        return cls(pool=pool, owned=owned, pool_size=options.pool_size, slots=slots, lifetime=lifetime)

    @property
    def service(self) -> str:
        """The server's address for messages, without credentials."""
        settings = self.pool.connection_kwargs
        if isinstance(self.pool, SentinelConnectionPool):
            pool: Any = self.pool  # it has no types
            place = f"the {'master' if pool.is_master else 'replicas'} {pool.service_name!r} of a sentinel"
            if pool.master_address is not None:
                place = f"{pool.master_address[0]}:{pool.master_address[1]}, {place}"
        else:
            place = settings.get("path") or f"{settings.get('host')}:{settings.get('port')}"
        return f"Valkey at {place}, database {settings.get('db') or 0}"

    @property
    def user(self) -> str:
        """The name of the ACL user for messages; a name without a password may be a password in the wrong place."""
        settings = self.pool.connection_kwargs
        provider = settings.get("credential_provider")
        if isinstance(provider, PasswordFile):
            return repr(provider.username or "default")
        if provider is not None:
            return "of the client's credential provider"
        if settings.get("username") and not settings.get("password"):
            return "that is given without a password"
        return repr(settings.get("username") or "default")

    async def ask(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands in one go and return the answer to each, bytes undecoded; tried again until the deadline.

        Raises:
            InputError: a word of a command is no text, or text that cannot be encoded.
            ClosedError: the store is closed, or belongs to another event loop.
            UnavailableError, AccessDeniedError: the server cannot be reached, cannot answer now, or refuses.
            ProtocolError: an answer is an error of another kind, or none at all.
        """
        try:
            packed = b"".join(map(_pack, commands))
        except UnicodeEncodeError as error:
            raise InputError(f"an id holds a lone surrogate at position {error.start}: {error.object!r:.80}") from None
        except TypeError:
            raise InputError("an id must be text, and one of them is not") from None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                answers = await self._exchange(packed, len(commands), deadline)
            except StatcoreError:
                raise
            except Exception as error:  # noqa: BLE001 - no closed list of what a driver raises would be complete
                if self.lifetime.closed:
                    continue  # closing cut the connection, and the next try says so
                deadline.failure = from_driver(error, service=self.service, user=self.user)
                if not is_worth_retrying(deadline.failure, error):
                    raise deadline.failure from cause_of(error)
            else:
                deadline.failure = None
                return answers
            # Own, since the retrying libraries cost as much as the reading of one key.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _exchange(self, packed: bytes, replies: int, deadline: Deadline) -> list[Any]:
        service = self.service
        self.lifetime.check(service)
        deadline.waits_for = f"one of the {self.pool_size} connections to {service}, all of which are busy"
        async with self.slots:
            self.lifetime.check(service)
            deadline.waits_for = f"a connection to {service}"
            connection = await self.pool.get_connection()  # type: ignore[no-untyped-call]
            self._connections.add(connection)
            deadline.waits_for = f"an answer from {service}"
            try:
                self.lifetime.check(service)  # closed while it connected
                await connection.send_packed_command(packed)
                answers: list[Any] = []
                for number in range(replies):
                    if number % _REPLIES_A_TURN == _REPLIES_A_TURN - 1:
                        await asyncio.sleep(0)  # replies that are there already are read without waiting
                    answers.append(await connection.read_response(disable_decoding=True))
            except BaseException:
                # The rest of the answers may be on its way still: nobody must ever read it as his own.
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._release(connection)
        return answers

    async def _release(self, connection: AbstractConnection) -> None:
        try:
            await self.pool.release(connection)
        except BaseException:
            await connection.disconnect(nowait=True)  # cancelled, so it did not get back into the pool
            raise

    async def aclose(self) -> None:
        """Close the connections if the pool is ours; cancelled, it closes them all the same.

        Raises:
            ClosedError: its event loop is another one that is not closed.
        """
        self.lifetime.end(self.service)
        if not self.owned:
            return
        try:
            with suppress(RedisError, OSError, RuntimeError):  # a server or a loop that is gone hears no farewell
                await self.pool.aclose()
        finally:
            for connection in self._connections:
                with suppress(OSError, RuntimeError):
                    await connection.disconnect(nowait=True)  # does not wait, and so is not cancelled half-way


def expect_values(answer: object, /, *, length: int, service: str) -> list[bytes | None]:
    """Return the answer to MGET: as many strings or nils as there were keys.

    Raises:
        ProtocolError: it is something else; pairing it with the keys would give an id the entry of another.
    """
    if not isinstance(answer, list):
        raise ProtocolError(f"{service} answered {type(answer).__name__} where {length} values were asked for")
    values = cast("list[bytes | None]", answer)
    if len(values) != length:
        raise ProtocolError(f"{service} answered {len(values)} values where {length} were asked for")
    for value in values:
        if value is not None and type(value) is not bytes:
            found = describe_driver(value) if isinstance(value, Exception) else type(value).__name__
            raise ProtocolError(f"{service} answered something else among the values: {found}")
    return values


def expect_integer(answer: object, /, *, service: str) -> int:
    """Return an answer that must be an integer.

    Raises:
        ProtocolError: it is not.
    """
    if not isinstance(answer, int):
        raise ProtocolError(f"{service} answered {type(answer).__name__} where an integer was asked for")
    return answer
