"""Concurrency: run coroutines together, end tasks, bounded maps, deadlines, retries, limits, giving way to the event loop.

Other modules of the core use `asyncio` only through this module. It imports `asyncio` on first use, because that import
takes as long as importing the rest of the core.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from statcore.errors import StatcoreError, TimedOutError, UnavailableError

if TYPE_CHECKING:
    from asyncio import Future, Task

CONCURRENT_CALLS: Final = 4
"""How many calls a bounded map runs at once."""
ITEMS_PER_TURN: Final = 128
"""How many items `in_turns` yields in one turn of the event loop by default: one or two milliseconds of work."""
on_retry: Final[ContextVar[Callable[[StatcoreError], object] | None]] = ContextVar("statcore_on_retry", default=None)
"""Called with the error of each attempt that `retry` repeats, in the context of the call; for hosts that count retries."""
_latest_end_s: Final[ContextVar[float | None]] = ContextVar("statcore_latest_end", default=None)
"""When a new `Deadline` ends at the latest, on the clock of the event loop; None if it has its whole time."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Other = TypeVar("_Other")


async def run_concurrently(coroutines: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Run coroutines concurrently and return their results in order.

    Raises:
        Exception: the first error of a coroutine, unchanged and not in an exception group. The other coroutines are
            cancelled first, and have ended when it is raised.
    """
    # TaskGroup, before Python 3.13, may mistake a cancellation from outside for its own, or leave its own cancellation in
    # the calling task. gather may lose a cancellation that arrives in the same turn as an error.
    from asyncio import FIRST_COMPLETED, create_task, wait  # noqa: PLC0415

    tasks = [create_task(coroutine) for coroutine in coroutines]
    ended: list[Task[_Result]] = []
    running = set(tasks)
    try:
        while running and not any(task.cancelled() or task.exception() for task in ended):
            done, running = await wait(running, return_when=FIRST_COMPLETED)
            ended = [task for task in tasks if task in done]
    finally:
        await end_tasks(tasks)
    for task in ended:
        task.result()
    return [task.result() for task in tasks]


async def end_tasks(tasks: Iterable[Future[Any]]) -> None:
    """Cancel tasks and wait until they have ended; asyncio does not log their errors.

    Args:
        tasks: the tasks, some of which may have ended already.

    Raises:
        CancelledError: this call was cancelled while it waited. Each cancellation has cancelled the tasks again, and all
            have ended.
    """
    from asyncio import CancelledError, wait  # noqa: PLC0415

    tasks = list(tasks)
    cancellation: CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await wait(running)
        except CancelledError as error:
            cancellation = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved, so that asyncio does not log it
    if cancellation is not None:
        raise cancellation


async def run_both(first: Coroutine[Any, Any, _Result], second: Coroutine[Any, Any, _Other]) -> tuple[_Result, _Other]:
    """Run two coroutines concurrently and return the results of both.

    Raises:
        Exception: the first error of either, as `run_concurrently` raises it.
    """
    results: list[Any] = await run_concurrently([first, second])
    return results[0], results[1]


async def map_concurrently(items: Iterable[_Item], call: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
    """Return the result of `call` for each item, in order; at most `CONCURRENT_CALLS` calls run at once.

    Raises:
        Exception: the first error of a call, as `run_concurrently` raises it.
    """
    results: dict[int, _Result] = {}
    pending = iter(enumerate(items))

    async def work() -> None:
        for position, item in pending:
            results[position] = await call(item)

    await run_concurrently(work() for _ in range(CONCURRENT_CALLS))
    return [results[position] for position in range(len(results))]


async def map_keeping_errors(
    items: Iterable[_Item], call: Callable[[_Item], Awaitable[_Result]]
) -> list[_Result | StatcoreError]:
    """Return for each item, in order, the result of `call` or the `StatcoreError` that it raised.

    After an `UnavailableError` or a `TimedOutError` no further call is made, and the remaining items get the same error.
    So a service that does not answer costs the deadline of one call, however many items there are.

    Raises:
        Exception: the first error of a call that is not a `StatcoreError`, as `run_concurrently` raises it.
    """
    unreachable: list[StatcoreError] = []

    async def outcome(item: _Item) -> _Result | StatcoreError:
        if unreachable:
            return unreachable[0]
        try:
            return await call(item)
        except StatcoreError as error:
            if isinstance(error, UnavailableError | TimedOutError):
                unreachable.append(error)
            return error

    return await map_concurrently(items, outcome)


@contextmanager
def deadlines_within(timeout_s: float, /) -> Generator[None]:
    """Let each `Deadline` of the block end within `timeout_s` seconds, counted from entering the block.

    This holds for every `Deadline` that the block, or a task that it starts, makes. So what the block calls ends by itself,
    with its own error, before the caller's time is up. A task that works for other callers as well needs a context of its
    own (`create_task(…, context=Context())`).
    """
    from asyncio import get_running_loop  # noqa: PLC0415

    before_s, end_s = _latest_end_s.get(), get_running_loop().time() + timeout_s
    token = _latest_end_s.set(end_s if before_s is None else min(before_s, end_s))
    try:
        yield
    finally:
        _latest_end_s.reset(token)


class Deadline:
    """An async context whose block must end within `timeout_s` seconds, or sooner within `deadlines_within`.

    The time counts from making the deadline.

    A cancellation from outside leaves the block as `CancelledError`, even at the moment when the time is up. Errors of
    the block itself, its own `TimeoutError` among them, are raised unchanged.

    Attributes:
        waiting_for: what the block waits for now; the error names it.
        failure: the error of the last attempt that failed, or None; it is raised when the time is up.

    Raises:
        TimedOutError: the time is up, and there is no `failure`.
        StatcoreError: the time is up, and this is the `failure`.
    """

    def __init__(self, timeout_s: float, /, *, waiting_for: str) -> None:
        """Start the clock."""
        import asyncio  # noqa: PLC0415 - half the time of `from asyncio import timeout`, in each call of an adapter

        if (latest_end_s := _latest_end_s.get()) is not None:
            timeout_s = max(0.0, min(timeout_s, latest_end_s - asyncio.get_running_loop().time()))
        self.waiting_for = waiting_for
        self.failure: StatcoreError | None = None
        self._timeout_s = timeout_s
        self._timer = asyncio.timeout(timeout_s)

    async def __aenter__(self) -> Self:
        """Let the block be cancelled when the time is up."""
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise the error if the time is up."""
        try:
            await self._timer.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            raise self.error() from late

    def error(self) -> StatcoreError:
        """Return the error that is raised when the time is up: the `failure`, or a `TimedOutError`."""
        if self.failure is not None:
            return self.failure
        return TimedOutError(f"waited {self._timeout_s:g} s for {self.waiting_for}", timeout_s=self._timeout_s)

    def of_part(self) -> Self:
        """Return the deadline of one of several parts of the block: it ends with this one, and has its own `failure`."""
        from copy import copy  # noqa: PLC0415

        part = copy(self)
        part.failure = None
        return part

    @property
    def is_over(self) -> bool:
        """Whether the time is up, so that the block is cancelled or has ended."""
        return self._timer.expired()

    def remaining_s(self) -> float:
        """Return the seconds until the time is up, below zero after it; only inside the block."""
        from asyncio import get_running_loop  # noqa: PLC0415

        return cast("float", self._timer.when()) - get_running_loop().time()


def retry_after_s(error: StatcoreError) -> float | None:
    """Return the pause in seconds that a server asked for, or None."""
    return error.retry_after_s if isinstance(error, UnavailableError) else None


async def retry(
    attempt: Callable[[], Awaitable[_Result]],
    *,
    deadline: Deadline,
    is_retryable: Callable[[StatcoreError], bool],
    first_pause_s: float,
    longest_pause_s: float,
    requested_pause_s: Callable[[StatcoreError], float | None] = retry_after_s,
) -> _Result:
    """Return the result of the first attempt that succeeds.

    Pauses between attempts double. A random part of up to half of each pause is left out, so that clients that failed at
    the same time do not retry at the same time. A pause that servers ask for takes the place of it.

    When the time is up, the deadline ends the attempt or the pause; in a pause it raises the error of the last attempt.
    That error is raised at once if a server's pause would end after the deadline; it says when another call may succeed.

    Args:
        attempt: makes one attempt.
        deadline: the deadline of the call, entered.
        is_retryable: whether another attempt may succeed after this error.
        first_pause_s: the pause after the first attempt, in seconds.
        longest_pause_s: the bound of the doubled pauses, in seconds.
        requested_pause_s: returns the pause that servers ask for after this error, in seconds; None for a doubled pause.

    Raises:
        StatcoreError: the error of the last attempt. It is not retryable, or the pause that servers ask for is longer than
            the time that remains.
    """
    backoff_s = first_pause_s
    while True:
        try:
            return await attempt()
        except StatcoreError as error:
            from asyncio import sleep  # noqa: PLC0415
            from random import uniform  # noqa: PLC0415

            if not is_retryable(error):
                raise
            pause_s = requested_pause_s(error)
            if pause_s is None:
                pause_s = backoff_s * uniform(0.5, 1.0)  # noqa: S311 - no secret
            elif pause_s >= deadline.remaining_s():
                raise
            if (count := on_retry.get()) is not None:
                count(error)
            failure = error
        try:
            await sleep(pause_s)
        finally:
            if deadline.is_over:
                deadline.failure = deadline.failure or failure
        backoff_s = min(2 * backoff_s, longest_pause_s)


def limiter(limit: int) -> AbstractAsyncContextManager[object]:
    """Return an async context that at most `limit` tasks may be in at once; further tasks wait in order."""
    from asyncio import Semaphore  # noqa: PLC0415

    return Semaphore(limit)


async def give_way() -> None:
    """Let the other tasks of the event loop run once before this task continues."""
    from asyncio import sleep  # noqa: PLC0415

    await sleep(0)


async def in_turns(items: Sequence[_Item], /, *, size: int = ITEMS_PER_TURN) -> AsyncIterator[Sequence[_Item]]:
    """Yield slices of at most `size` items, and give way to the event loop between two slices."""
    for start in range(0, len(items), size):
        if start:
            await give_way()
        yield items[start : start + size]


async def in_thread(function: Callable[[], _Result]) -> _Result:
    """Run a function in a thread, while the event loop continues, and return its result."""
    from asyncio import to_thread  # noqa: PLC0415

    return await to_thread(function)


def is_cancellation(error: BaseException) -> bool:
    """Return whether an error is `asyncio.CancelledError`, which cancels a task."""
    from asyncio import CancelledError  # noqa: PLC0415

    return isinstance(error, CancelledError)


def close_coroutine(value: object) -> None:
    """Close a value if it is a coroutine; Python warns about a coroutine that is neither awaited nor closed."""
    if isinstance(value, Coroutine):
        cast("Coroutine[object, object, object]", value).close()
