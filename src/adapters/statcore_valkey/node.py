"""One server: sends commands in an exchange over a pooled connection, and returns their answers or raises our errors."""

from __future__ import annotations

import weakref
from asyncio import CancelledError, Timeout, current_task, timeout
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from ssl import SSLContext
from typing import Any, Final, Protocol, TypeAlias, cast

import attrs
import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 - redis-py's own

from statcore.concurrency import ITEMS_PER_TURN, Deadline, give_way, limiter
from statcore.errors import InputError, ProtocolError, StatcoreError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.error_mapping import from_driver
from statcore_valkey.server import PasswordFile

Command: TypeAlias = tuple[str | bytes | int, ...]

_pack = cast("Callable[[Command], bytes]", cast("Any", hiredis).pack_command)  # its stub allows only tuples of one word
_ASKING: Final[Command] = ("ASKING",)


class Node(Protocol):
    """One server of a keyspace; `Keyspace` sends commands through it."""

    @property
    def service(self) -> str:
        """The server's address for messages, without credentials."""
        ...

    @property
    def is_cluster(self) -> bool:
        """Whether the server is part of a cluster.

        If it is not, it answers commands of many keys, such as MGET, and an error answer to one command fails the exchange.
        If it is, it gets commands of one key only, and an error answer costs only that command.
        """
        ...

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands at once and return the undecoded answer to each.

        An answer is bytes, an integer, None, or a list of answers. In a cluster it may be an error: a `RedirectError` if
        another server has the key, `WrongTypeError` if the key does not hold a string, `UnavailableError` if the command
        may succeed later, `AccessDeniedError` for a missing permission, `ProtocolError` for any other error.

        A call that is cancelled or that fails must leave no answer for a later call.

        Args:
            commands: the words of each command.
            deadline: the deadline of the call; `deadline.waiting_for` is kept up to date for its error.

        Raises:
            InputError: a word of a command is not text, or is text that cannot be encoded.
            ClosedError: the node is closed, or belongs to another event loop.
            UnavailableError: the server cannot be reached, or cannot answer now.
            AccessDeniedError: the server refuses the user.
            UnsupportedError: the server is part of a cluster, and `is_cluster` is false.
            ProtocolError: the server answers another error, or breaks the Redis protocol.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections that this node made; closing twice is allowed."""
        ...


@attrs.frozen
class AskingNode:
    """A node that takes over a slot; it answers for a key that has moved to it already, if ASKING comes first."""

    node: Node
    is_cluster: bool = attrs.field(default=True, init=False)

    @property
    def service(self) -> str:
        """The server's address for messages, without credentials."""
        return self.node.service

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send ASKING before each command, and return the answers as `Node.exchange` does."""
        words = [word for command in commands for word in (_ASKING, command)]
        answers = await self.node.exchange(words, deadline=deadline)
        pairs = zip(answers[::2], answers[1::2], strict=True)
        return [refusal if isinstance(refusal, StatcoreError) else answer for refusal, answer in pairs]

    async def aclose(self) -> None:
        """Do nothing: the node itself is closed by its owner."""


def _fixed_service(node: RedisNode) -> str | None:
    if isinstance(node.pool, SentinelConnectionPool):
        return None
    settings = node.pool.connection_kwargs
    place = settings.get("path") or f"{settings.get('host')}:{settings.get('port')}"
    return f"Valkey at {place}{node.role}" + (f", database {settings['db'] or 0}" if "db" in settings else "")


def _new_slots(node: RedisNode) -> AbstractAsyncContextManager[object]:
    return limiter(node.pool_size)


@attrs.frozen(kw_only=True, eq=False)
class RedisNode:
    """A `Node` over a pool of redis-py connections, and slots for which further calls wait.

    The driver's pool and connections are used directly: its commands would pack 10,000 keys in 13 ms without a pause.

    Args:
        pool: makes the connections.
        owned: whether the pool is closed with the node.
        pool_size: how many calls use a connection at once.
        lifetime: the lifetime of the store.
        role: what the server is among others, for messages, such as ", the master 'mymaster' of a sentinel".
        is_cluster: whether the server is part of a cluster.
    """

    pool: ConnectionPool = attrs.field(repr=False)
    owned: bool
    pool_size: int
    lifetime: Lifetime
    role: str = ""
    is_cluster: bool = False
    _slots: AbstractAsyncContextManager[object] = attrs.field(
        default=attrs.Factory(_new_slots, takes_self=True), init=False, repr=False
    )
    _service: str | None = attrs.field(default=attrs.Factory(_fixed_service, takes_self=True), init=False, repr=False)
    """The address for messages, or None if it is the address of a master, which may change."""
    _connections: weakref.WeakSet[Any] = attrs.field(factory=weakref.WeakSet[Any], init=False, repr=False)
    _connecting: dict[Timeout, None] = attrs.field(factory=dict[Timeout, None], init=False, repr=False)
    _own_lifetime: Lifetime = attrs.field(factory=Lifetime, init=False, repr=False)
    """It ends before that of the store if the server leaves the cluster."""

    @property
    def service(self) -> str:
        """The server's address for messages, without credentials."""
        if self._service is not None:
            return self._service
        pool: Any = self.pool  # it has no types
        place = f"the {'master' if pool.is_master else 'replicas'} {pool.service_name!r} of a sentinel"
        if pool.master_address is not None:
            place = f"{pool.master_address[0]}:{pool.master_address[1]}, {place}"
        return f"Valkey at {place}, database {pool.connection_kwargs.get('db') or 0}"

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

    def tls_place(self) -> tuple[str, int, SSLContext] | None:
        """Return host, port and TLS context of connections that statcore makes; None without TLS or for a host's client."""
        settings = self.pool.connection_kwargs
        context = settings.get("tls_context")
        return None if context is None else (settings["host"], settings["port"], context.current())

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands at once and return the undecoded answer to each, as `Node.exchange` does."""
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
            raise not_encodable(error) from None
        except TypeError:
            raise not_text() from None
        service = self.service
        cancellations = _cancellations()
        try:
            return await self._exchange(b"".join(packed), commands, deadline, cancellations)
        except Exception as error:
            if self._has_lost_cancellation(cancellations):
                raise CancelledError from None
            if isinstance(error, StatcoreError):
                raise
            driver_error = error
        self.lifetime.check(service)  # closing cuts connections
        raise from_driver(driver_error, service=self.service, user=self.user)

    async def _exchange(
        self, packed: bytes, commands: Sequence[Command], deadline: Deadline, cancellations: int
    ) -> list[Any]:
        service = self.service
        self.lifetime.check(service)
        deadline.waiting_for = f"one of the {self.pool_size} connections to {service}, all of which are busy"
        async with self._slots:
            self.lifetime.check(service)
            deadline.waiting_for = f"a connection to {service}"
            connection = await self._connect()
            self._connections.add(connection)
            deadline.waiting_for = f"an answer from {service}"
            try:
                self.lifetime.check(service)  # the store may have been closed while this call waited
                await connection.send_packed_command(packed)
                if self._has_lost_cancellation(cancellations):
                    raise CancelledError  # noqa: TRY301 - as a driver would
                answers = await self._read(connection, len(commands))
                if not self.is_cluster and not _are_whole(commands, answers):
                    await connection.disconnect(nowait=True)  # the rest of such an answer may come as late as other answers
            except BaseException:
                # The other answers may still arrive; a later call must not read them as its own.
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._release(connection)
        return answers

    async def _connect(self) -> Any:  # noqa: ANN401 - the driver's
        """Return a connection; closing the node ends the wait for one that is being made."""
        async with timeout(None) as until_closed:
            self._connecting[until_closed] = None
            try:
                return await self.pool.get_connection()  # type: ignore[no-untyped-call]
            finally:
                del self._connecting[until_closed]

    def _has_lost_cancellation(self, before: int) -> bool:
        """Return whether the running task has been cancelled since it had been `before` times.

        A client with time-outs of its own may lose a cancellation: before Python 3.12, `asyncio.wait_for` returns or raises
        instead what a write has just returned or raised.
        """
        return not self.owned and _cancellations() > before

    async def _read(self, connection: AbstractConnection, replies: int) -> list[Any]:
        answers: list[Any] = []
        # The driver takes four times as long to hand over a reply that has arrived already. A host's connection is left to
        # the driver, since push messages may arrive on it.
        arrived = _parsed_replies(connection) if self.owned else _nothing_arrived
        for number in range(1, replies + 1):
            answer: object = arrived()
            if type(answer) is object:  # the mark for "not arrived yet"
                try:
                    answer = cast("object", await connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    answer = error
            answers.append(answer if type(answer) is bytes else self._checked(answer))
            # Replies that have arrived are read without waiting; a few replies are large.
            if number < replies and (replies < ITEMS_PER_TURN or number % ITEMS_PER_TURN == 0):
                await give_way()
        if self.owned and _has_unread(connection):
            raise ProtocolError(
                f"{self.service} sent more answers than it got commands; which answer belongs to which command is not known"
            )
        return answers

    def _checked(self, answer: object) -> object:
        """Return an answer that is not bytes; an error costs the exchange, or in a cluster one command."""
        if isinstance(answer, list):
            answers = cast("list[object]", answer)
            if answers and isinstance(answers[0], ConnectionError):
                raise answers[0]  # as the driver does
            return answers
        if not isinstance(answer, Exception):
            return answer
        if not (self.is_cluster and isinstance(answer, ResponseError)):
            raise answer
        return from_driver(answer, service=self.service, user=self.user)

    async def _release(self, connection: AbstractConnection) -> None:
        try:
            await self.pool.release(connection)
        except BaseException:
            await connection.disconnect(nowait=True)  # cancelled, so it did not get back into the pool
            raise
        if self._own_lifetime.closed:
            await connection.disconnect(nowait=True)  # made after the pool was closed

    async def aclose(self) -> None:
        """Close the connections if the pool is owned, even if the call is cancelled; closing twice is allowed."""
        if not self.owned:
            return
        self._own_lifetime.end(self.service)
        for until_closed in self._connecting:
            if not until_closed.expired():  # by closing before, and its call has not run since
                until_closed.reschedule(0)
        try:
            with suppress(RedisError, OSError, RuntimeError):  # the server or the event loop may be gone
                await self.pool.aclose()
        finally:
            for connection in self._connections:
                with suppress(OSError, RuntimeError):
                    await connection.disconnect(nowait=True)  # does not wait, so it cannot be cancelled


async def close_all(nodes: Sequence[Node]) -> None:
    """Close nodes, each even if closing another is cancelled."""
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(node.aclose)


def _parsed_replies(connection: AbstractConnection) -> Callable[[], object]:
    """Return a function that returns the next reply that has arrived, or a plain `object` if none has."""
    reader = _reader(connection)
    return _nothing_arrived if reader is None else partial(reader.gets, False)  # noqa: FBT003 - to decode


def _has_unread(connection: AbstractConnection) -> bool:
    """Return whether bytes have arrived that belong to no reply that was read."""
    reader = _reader(connection)
    return reader is not None and reader.has_data()


def _reader(connection: AbstractConnection) -> hiredis.Reader | None:
    reader = getattr(getattr(connection, "_parser", None), "_reader", None)
    return reader if isinstance(reader, hiredis.Reader) else None


def _are_whole(commands: Sequence[Command], answers: Sequence[Any]) -> bool:
    """Return whether each answer to MGET has as many values as the command has keys."""
    return all(
        type(answer) is list and len(cast("list[object]", answer)) == len(command) - 1
        for command, answer in zip(commands, answers, strict=True)
        if command[0] == "MGET"
    )


_UNREAD: Final = object()


def _nothing_arrived() -> object:
    return _UNREAD


def _cancellations() -> int:
    """Return how often the running task has been cancelled."""
    task = current_task()
    return task.cancelling() if task else 0


def not_text() -> InputError:
    """Return the error for an id that is not text."""
    return InputError("an id is not text; expected text for every id")


def not_encodable(error: UnicodeEncodeError) -> InputError:
    """Return the error for an id that cannot be encoded."""
    return InputError(f"an id holds a lone surrogate at position {error.start}: {error.object!r:.80}")
