"""One database of one server: commands go out, whole answers come back, or one of our errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias, cast

import attrs
import hiredis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from statcore.errors import InputError, ProtocolError
from statcore_valkey.address import Address
from statcore_valkey.deadline import Deadline
from statcore_valkey.faults import echoes_command, from_driver, is_worth_retrying
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
    """A redis-py client of one database, with a waiting room in front of it.

    The driver's pool and connections are used directly: its commands would pack 10,000 keys in 13 ms of one piece.

    Args:
        client: who connects.
        owned: whether the client is closed with the database.
        service: the server's address for messages, without credentials.
        user: the name of the ACL user, for messages.
        pool_size: how many calls use a connection at once.
        slots: as many, for the others to wait at.
    """

    client: Redis = attrs.field(repr=False)
    owned: bool
    service: str
    user: str
    pool_size: int
    slots: asyncio.Semaphore = attrs.field(repr=False)

    @classmethod
    def at(cls, address: Address, /, *, db: int, options: ValkeyOptions) -> Self:
        """Return a database of the server at an address; nothing is sent until it is used."""
        return cls._of(address.client(db=db, options=options), owned=True, options=options)

    @classmethod
    def of(cls, client: Redis, /, *, options: ValkeyOptions) -> Self:
        """Return the database that a client handed in talks to; the client stays its owner's to close."""
        return cls._of(client, owned=False, options=options)

    @classmethod
    def _of(cls, client: Redis, *, owned: bool, options: ValkeyOptions) -> Self:
        settings = client.connection_pool.connection_kwargs
        place = settings.get("path") or f"{settings.get('host')}:{settings.get('port')}"
        return cls(
            client=client,
            owned=owned,
            service=f"Valkey at {place}, database {settings.get('db') or 0}",
            user=settings.get("username") or "default",
            pool_size=options.pool_size,
            slots=asyncio.Semaphore(options.pool_size),
        )

    async def ask(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands in one go and return the answer to each, bytes undecoded; tried again until the deadline.

        Raises:
            InputError: a word of a command is no text, or text that cannot be encoded.
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
            except (RedisError, OSError) as error:
                deadline.failure = from_driver(error, service=self.service, user=self.user)
                if not is_worth_retrying(deadline.failure, error):
                    raise deadline.failure from (None if echoes_command(error) else error)
            else:
                deadline.failure = None
                return answers
            # Own, since the retrying libraries cost as much as the reading of one key.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _exchange(self, packed: bytes, replies: int, deadline: Deadline) -> list[Any]:
        deadline.waits_for = f"one of the {self.pool_size} connections to {self.service}, all of which are busy"
        async with self.slots:
            pool = self.client.connection_pool
            deadline.waits_for = f"a connection to {self.service}"
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            deadline.waits_for = f"an answer from {self.service}"
            try:
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
                await pool.release(connection)
        return answers

    async def aclose(self) -> None:
        """Close the client if it is ours."""
        if self.owned:
            with suppress(RedisError, OSError):  # a server that does not answer the farewell is as gone
                await self.client.aclose()


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
            raise ProtocolError(f"{service} answered {value!s:.200} among the values")
    return values


def expect_integer(answer: object, /, *, service: str) -> int:
    """Return an answer that must be an integer.

    Raises:
        ProtocolError: it is not.
    """
    if not isinstance(answer, int):
        raise ProtocolError(f"{service} answered {answer!r:.200} where an integer was asked for")
    return answer
