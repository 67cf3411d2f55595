"""The harness of cancellations finds each way in which a client can go wrong when it is cancelled."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial

import pytest

from statcore.testing.simulation import Simulation
from statcore.testing.simulation.cancellation import Cancelled, Setting, cancel_at_moments


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with itself."""
    while line := await reader.readline():
        writer.write(line)
    writer.close()


class Client:
    """Asks a server over one connection, which is closed when a question is cancelled."""

    def __init__(self) -> None:
        """Open nothing."""
        self._turn = asyncio.Lock()
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        async with self._turn:
            if self.streams is None:
                self.streams = await asyncio.open_connection("store", 7)
            reader, writer = self.streams
            try:
                writer.write(question)
                return await reader.readline()
            except BaseException:
                self.fail()
                raise

    def fail(self) -> None:
        """Give up the connection after an error."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


class ReusesConnections(Client):
    """Goes on with a connection on which an answer is still to come."""

    def fail(self) -> None:
        """Do nothing."""


class LosesConnections(Client):
    """Forgets a connection without closing it."""

    def fail(self) -> None:
        """Forget the connection."""
        self.streams = None


class Swallows(Client):
    """Takes a cancellation for a missing answer."""

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question, or nothing."""
        with suppress(asyncio.CancelledError):
            return await super().ask(question)
        return b""


class Renames(Client):
    """Takes a cancellation for a time-out."""

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        try:
            return await super().ask(question)
        except asyncio.CancelledError:
            raise TimeoutError from None


class LeavesTask(Client):
    """Asks in a task, which goes on after the question is cancelled."""

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        return await asyncio.shield(asyncio.create_task(super().ask(question)))


class HoldsItsTurn(Client):
    """Gives back its turn only if nothing goes wrong."""

    def __init__(self) -> None:
        """Let anyone begin."""
        super().__init__()
        self.begin = asyncio.Lock()

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        await self.begin.acquire()
        answer = await super().ask(question)
        self.begin.release()
        return answer


class CleansUpLate(Client):
    """Closes its connection after a wait, which another cancellation ends."""

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        try:
            return await super().ask(question)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.close()
            raise

    def fail(self) -> None:
        """Leave the connection to `ask`."""


class KnowsItsTask(Client):
    """Keeps the task of a question in the task's own context."""

    own_task: ContextVar[asyncio.Task[object]] = ContextVar("own_task")

    def __init__(self, tasks: weakref.WeakSet[asyncio.Task[object]]) -> None:
        """Add the task of each question to `tasks`."""
        super().__init__()
        self.tasks = tasks

    async def ask(self, question: bytes) -> bytes:
        """Return the answer to a question."""
        task = asyncio.current_task()
        assert task is not None
        self.own_task.set(task)
        self.tasks.add(task)
        return await super().ask(question)


def setting_of(new_client: Callable[[], Client]) -> Setting:
    """Return the setting of a question of a client, which has asked before."""

    @asynccontextmanager
    async def setting(_: Simulation) -> AsyncIterator[Cancelled]:
        await asyncio.start_server(echo, "store", 7)
        client = new_client()

        async def check() -> None:
            for number in range(3):
                question = f"{number}\n".encode()
                assert question == await client.ask(question)

        yield Cancelled(lambda: client.ask(b"question\n"), check)
        client.close()

    return setting


def test_a_client_that_cleans_up_passes() -> None:
    """It is cancelled while it connects, while it waits, and when its answer is there."""
    assert 5 == cancel_at_moments(setting_of(Client), seed=1)


def test_cancelled_calls_do_not_fill_the_memory() -> None:
    """Nothing is left of the tasks of a run, though they refer to themselves."""
    tasks = weakref.WeakSet[asyncio.Task[object]]()
    cancel_at_moments(setting_of(partial(KnowsItsTask, tasks)), seed=1)
    assert [] == [*tasks]


@pytest.mark.parametrize(
    ("client", "finding"),
    [
        (ReusesConnections, "question"),
        (LosesConnections, "unclosed"),
        (Swallows, "lost its cancellation"),
        (Renames, "lost its cancellation"),
        (LeavesTask, "tasks of the call are left"),
        (HoldsItsTurn, "next call has not ended"),
        (CleansUpLate, "question"),
    ],
)
def test_a_client_that_goes_wrong_is_found(client: Callable[[], Client], finding: str) -> None:
    """Each fault is found at a moment, which the failure names with the line where the call waited."""
    with pytest.raises(AssertionError, match=finding) as raised:
        cancel_at_moments(setting_of(client), seed=1)
    (*_, where) = raised.value.__notes__
    assert re.fullmatch(
        r"cancelled at moment \d+, at test_cancellation_harness.py:\d+ in .*\.ask.*", where.partition("\n")[0]
    )
