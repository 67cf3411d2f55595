"""Cancels a call at each moment of its run, on the simulation, and checks what every cancellation must leave.

A test of an adapter gives the call and a check of the same client::

    @asynccontextmanager
    async def reading(simulation: Simulation) -> AsyncIterator[Cancelled]:
        await asyncio.start_server(answer, "store", 6379)
        store = Store("store:6379")

        async def check() -> None:
            assert await store.fetch("b") == "value of b"

        yield Cancelled(lambda: store.fetch("a"), check)
        await store.aclose()

    cancel_at_moments(reading, seed=1)

After each cancellation `CancelledError` must have left the call, the next answers must be right, and no task, connection or
warning may be left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, copy_context
from pathlib import Path
from random import Random
from types import CoroutineType
from typing import Any, Final, TypeAlias

import attrs

from statcore.testing.simulation.run import Simulation, simulate

_MOST_S: Final = 600.0
"""How long a call may go on after it was cancelled, and how long the check may take, in simulated seconds."""
_TURNS: Final = 30
"""How many turns of the event loop the tasks of a call may take to end after it."""

_is_of_call: ContextVar[bool] = ContextVar("statcore_is_of_call", default=False)


@attrs.frozen
class Cancelled:
    """A call, and what is true after it was cancelled.

    Attributes:
        call: the call.
        check: uses the same client again, and raises an error if an answer is wrong. It is awaited at once, and again when
            all bytes have arrived. Answers that carry their key show whether they belong to another question; as many calls
            at once as the client has connections show whether one of them was lost.
        leaves_tasks: whether tasks that the call started may go on after it, for the next call, until the client is closed.
    """

    call: Callable[[], Awaitable[object]]
    check: Callable[[], Awaitable[object]]
    leaves_tasks: bool = attrs.field(default=False, kw_only=True)


Setting: TypeAlias = Callable[[Simulation], AbstractAsyncContextManager[Cancelled]]
"""Starts the servers and opens the client of a call, and closes the client."""


def count_moments(setting: Setting, *, seed: int) -> int:
    """Run a call without a cancellation, and return at how many moments it can be cancelled.

    A moment is before or after a step of the call's task, or of a task that the call started. So a cancellation comes while
    an answer is on its way, and also when the answer has arrived but the task has not run since.

    Raises:
        AssertionError: something was left, as `simulate` says.
        Exception: an error of the call or of the check.
    """
    return _run(setting, seed, ()).count


def cancel_at(setting: Setting, *moments: int, seed: int) -> int:
    """Run a call, cancel it at each of the moments, and check what is left.

    Args:
        setting: the call and its surroundings.
        moments: the first is below what `count_moments` returns for the same setting and seed. Each that follows cancels
            the call once more, while it cleans up.
        seed: chooses everything that is left to chance.

    Returns:
        how many moments there were after the first cancellation, until the call had ended.

    Raises:
        AssertionError: the call did not raise `CancelledError`, or it left a task, a connection or a warning.
        Exception: an error of the check. A note of each error says where the call was.
    """
    return _run(setting, seed, moments).count - min(moments) - 1


def cancel_at_moments(setting: Setting, *, seed: int, most: int | None = None) -> int:
    """Cancel a call at each of its moments, each time in a new run: once, and once more at a moment while it cleans up.

    Args:
        setting: the call and its surroundings.
        seed: chooses everything that is left to chance, also at which moment the call is cancelled once more.
        most: at how many moments it is cancelled if it has more, chosen by the seed; None for all.

    Returns:
        the number of moments.

    Raises:
        AssertionError: as `cancel_at` raises it.
        Exception: an error of the check.
    """
    chance = Random(seed)  # noqa: S311 - a seed, no secret
    moments = count_moments(setting, seed=seed)
    for first in sorted(chance.sample(range(moments), min(moments, most or moments))):
        if following := cancel_at(setting, first, seed=seed):
            cancel_at(setting, first, first + chance.randint(1, following), seed=seed)
    return moments


@attrs.define
class _Run:
    """One run of a call: its tasks, the moments so far, and where it was cancelled."""

    cuts: Collection[int]
    count: int = 0
    tasks: list[asyncio.Task[Any]] = attrs.field(factory=list[asyncio.Task[Any]])
    places: list[str] = attrs.field(factory=list[str])

    def note_moment(self) -> None:
        """Count a moment before or after a step of the call, and cancel the call if this is one of the cuts."""
        if not _is_of_call.get() or not self.tasks or self.tasks[0].done():
            return
        if self.count in self.cuts:
            waiting = [_place(task) for task in self.tasks if not task.done()]
            self.places.append("\n  and ".join([f"cancelled at moment {self.count}, at {waiting[0]}", *waiting[1:]]))
            self.tasks[0].cancel()
        self.count += 1


def _run(setting: Setting, seed: int, cuts: Collection[int]) -> _Run:
    run = _Run(cuts)

    async def scenario(simulation: Simulation) -> None:
        async with setting(simulation) as cancelled:
            await _watch(cancelled.call, run)
            call = run.tasks[0]
            _expect(call.done(), f"the call has not ended within {_MOST_S:g} s")
            if cuts:
                _expect(run.places, f"moment {min(cuts)} was not reached; the call differs from run to run")
                _expect(call.cancelled(), f"the call lost its cancellation: {call!r}")
            else:
                call.result()
            left = await _tasks_left(run)
            _expect(cancelled.leaves_tasks or not left, f"tasks of the call are left: {left}")
            timer = asyncio.timeout(_MOST_S)
            try:
                async with timer:
                    await cancelled.check()
                    await simulation.network.settle()
                    await cancelled.check()
            except TimeoutError:
                _expect(not timer.expired(), f"the next call has not ended within {_MOST_S:g} s")
                raise
        run.tasks.clear()  # their garbage is collected with that of the simulation

    try:
        simulate(scenario, seed=seed)
    except BaseException as error:
        for place in run.places:
            error.add_note(place)
        raise
    return run


async def _tasks_left(run: _Run) -> list[asyncio.Task[Any]]:
    """Return the tasks of a call that do not end now that it has ended; no time passes meanwhile."""
    for _ in range(_TURNS):
        if all(task.done() for task in run.tasks):
            break
        await asyncio.sleep(0)
    return [task for task in run.tasks if not task.done()]


async def _watch(call: Callable[[], Awaitable[object]], run: _Run) -> None:
    """Run a call until it has ended, and note its moments and its tasks."""
    loop: Any = asyncio.get_running_loop()  # a `SimulatedLoop`
    new_task = loop.get_task_factory()

    def note_task(*arguments: Any, **options: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - as of any factory
        task: asyncio.Task[Any] = new_task(*arguments, **options)
        if _is_of_call.get():
            run.tasks.append(task)
        return task

    async def answer() -> object:
        return await call()

    def begin() -> asyncio.Task[object]:
        _is_of_call.set(True)
        return asyncio.create_task(answer())

    loop.set_task_factory(note_task)
    loop.watch = run.note_moment
    try:
        await asyncio.wait([copy_context().run(begin)], timeout=_MOST_S)
    finally:
        loop.watch = None
        loop.set_task_factory(new_task)


def _place(task: asyncio.Task[Any]) -> str:
    """Return the lines at which a task waits, from the call to the innermost."""
    waits: Any = task.get_coro()
    places: list[str] = []
    while isinstance(waits, CoroutineType) and waits.cr_frame is not None:
        code = waits.cr_code
        if code.co_filename != __file__:
            places.append(f"{Path(code.co_filename).name}:{waits.cr_frame.f_lineno} in {code.co_qualname}")
        waits = waits.cr_await
    return " > ".join(places)


def _expect(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)
