"""The databases of a server: sends commands over pooled connections, and returns complete answers or raises our errors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Self, TypeAlias, cast

import attrs
import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisError

from statcore.concurrency import ITEMS_PER_TURN, Deadline, give_way, limiter, retry
from statcore.errors import InputError, ProtocolError, StatcoreError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.error_mapping import describe, from_driver, is_retryable
from statcore_valkey.options import ValkeyOptions
from statcore_valkey.server import PasswordFile, Server

Command: TypeAlias = tuple[str | bytes | int, ...]

KEYS_PER_COMMAND: Final = 1_000
"""The most keys of one command: one or two milliseconds of work between turns of the event loop."""
_pack = cast("Callable[[Command], bytes]", cast("Any", hiredis).pack_command)  # its stub allows only tuples of one word
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0


def _new_slots(database: Database) -> AbstractAsyncContextManager[object]:
    return limiter(database.pool_size)


@attrs.frozen(kw_only=True, eq=False)
class Database:
    """One logical database: a pool of redis-py connections, and slots for which further calls wait.

    The driver's pool and connections are used directly: its commands would pack 10,000 keys in 13 ms without a pause.

    Args:
        pool: makes the connections.
        owned: whether the pool is closed with the database.
        pool_size: how many calls use a connection at once.
        lifetime: the lifetime of the store.
    """

    pool: ConnectionPool = attrs.field(repr=False)
    owned: bool
    pool_size: int
    lifetime: Lifetime
    _slots: AbstractAsyncContextManager[object] = attrs.field(
        default=attrs.Factory(_new_slots, takes_self=True), init=False, repr=False
    )
    _connections: weakref.WeakSet[Any] = attrs.field(factory=weakref.WeakSet[Any], init=False, repr=False)

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
        """The ACL user for messages; a name without a password is not shown, since it may be a misplaced password."""
        settings = self.pool.connection_kwargs
        provider = settings.get("credential_provider")
        if isinstance(provider, PasswordFile):
            return repr(provider.username or "default")
        if provider is not None:
            return "of the client's credential provider"
        if settings.get("username") and not settings.get("password"):
            return "that is given without a password"
        return repr(settings.get("username") or "default")

    async def execute(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands in one exchange and return the undecoded answer to each; retry until the deadline.

        Raises:
            InputError: a word of a command is not text, or is text that cannot be encoded.
            ClosedError: the store is closed, or belongs to another event loop.
            UnavailableError: the server cannot be reached, or cannot answer now.
            AccessDeniedError: the server refuses the user.
            UnsupportedError: the server is part of a cluster.
            ProtocolError: the server answers another error, or breaks the Redis protocol.
        """
        packed: list[bytes] = []
        words = 0
        try:
            for command in commands:
                packed.append(_pack(command))
                words += len(command)
                if words > ITEMS_PER_TURN:
                    words = 0
                    await give_way()
        except UnicodeEncodeError as error:
            raise InputError(f"an id holds a lone surrogate at position {error.start}: {error.object!r:.80}") from None
        except TypeError:
            raise InputError("an id is not text; expected text for every id") from None
        return await retry(
            lambda: self._attempt(b"".join(packed), len(commands), deadline),
            deadline=deadline,
            is_retryable=is_retryable,
            first_pause_s=_FIRST_PAUSE_S,
            longest_pause_s=_LONGEST_PAUSE_S,
        )

    async def _attempt(self, packed: bytes, replies: int, deadline: Deadline) -> list[Any]:
        """Return the answers of one exchange, or raise our error and note it as the deadline's failure."""
        try:
            answers = await self._exchange(packed, replies, deadline)
        except StatcoreError:
            raise
        except Exception as error:  # noqa: BLE001 - no closed list of what a driver raises would be complete
            driver_error = error
        else:
            deadline.failure = None
            return answers
        self.lifetime.check(self.service)  # closing cuts connections
        deadline.failure = from_driver(driver_error, service=self.service, user=self.user)
        raise deadline.failure

    async def _exchange(self, packed: bytes, replies: int, deadline: Deadline) -> list[Any]:
        service = self.service
        self.lifetime.check(service)
        deadline.waiting_for = f"one of the {self.pool_size} connections to {service}, all of which are busy"
        async with self._slots:
            self.lifetime.check(service)
            deadline.waiting_for = f"a connection to {service}"
            connection = await self.pool.get_connection()  # type: ignore[no-untyped-call]
            self._connections.add(connection)
            deadline.waiting_for = f"an answer from {service}"
            try:
                self.lifetime.check(service)  # the store may have been closed while this call waited
                await connection.send_packed_command(packed)
                answers: list[Any] = []
                for number in range(1, replies + 1):
                    answers.append(await connection.read_response(disable_decoding=True))
                    # Replies that have arrived are read without waiting; a few replies are large.
                    if number < replies and (replies < ITEMS_PER_TURN or number % ITEMS_PER_TURN == 0):
                        await give_way()
            except BaseException:
                # The other answers may still arrive; a later call must not read them as its own.
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
        """Close the connections if the pool is owned, even if the call is cancelled; closing twice is allowed.

        Raises:
            ClosedError: the store belongs to another event loop, which is not closed.
        """
        self.lifetime.end(self.service)
        if not self.owned:
            return
        try:
            with suppress(RedisError, OSError, RuntimeError):  # the server or the event loop may be gone
                await self.pool.aclose()
        finally:
            for connection in self._connections:
                with suppress(OSError, RuntimeError):
                    await connection.disconnect(nowait=True)  # does not wait, so it cannot be cancelled


