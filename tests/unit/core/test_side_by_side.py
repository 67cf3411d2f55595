"""Several things at once: whose error is raised, and that no cancellation is lost, whenever it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from statcore.concurrency import CONCURRENT_CALLS, map_concurrently, map_keeping_errors, run_concurrently
from statcore.errors import QueryRejectedError, StatcoreError, TimedOutError, UnavailableError


async def _after(turns: int, outcome: Any) -> Any:
    """Return an outcome, or raise it, after so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class Hanging:
    """Work that only a cancellation ends, and that takes some turns to clean up."""

    def __init__(self, *, turns: int = 0) -> None:
        """Take so many turns."""
        self.turns = turns
        self.cleaned = False

    async def run(self) -> None:
        """Wait."""
        try:
            await asyncio.Event().wait()
        finally:
            await _after(self.turns, None)
            self.cleaned = True


async def test_results_are_in_order() -> None:
    """Whichever is done first."""
    assert [] == await run_concurrently([])
    assert [3, 0, 1] == await run_concurrently([_after(3, 3), _after(0, 0), _after(1, 1)])


async def test_the_first_error_ends_the_others() -> None:
    """It is raised itself, with its cause, once the others have cleaned up."""
    hanging = Hanging(turns=3)
    error = UnavailableError("down")
    error.__cause__ = OSError("refused")
    with pytest.raises(UnavailableError) as raised:
        await run_concurrently([hanging.run(), _after(9, ValueError("later")), _after(1, error)])
    assert error is raised.value
    assert isinstance(error.__cause__, OSError)
    assert hanging.cleaned


async def test_an_error_leaves_no_cancellation_behind() -> None:
    """A caller that handles it can still be timed out."""

    async def caller() -> None:
        with pytest.raises(UnavailableError):
            await run_concurrently([_after(1, UnavailableError("down")), Hanging(turns=2).run()])
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(caller(), 0.01)
    with pytest.raises(UnavailableError):
        await run_concurrently([_after(1, UnavailableError("down")), Hanging(turns=2).run()])
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_is_never_lost(turns: int) -> None:
    """Neither before the error, nor in the same turn, nor while the others clean up after it."""
    hanging = Hanging(turns=4)
    outcome: list[str] = []

    async def caller() -> None:
        try:
            await run_concurrently([_after(4, UnavailableError("down")), hanging.run()])
        except UnavailableError:
            outcome.append("handled")
        await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await _after(turns, None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    assert task.cancelled()


async def test_work_that_is_cancelled_is_cancelled() -> None:
    """And ends its caller, as it would alone."""
    task = asyncio.ensure_future(asyncio.Event().wait())

    async def wait() -> None:
        await task

    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await run_concurrently([wait(), _after(1, None)])
    assert task.cancelled()


async def test_a_few_are_asked_at_a_time_and_answers_are_in_order() -> None:
    """Whichever is done first; errors are raised."""
    going_on, most = 0, 0

    async def ask(question: int) -> int:
        nonlocal going_on, most
        going_on += 1
        most = max(most, going_on)
        await _after(question % 7, None)
        going_on -= 1
        return -question

    assert [-question for question in range(50)] == await map_concurrently(range(50), ask)
    assert CONCURRENT_CALLS == most
    with pytest.raises(UnavailableError):
        await map_concurrently([UnavailableError("down")], lambda error: _after(1, error))


@pytest.mark.parametrize("away", [UnavailableError("down"), TimedOutError("late", timeout_s=1)])
async def test_once_the_backend_is_away_nothing_more_is_asked(away: StatcoreError) -> None:
    """Another error is the outcome of its own question alone."""
    asked: list[int] = []
    refused = QueryRejectedError("no")

    async def ask(question: int) -> int:
        asked.append(question)
        outcome: int = await _after(question, {1: refused, 2: away}.get(question, question))
        return outcome

    outcomes = await map_keeping_errors(range(20), ask)

    assert [0, refused, away] == outcomes[:3]
    assert {away} == set(outcomes[2 + CONCURRENT_CALLS :])
    assert len(asked) < 2 + 2 * CONCURRENT_CALLS
