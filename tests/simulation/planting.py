"""Faults of the adapters, planted by hand: the simulation must find each."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from redis.asyncio.connection import AbstractConnection

from statcore import concurrency
from statcore.concurrency import Deadline
from statcore.errors import AccessDeniedError, StatcoreError, UnavailableError
from statcore_valkey import commands, databases, error_mapping, fan_out, keyspace, node, server, statistics
from statcore_valkey.commands import ReadValues, Write
from statcore_valkey.entry import StoredEntry
from statcore_valkey.node import RedisNode

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]

_OF_BROKEN_CODE: Final = (TypeError, AttributeError, NameError)
_NAMES_BROKEN_CODE: Final = re.compile(r"\b(Type|Attribute|Name|UnboundLocal)Error\b")
"""Adapters name the errors that they do not expect in their own."""


class BrokenPlantError(Exception):
    """The code of a planted fault fails by itself, since it does not fit the adapter any more."""


def is_found(run: Callable[[], object]) -> bool:
    """Return whether a run fails by a planted fault; what it leaves open is dropped without a warning.

    Raises:
        BrokenPlantError: as in `check_plant`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run()
        except Exception as failure:  # noqa: BLE001 - the check says which
            check_plant(failure)
            return True
        finally:
            gc.collect()
    return False


def check_plant(failure: BaseException) -> None:
    """Check that a planted fault made a run fail by an assertion of the model or by an error of statcore.

    Raises:
        BrokenPlantError: it did not: an error of the kind that wrong code raises was raised, or is named by the failure.
    """
    errors = list(_errors(failure))
    broken = [error for error in errors if _is_of_broken_code(error)]
    if broken or not any(isinstance(error, AssertionError | StatcoreError) for error in errors):
        raise BrokenPlantError(f"the planted fault fails by itself: {[*broken, *errors][0]!r:.500}") from failure


def _errors(failure: BaseException) -> Iterator[BaseException]:
    """Return an error, those in it if it is a group, and those that caused it."""
    yield failure
    of_group = failure.exceptions if isinstance(failure, BaseExceptionGroup) else ()
    context = None if failure.__suppress_context__ else failure.__context__
    for error in (*of_group, failure.__cause__ or context):
        if error is not None:
            yield from _errors(error)


def _is_of_broken_code(error: BaseException) -> bool:
    if isinstance(error, AssertionError):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if "plant" in Path(frame.f_code.co_filename).name:
            return True
    return isinstance(error, _OF_BROKEN_CODE) or _NAMES_BROKEN_CODE.search(str(error)) is not None


def a_connection_goes_back_dirty(patch: pytest.MonkeyPatch) -> None:
    """A cancelled or failed exchange gives its connection back, with an answer that is still to come."""
    read_response = AbstractConnection.read_response

    async def exchange(self: Any, packed: bytes, commands: Sequence[object], *_: object) -> list[Any]:
        async with self._slots:
            connection = await self.pool.get_connection()
            try:
                await connection.send_packed_command(packed)
                answers: list[Any] = await self._read(connection, len(commands))
                return answers
            finally:
                await self.pool.release(connection)

    async def read(self: Any, **settings: Any) -> Any:
        return await read_response(self, **settings, disconnect_on_error=False)

    patch.setattr(RedisNode, "_exchange", exchange)
    patch.setattr(AbstractConnection, "read_response", read)


def answers_are_shifted(patch: pytest.MonkeyPatch) -> None:
    """Each command of an exchange gets the answer of the one before."""
    _change_answers(patch, lambda answers: [answers[-1], *answers[:-1]])


def a_cancellation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    """A cancelled exchange is made again."""
    exchange = RedisNode.exchange

    async def again(self: RedisNode, commands: Any, **settings: Any) -> list[Any]:
        try:
            return await exchange(self, commands, **settings)
        except asyncio.CancelledError:
            try:
                return await exchange(self, commands, **settings)
            except StatcoreError:
                raise asyncio.CancelledError from None  # or the call would be retried for ever, without a deadline

    patch.setattr(RedisNode, "exchange", again)


def the_host_loses_a_cancellation(patch: pytest.MonkeyPatch) -> None:
    """What `asyncio.wait_for` does before Python 3.12 to a host's client is not made good."""
    patch.setattr(RedisNode, "_has_lost_cancellation", lambda *_: False)