@attrs.frozen(eq=False)
class DatabasePair:
    """The two databases of the wire format, opened and closed together.

    Args:
        statistics: the database with the statistics of kernels, sessions, agents, endpoints and replicas.
        live: the database with the activity of sessions.
        timeout_s: the deadline of a call in seconds.
    """

    statistics: Database
    live: Database
    timeout_s: float

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions) -> Self:
        """Return the databases of the server at a URL, by their numbers in the options; nothing is sent yet.

        Raises:
            InputError: the URL or an option cannot be used, or they contradict each other.
        """
        server = Server.from_url(url)
        if server.db not in (None, options.statistics_db):
            raise InputError(f"the URL names database {server.db}, but statistics_db is {options.statistics_db}")
        pools = server.pools(options.statistics_db, options.live_db, options=options)
        return cls._of(*pools, owned=True, options=options)

    @classmethod
    def from_clients(cls, statistics: Redis, live: Redis, /, *, options: ValkeyOptions) -> Self:
        """Return the databases of clients that a host hands in; the host closes them.

        Raises:
            InputError: a client cannot be used; the message names the argument.
        """
        pools = _pool_of(statistics, name="statistics"), _pool_of(live, name="live")
        return cls._of(*pools, owned=False, options=options)

    @classmethod
    def _of(cls, *pools: ConnectionPool, owned: bool, options: ValkeyOptions) -> Self:
        lifetime = Lifetime()
        statistics, live = (
            Database(pool=pool, owned=owned, pool_size=options.pool_size, lifetime=lifetime) for pool in pools
        )
        return cls(statistics, live, options.timeout_s)

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


def _pool_of(client: Redis, *, name: str) -> ConnectionPool:
    if not isinstance(client, Redis):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        kind = type(client)
        raise InputError(
            f"{name} cannot be {kind.__module__}.{kind.__qualname__}; expected redis.asyncio.Redis, as its constructor,"
            " Redis.from_pool(pool) or a Sentinel's master_for(…) makes it. Clients of clusters, of other drivers and"
            " without asyncio are not supported; ClientStatistics takes clients with methods get_…_statistics_batch"
        )
    return client.connection_pool


def expect_values(answer: object, /, *, length: int, database: Database) -> list[bytes | None]:
    """Return the answer to MGET, a string or None for each key.

    Raises:
        ProtocolError: the answer has another form; pairing it with the keys would give an id the entry of another id.
    """
    if not isinstance(answer, list):
        raise ProtocolError(f"{database.service} answered {type(answer).__name__}, not a list of {length} values")
    values = cast("list[bytes | None]", answer)
    if len(values) != length:
        raise ProtocolError(f"{database.service} answered {len(values)} values, not {length}")
    for value in values:
        if value is not None and type(value) is not bytes:
            found = describe(value) if isinstance(value, Exception) else type(value).__name__
            raise ProtocolError(f"{database.service} answered something that is not bytes among the values: {found}")
    return values


def expect_integer(answer: object, /, *, database: Database) -> int:
    """Return an answer, which must be an integer.

    Raises:
        ProtocolError: the answer is not an integer.
    """
    if not isinstance(answer, int):
        raise ProtocolError(f"{database.service} answered {type(answer).__name__}, not an integer")
    return answer
