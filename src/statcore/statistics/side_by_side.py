"""Doing several things at once, failing as one of them would alone."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def run_together(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return the results in order; the first error cancels the others, and is raised as it is, in no group of errors."""
    from asyncio import Task, TaskGroup  # noqa: PLC0415 - costs as much as the rest of the import, and is there by now

    tasks: list[Task[_T]] = []

    def cancel_others(ended: Task[_T]) -> None:
        # A group takes whatever is cancelled for its own doing, and would let the others go on.
        for task in tasks if ended.cancelled() else ():
            if not task.cancelling():
                task.cancel()

    try:
        async with TaskGroup() as group:
            for one in work:
                tasks.append(group.create_task(one))
                tasks[-1].add_done_callback(cancel_others)
    except ExceptionGroup as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__  # the adapter's own, which `from None` would drop
    return [task.result() for task in tasks]
