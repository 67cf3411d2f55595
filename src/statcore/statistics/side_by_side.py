"""Doing several things at once, failing as one of them would alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from statcore.errors import StatcoreError, TimedOutError, UnavailableError

AT_ONCE: Final = 4
"""How many of its questions a call asks at a time."""

_Answer = TypeVar("_Answer")
_Question = TypeVar("_Question")
_T = TypeVar("_T")


async def try_each(
    questions: Iterable[_Question], ask: Callable[[_Question], Awaitable[_Answer]]
) -> list[_Answer | StatcoreError]:
    """Return each question's answer or the error that it met, in order, `AT_ONCE` being asked at a time.

    Only once the backend does not answer in time, or not at all, nothing more is asked: that is the outcome of all others,
    too, so that the whole waits no longer than one question may.
    """
    away: list[StatcoreError] = []

    async def outcome(question: _Question) -> _Answer | StatcoreError:
        if away:
            return away[0]
        try:
            return await ask(question)
        except StatcoreError as error:
            if isinstance(error, UnavailableError | TimedOutError):
                away.append(error)
            return error

    return await ask_each(questions, outcome)


async def ask_each(questions: Iterable[_Question], ask: Callable[[_Question], Awaitable[_Answer]]) -> list[_Answer]:
    """Return the answers in order, `AT_ONCE` being asked at a time; errors are those of `run_together`."""
    answers: dict[int, _Answer] = {}
    pending = iter(enumerate(questions))

    async def work() -> None:
        for position, question in pending:
            answers[position] = await ask(question)

    await run_together(work() for _ in range(AT_ONCE))
    return [answers[position] for position in range(len(answers))]


async def run_together(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return the results in order; the first error ends the others, and is raised as it is, in no group of errors."""
    # Costs as much as the rest of the import, and is there by now. No TaskGroup: before Python 3.13 it may take a
    # cancellation from outside for its own, or leave its own behind in the task that called. No gather: that may
    # swallow one which comes in the same turn as an error.
    from asyncio import FIRST_COMPLETED, Task, create_task, wait  # noqa: PLC0415

    tasks = [create_task(one) for one in work]
    ended: list[Task[_T]] = []
    going_on = set(tasks)
    try:
        while going_on and not any(task.cancelled() or task.exception() for task in ended):
            done, going_on = await wait(going_on, return_when=FIRST_COMPLETED)
            ended = [task for task in tasks if task in done]
    finally:
        for task in going_on:
            task.cancel()
        if going_on:
            await wait(going_on)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # or asyncio logs it as never looked at
    for task in ended:
        task.result()
    return [task.result() for task in tasks]