def the_deadline_is_late(patch: pytest.MonkeyPatch) -> None:
    """A call may take three times as long as it was given."""
    start = Deadline.__init__

    def start_late(self: Deadline, timeout_s: float, /, **settings: Any) -> None:
        start(self, 3 * timeout_s, **settings)

    patch.setattr(Deadline, "__init__", start_late)


def the_first_failure_is_the_last(patch: pytest.MonkeyPatch) -> None:
    """A call gives up at its first failure, long before its deadline."""
    retry = concurrency.retry

    async def once(attempt: Any, **settings: Any) -> Any:
        return await retry(attempt, **{**settings, "is_retryable": lambda _: False})

    patch.setattr(fan_out, "retry", once)


def nothing_ends_the_pauses(patch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts grow without a bound, so that a server that is well again is not asked."""
    patch.setattr(fan_out, "_LONGEST_PAUSE_S", 1_000.0)
    patch.setattr(fan_out, "_FIRST_PAUSE_S", 0.5)


def retries_do_not_pause(patch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other as fast as they fail."""
    patch.setattr(fan_out, "_FIRST_PAUSE_S", 0.0)
    patch.setattr(fan_out, "_LONGEST_PAUSE_S", 0.0)


def a_failure_is_nothing(patch: pytest.MonkeyPatch) -> None:
    """Ids whose server does not answer have no entry."""
    work = keyspace._work

    async def nothing(node_: Any, keys: Sequence[str], *rest: Any) -> list[Any]:
        try:
            return await work(node_, keys, *rest)
        except StatcoreError:
            return [None] * len(keys)

    patch.setattr(keyspace, "_work", nothing)


def parts_are_joined_in_another_order(patch: pytest.MonkeyPatch) -> None:
    """The last of several commands comes first in the batch."""
    parts = commands._parts
    patch.setattr(commands, "_parts", lambda items: parts(items)[::-1])


def too_few_values_are_taken(patch: pytest.MonkeyPatch) -> None:
    """A reply with fewer values than keys is filled up."""
    expect_values = commands.expect_values

    def fill(answer: Any, *, length: int, node: Any) -> list[Any]:
        values = [*answer, *[None] * (length - len(answer))] if isinstance(answer, list) else answer
        return expect_values(values, length=length, node=node)

    patch.setattr(commands, "expect_values", fill)


def an_error_inside_is_nothing(patch: pytest.MonkeyPatch) -> None:
    """An error among the values is taken for a missing key."""
    expect_values = commands.expect_values

    def drop(answer: Any, *, length: int, node: Any) -> list[Any]:
        values = (
            [None if isinstance(value, Exception) else value for value in answer] if isinstance(answer, list) else answer
        )
        return expect_values(values, length=length, node=node)

    patch.setattr(commands, "expect_values", drop)


def another_type_is_nothing(patch: pytest.MonkeyPatch) -> None:
    """A key of another type looks like one that does not exist."""

    async def explain_nothing(*_: object) -> None:
        """Leave the values as they are."""

    patch.setattr(ReadValues, "_explain", explain_nothing)


def an_answer_too_many_is_kept(patch: pytest.MonkeyPatch) -> None:
    """More replies than commands are not seen."""
    patch.setattr(node, "_has_unread", lambda _: False)


def old_answers_are_shown(patch: pytest.MonkeyPatch) -> None:
    """Where the server does not answer, the last answer to the same commands is given again."""
    exchange = RedisNode.exchange
    known: dict[Any, list[Any]] = {}

    async def remember(self: RedisNode, commands: Any, **settings: Any) -> list[Any]:
        question = str(commands)
        try:
            known[question] = await exchange(self, commands, **settings)
        except UnavailableError:
            if question not in known:
                raise
        return known[question]

    patch.setattr(RedisNode, "exchange", remember)


def one_bad_entry_costs_the_batch(patch: pytest.MonkeyPatch) -> None:
    """A malformed entry fails the call."""

    def fail(_: Any, __: str, error: Exception) -> None:
        raise error

    patch.setattr(statistics._BatchReader, "_refuse", fail)


def bad_entries_are_taken(patch: pytest.MonkeyPatch) -> None:
    """Payloads are not checked before they are handed over."""
    patch.setattr(statistics, "read_metrics", StoredEntry)


def a_task_is_left(patch: pytest.MonkeyPatch) -> None:
    """After a failure something goes on in the background."""
    from_driver = error_mapping.from_driver
    tasks: list[object] = []

    def leave(*arguments: Any, **settings: Any) -> StatcoreError:
        tasks.append(asyncio.create_task(asyncio.sleep(1e6)))
        return from_driver(*arguments, **settings)

    patch.setattr(node, "from_driver", leave)


def connections_stay_open(patch: pytest.MonkeyPatch) -> None:
    """Closing the store closes nothing."""

    async def do_nothing(_: Any) -> None:
        """Leave the connections open."""

    patch.setattr(RedisNode, "aclose", do_nothing)


def a_slot_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A cancelled exchange keeps its place among those that may use a connection."""
    exchange = RedisNode._exchange

    async def keep(self: Any, *arguments: Any) -> list[Any]:
        try:
            return await exchange(self, *arguments)
        except asyncio.CancelledError:
            if not self._slots.locked():
                await self._slots.acquire()
            raise

    patch.setattr(RedisNode, "_exchange", keep)


def databases_are_mixed_up(patch: pytest.MonkeyPatch) -> None:
    """Connections stay in the first database."""
    new_pool = server.new_pool
    patch.setattr(databases, "new_pool", lambda address, settings: new_pool(address, settings | {"db": 0}))


def what_has_not_arrived_is_nothing(patch: pytest.MonkeyPatch) -> None:
    """A reply that comes in pieces is taken for no value."""
    parsed = node._parsed_replies

    def impatient(connection: AbstractConnection) -> Callable[[], object]:
        arrived = parsed(connection)

        def gets() -> object:
            answer = arrived()
            return [] if type(answer) is object and node._has_unread(connection) else answer

        return gets

    patch.setattr(node, "_parsed_replies", impatient)


def ages_are_of_younger_entries(patch: pytest.MonkeyPatch) -> None:
    """Times to live are read after the entries, so that an old entry may seem young."""
    exchange = RedisNode.exchange

    async def reversed_exchange(self: RedisNode, commands: Any, **settings: Any) -> list[Any]:
        if not any(command[0] == "PTTL" for command in commands):
            return await exchange(self, commands, **settings)
        return (await exchange(self, commands[::-1], **settings))[::-1]

    patch.setattr(RedisNode, "exchange", reversed_exchange)


def writes_are_confirmed_blindly(patch: pytest.MonkeyPatch) -> None:
    """A write that failed is said to be done."""
    call = Write.__call__

    async def confirm(self: Any, node_: Any, positions: Sequence[int], **settings: Any) -> list[Any]:
        try:
            return await call(self, node_, positions, **settings)
        except StatcoreError:
            return [b"OK"] * len(positions)

    patch.setattr(Write, "__call__", confirm)


def refusals_are_tried_again(patch: pytest.MonkeyPatch) -> None:
    """A user who may not read, or whose password is wrong, is tried until the deadline."""
    patch.setattr(AccessDeniedError, "retryable", True)


def texts_of_servers_are_shown(patch: pytest.MonkeyPatch) -> None:
    """An error shows what the server wrote, which may repeat a command with the password."""
    patch.setattr(error_mapping, "describe", str)


def _change_answers(patch: pytest.MonkeyPatch, change: Callable[[list[Any]], list[Any]]) -> None:
    exchange = RedisNode.exchange

    async def changed(self: RedisNode, commands: Any, **settings: Any) -> list[Any]:
        return change(await exchange(self, commands, **settings))

    patch.setattr(RedisNode, "exchange", changed)


STORE_PLANTS: Final[list[Plant]] = [
    a_connection_goes_back_dirty,
    answers_are_shifted,
    a_cancellation_is_swallowed,
    *([the_host_loses_a_cancellation] if sys.version_info < (3, 12) else []),
    the_deadline_is_late,
    the_first_failure_is_the_last,
    nothing_ends_the_pauses,
    retries_do_not_pause,
    a_failure_is_nothing,
    parts_are_joined_in_another_order,
    too_few_values_are_taken,
    an_error_inside_is_nothing,
    another_type_is_nothing,
    an_answer_too_many_is_kept,
    old_answers_are_shown,
    one_bad_entry_costs_the_batch,
    bad_entries_are_taken,
    a_task_is_left,
    connections_stay_open,
    a_slot_is_lost,
    databases_are_mixed_up,
    what_has_not_arrived_is_nothing,
    ages_are_of_younger_entries,
    writes_are_confirmed_blindly,
    refusals_are_tried_again,
    texts_of_servers_are_shown,
]
"""Faults of the store that every scenario of one Valkey meets."""
