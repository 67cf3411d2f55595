"""Cases of cancellation: a client of simulated servers, and calls whose answers tell one call from another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any, Literal, TypeAlias

import attrs
from tests.simulation.cancelled_world import WITNESSES, Ports, prepare

from statcore.errors import ClosedError
from statcore.model import StatisticsBatch
from statcore.testing.expectations import expect, plain
from statcore.testing.simulation import Simulation
from statcore.testing.simulation.cancellation import Cancelled, cancel_at_moments

Call: TypeAlias = Callable[[Any], Awaitable[object]]
"""A call of a client."""
Calls: TypeAlias = Mapping[str, Sequence[Call]]
"""By the name of a coroutine, calls of it with different answers."""
Opening: TypeAlias = Callable[[Simulation, int], AbstractAsyncContextManager[Ports]]
"""Starts servers, and opens and closes ports that read from them over so many connections to each at most."""
_PIECE_BYTES = 64
"""How much of an answer arrives at once among others, so that a call is cancelled with a part of it, too."""


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """A class, or a module with functions, whose coroutines are cancelled.

    Args:
        home: the class or module.
        ports: opens what it reads through.
        of: makes the client of the ports.
        calls: by coroutine, calls with different answers. The first is cancelled, and all are made afterwards, at once.
        leaves_tasks: whether the search for the servers of a cluster may go on after a call, for the next one: never, after
            the first call of a new client, or always.
        is_client: whether it has connections or tasks that its calls share.
        note: tells it from another subject with this home.
    """

    home: type | ModuleType
    ports: Opening
    of: Callable[[Ports], Any] = lambda ports: ports
    calls: Calls
    leaves_tasks: Literal["never", "new", "always"] = "never"
    is_client: bool = False
    note: str = ""

    def cases(self) -> list[Case]:
        """Return a case for each coroutine, and of a client more for the first one and for closing."""
        cases = [Case(self, method) for method in self.calls]
        if self.is_client:
            first = next(iter(self.calls))
            cases += [Case(self, first, "new"), Case(self, first, "among others")]
        if self.is_client and "aclose" in self.calls:
            cases.append(Case(self, "aclose", "among others"))
        return cases


@attrs.frozen(eq=False)
class Case:
    """A coroutine of a subject.

    Args:
        subject: the subject.
        method: the name of the coroutine.
        circumstances: whether the call that is cancelled is the first of its client, which has to connect, or runs among
            others, which are not cancelled, or alone.
    """

    subject: Subject
    method: str
    circumstances: Literal["new", "among others", ""] = ""

    @property
    def coroutine(self) -> str:
        """The full name of the coroutine."""
        home = self.subject.home
        name = f"{home.__module__}.{home.__qualname__}" if isinstance(home, type) else home.__name__
        return f"{name}.{self.method}"

    def __str__(self) -> str:
        """Name the case."""
        notes = filter(None, [self.subject.note, self.circumstances])
        return "-".join([self.coroutine, *notes])

    def cancel(self, *, seed: int, most: int | None) -> int:
        """Cancel the call at its moments, at most at so many, and return their number."""
        prepare()
        return cancel_at_moments(partial(self._setting, []), seed=seed, most=most)

    @asynccontextmanager
    async def _setting(self, expected: list[object], simulation: Simulation) -> AsyncIterator[Cancelled]:
        """Open the client, use it before unless it is new, and start the others.

        Args:
            expected: the right answers; empty in the first run, which nobody cancels, and filled with its answers.
            simulation: the simulation.
        """
        # One connection shows that it was not lost, and two that they are not mixed up.
        async with self.subject.ports(simulation, 2 if self.circumstances == "among others" else 1) as ports:
            if self.circumstances == "among others":
                for name in ("valkey", "prometheus"):
                    simulation.network.host(name).path.piece_bytes = _PIECE_BYTES
            client = self.subject.of(ports)
            if self.circumstances != "new":
                await self._read_all(client, ports)
            others = [asyncio.create_task(self._read_all(client, ports))] if self.circumstances == "among others" else []

            async def check() -> None:
                for answers in [*[await other for other in others], await self._read_all(client, ports)]:
                    if not expected:
                        told_apart = [repr(answer) for answer in answers if answer is not None]
                        expect(len(told_apart), len(set(told_apart)), "different answers")
                        expected.extend(answers)
                    expect(expected, answers, "the answers of calls that are not cancelled")

            async def check_closed() -> None:
                """Expect a client that is open and whole, or closed without a connection."""
                try:
                    await check()
                except ClosedError:
                    expect(
                        [], [end for end in simulation.network.ends() if end.is_client], "connections that are left open"
                    )

            call = self.subject.calls[self.method][0]
            yield Cancelled(
                lambda: call(client), check_closed if self.method == "aclose" else check, leaves_tasks=self._leaves_tasks
            )

    @property
    def _leaves_tasks(self) -> bool:
        if self.circumstances == "among others":  # they may wait for the same
            return True
        return self.subject.leaves_tasks == "always" or (self.subject.leaves_tasks == self.circumstances == "new")

    async def _read_all(self, client: object, ports: Ports) -> list[object]:
        """Make the calls, all at once, and then read from the ports; a client that is closed is not theirs alone."""
        is_closing = self.method == "aclose"
        calls = self.subject.calls[next(iter(self.subject.calls)) if is_closing else self.method]
        answers = await asyncio.gather(*(call(client) for call in calls))
        if not is_closing:
            answers += await asyncio.gather(*(call(ports) for call in WITNESSES))
        return [_comparable(answer) for answer in answers]


def _comparable(answer: object) -> object:
    """Return an answer in a form that can be compared."""
    if isinstance(answer, StatisticsBatch):
        return [plain(entry) for entry in answer], dict(answer.problems)
    return answer
