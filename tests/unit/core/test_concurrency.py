"""Concurrency: which error is raised, that no cancellation is lost, what a deadline ends, and when a retry gives up."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from operator import attrgetter
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.instant_loop import run_instantly, seconds
from tests.support.turns import counting_turns

from statcore.concurrency import (
    CONCURRENT_CALLS,
    Deadline,
    close_coroutine,
    deadlines_within,
    in_thread,
    in_turns,
    limiter,
    map_concurrently,
    map_keeping_errors,
    retry,
    retry_after_s,
    run_both,
    run_concurrently,
)
from statcore.errors import (
    AccessDeniedError,
    InputError,
    PartialAnswerError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)

DOWN = UnavailableError("down")


async def after(turns: int, outcome: Any) -> Any:
    """Return an outcome, or raise it, after so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def hang() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


class Hanging:
    """Work that only a cancellation ends, and that takes some turns to clean up."""

    def __init__(self, *, turns: int = 0) -> None:
        """Take so many turns."""
        self.turns = turns
        self.cleaned = False

    async def run(self) -> None:
        """Wait."""
        try:
            await hang()
        finally:
            await after(self.turns, None)
            self.cleaned = True


async def test_results_are_in_the_order_of_the_coroutines() -> None:
    """The order in which the coroutines end does not matter."""
    assert [] == await run_concurrently([])
    assert [3, 0, 1] == await run_concurrently([after(3, 3), after(0, 0), after(1, 1)])


async def test_two_coroutines_may_have_results_of_different_types() -> None:
    """They are in order, too."""
    assert ("slow", 5) == await run_both(after(1, "slow"), after(0, 5))


async def test_the_first_error_ends_the_others() -> None:
    """The error itself is raised, with its cause, after the others have cleaned up."""
    hanging = Hanging(turns=3)
    error = UnavailableError("down")
    error.__cause__ = OSError("refused")
    with pytest.raises(UnavailableError) as raised:
        await run_concurrently([hanging.run(), after(9, ValueError("later")), after(1, error)])
    assert error is raised.value
    assert isinstance(error.__cause__, OSError)
    assert hanging.cleaned


def test_an_error_leaves_no_cancellation_behind() -> None:
    """A caller that handles the error can still be timed out."""

    async def caller() -> None:
        with pytest.raises(UnavailableError):
            await run_concurrently([after(1, DOWN), Hanging(turns=2).run()])
        await hang()

    with pytest.raises(TimeoutError):
        run_instantly(asyncio.wait_for(caller(), 1))


async def test_a_caller_that_is_cancelled_twice_leaves_nothing_behind() -> None:
    """The tasks have ended when it ends, though they clean up for long, and asyncio logs none of their errors."""
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

    async def clean_up() -> None:
        with suppress(asyncio.CancelledError):
            await hang()
        with suppress(asyncio.CancelledError):
            await hang()
        await after(3, ValueError("late"))

    caller = asyncio.create_task(run_concurrently([clean_up(), after(1, DOWN)]))
    await after(5, None)
    for _ in range(2):
        caller.cancel()
        await after(1, None)
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert {asyncio.current_task()} == asyncio.all_tasks()
    del caller
    gc.collect()
    assert [] == logged


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_is_never_lost(turns: int) -> None:
    """It may come before the error, in the same turn, or while the others clean up after the error."""
    hanging = Hanging(turns=4)

    async def caller() -> None:
        with suppress(UnavailableError):
            await run_concurrently([after(4, DOWN), hanging.run()])
        await hang()

    task = asyncio.create_task(caller())
    await after(turns, None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    assert task.cancelled()


async def test_a_coroutine_that_is_cancelled_cancels_its_caller() -> None:
    """The effect is that of a caller that awaits it directly."""
    task = asyncio.ensure_future(asyncio.Event().wait())

    async def wait() -> None:
        await task

    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await run_concurrently([wait(), after(1, None)])
    assert task.cancelled()


async def test_a_bounded_map_runs_a_few_calls_at_once() -> None:
    """Results are in the order of the items, and errors are raised."""
    running, most = 0, 0

    async def negate(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await after(number % 7, None)
        running -= 1
        return -number

    assert [-number for number in range(50)] == await map_concurrently(range(50), negate)
    assert CONCURRENT_CALLS == most
    with pytest.raises(UnavailableError):
        await map_concurrently([DOWN], lambda error: after(1, error))


@pytest.mark.parametrize("unreachable", [DOWN, TimedOutError("late", timeout_s=1)])
async def test_an_unreachable_service_is_called_no_more(unreachable: StatcoreError) -> None:
    """The remaining items get its error; an error of another kind is that of its own item alone."""
    called: list[int] = []
    refused = QueryRejectedError("no")

    async def call(number: int) -> int:
        called.append(number)
        outcome: int = await after(number, {1: refused, 2: unreachable}.get(number, number))
        return outcome

    outcomes = await map_keeping_errors(range(20), call)

    assert [0, refused, unreachable] == outcomes[:3]
    assert {unreachable} == set(outcomes[2 + CONCURRENT_CALLS :])
    assert len(called) < 2 + 2 * CONCURRENT_CALLS


async def test_a_foreign_error_is_raised_by_a_map_that_keeps_errors() -> None:
    """Only `StatcoreError` is kept."""
    with pytest.raises(ZeroDivisionError):
        await map_keeping_errors([1, 0], lambda number: after(0, 1 / number))


def test_a_deadline_ends_its_block() -> None:
    """The error says how long it was, and what the block waited for last."""

    async def wait() -> None:
        async with Deadline(2.5, waiting_for="a connection") as deadline:
            assert 2.5 == deadline.remaining_s()
            await asyncio.sleep(1)
            assert 1.5 == deadline.remaining_s()
            deadline.waiting_for = "an answer"
            await hang()

    with pytest.raises(TimedOutError, match=r"^waited 2\.5 s for an answer$") as raised:
        run_instantly(wait())
    assert 2.5 == raised.value.timeout_s


def test_a_deadline_raises_the_failure_of_the_last_attempt() -> None:
    """It says more than that the time is up."""

    async def wait() -> None:
        async with Deadline(1, waiting_for="an answer") as deadline:
            deadline.failure = DOWN
            await hang()

    with pytest.raises(UnavailableError) as raised:
        run_instantly(wait())
    assert DOWN is raised.value


@pytest.mark.parametrize("error", [DOWN, TimeoutError("its own"), KeyError("x")])
async def test_an_error_of_the_block_is_raised_unchanged(error: Exception) -> None:
    """A `TimeoutError` of the block is not that of the deadline; a failure that was noted before does not replace it."""

    async def fail() -> None:
        async with Deadline(60, waiting_for="an answer") as deadline:
            deadline.failure = UnavailableError("before")
            raise error

    with pytest.raises(type(error)) as raised:
        await fail()
    assert error is raised.value


def test_a_block_that_ends_in_time_leaves_nothing_behind() -> None:
    """It raises no error, although a failure was noted, and leaves no cancellation."""

    async def wait() -> int:
        async with Deadline(1, waiting_for="an answer") as deadline:
            deadline.failure = DOWN
        await asyncio.sleep(2)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert 0 == run_instantly(wait())


@pytest.mark.parametrize("cancelled_at_s", [0.5, 1.0, 1.5])
def test_a_cancellation_from_outside_is_no_timeout(cancelled_at_s: float) -> None:
    """Before the deadline, in the same moment, and while the block cleans up after it."""

    async def caller() -> None:
        async with Deadline(1, waiting_for="an answer") as deadline:
            deadline.failure = DOWN
            try:
                await hang()
            finally:
                await asyncio.sleep(1)

    async def cancel() -> bool:
        task = asyncio.create_task(caller())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(cancelled_at_s, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_instantly(cancel())


def test_deadlines_nest() -> None:
    """The one whose time is up raises, and the other goes on."""

    async def wait() -> float:
        async with Deadline(5, waiting_for="all") as outer:
            with pytest.raises(TimedOutError, match="waited 1 s for a part"):
                async with Deadline(1, waiting_for="a part"):
                    await hang()
            return outer.remaining_s()

    assert 4.0 == run_instantly(wait())


def test_the_deadlines_of_a_block_end_with_it() -> None:
    """A shorter deadline stays, and so does the time of an outer block; after the block a deadline has its whole time."""

    async def remaining_s(timeout_s: float) -> float:
        async with Deadline(timeout_s, waiting_for="an answer") as deadline:
            return deadline.remaining_s()

    async def scenario() -> list[float]:
        with deadlines_within(5):
            found = [await remaining_s(9), await remaining_s(1), await asyncio.create_task(remaining_s(9))]
            await asyncio.sleep(1)
            with deadlines_within(9):
                found.append(await remaining_s(9))
            with deadlines_within(2):
                found.append(await remaining_s(9))
        return [*found, await remaining_s(9)]

    assert [5.0, 1.0, 5.0, 4.0, 2.0, 9.0] == run_instantly(scenario())


def test_a_deadline_says_how_long_a_block_lets_it_wait() -> None:
    """A deadline that is made when the time of the block is up waits no longer."""

    async def wait() -> None:
        async with Deadline(9, waiting_for="an answer"):
            await hang()

    async def scenario() -> list[float]:
        times: list[float] = []
        with deadlines_within(2.5):
            for _ in range(2):
                with pytest.raises(TimedOutError, match="for an answer") as raised:
                    await wait()
                times.append(raised.value.timeout_s)
                await asyncio.sleep(1)
        return [*times, seconds()]

    assert [2.5, 0.0, 4.5] == run_instantly(scenario())


@attrs.define
class Attempts:
    """A call that raises the given errors one after the other, then returns "answer", and notes when it is made."""

    errors: Iterable[StatcoreError]
    times: list[float] = attrs.field(factory=list[float], init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with the first error."""
        self.errors = iter(self.errors)

    async def __call__(self) -> str:
        """Make one attempt."""
        self.times.append(seconds())
        for error in self.errors:
            raise error
        return "answer"

    async def retry(
        self,
        *,
        timeout_s: float = 1e9,
        is_retryable: Callable[[StatcoreError], bool] = attrgetter("retryable"),
        requested_pause_s: Callable[[StatcoreError], float | None] = retry_after_s,
    ) -> str:
        """Retry with pauses of 1 s to 8 s."""
        async with Deadline(timeout_s, waiting_for="an answer") as deadline:
            return await retry(
                self,
                deadline=deadline,
                is_retryable=is_retryable,
                first_pause_s=1,
                longest_pause_s=8,
                requested_pause_s=requested_pause_s,
            )

    def retried(self, **options: Any) -> str:
        """Return the outcome of `retry`, without waiting for the pauses."""
        return run_instantly(self.retry(**options))

    def pauses_s(self) -> list[float]:
        """Return the seconds between attempts."""
        return [later - earlier for earlier, later in pairwise(self.times)]


def test_the_first_success_is_returned() -> None:
    """Pauses double up to the longest, and each is at least half of that."""
    attempts = Attempts([DOWN] * 6)
    assert "answer" == attempts.retried()
    for longest, pause_s in zip([1, 2, 4, 8, 8, 8], attempts.pauses_s(), strict=True):
        assert longest / 2 <= pause_s <= longest * 1.000_001


def test_pauses_differ_between_clients() -> None:
    """Clients that failed at the same time do not come back at the same time."""
    pauses: set[float] = set()
    for _ in range(20):
        attempts = Attempts([DOWN])
        attempts.retried()
        pauses.add(*attempts.pauses_s())
    assert 20 == len(pauses)


@pytest.mark.parametrize("error", [AccessDeniedError("no"), QueryRejectedError("no"), InputError("no")])
def test_an_error_that_is_not_retryable_is_raised_at_once(error: StatcoreError) -> None:
    """Another attempt would fail alike."""
    attempts = Attempts([DOWN, error])
    with pytest.raises(type(error)) as raised:
        attempts.retried()
    assert (error, 2) == (raised.value, len(attempts.times))


def test_the_caller_decides_what_is_retryable() -> None:
    """It gets each error."""
    attempts = Attempts([PartialAnswerError("half", warnings=())])
    with pytest.raises(PartialAnswerError):
        attempts.retried(is_retryable=lambda error: not isinstance(error, PartialAnswerError))


@given(st.floats(0.1, 100))
def test_attempts_go_on_until_the_deadline(timeout_s: float) -> None:
    """The deadline ends the last pause, and raises the error of the last attempt, which says more than its own."""
    errors = [UnavailableError(str(number)) for number in range(1000)]
    attempts = Attempts(errors)
    with pytest.raises(UnavailableError) as raised:
        attempts.retried(timeout_s=timeout_s)
    assert errors[len(attempts.times) - 1] is raised.value
    assert attempts.times[-1] < timeout_s
    assert 8 >= timeout_s - attempts.times[-1]


def test_a_server_says_when_to_come_back() -> None:
    """Its pause takes the place of ours, be it shorter or longer than all of these."""
    attempts = Attempts([UnavailableError("busy", retry_after_s=seconds) for seconds in (0.25, 60.0, 0.0)])
    assert "answer" == attempts.retried()
    assert [0.25, 60.0, 0.0] == pytest.approx(attempts.pauses_s(), abs=1e-6)


def test_the_caller_decides_which_pause_servers_ask_for() -> None:
    """It gets each error; without a pause, the doubled ones go on."""
    errors = [UnavailableError("busy", retry_after_s=1e10), UnavailableError("other", retry_after_s=1e10)]
    attempts = Attempts(errors)
    assert "answer" == attempts.retried(requested_pause_s=lambda error: 30.0 if error is errors[0] else None)
    first_s, second_s = attempts.pauses_s()
    assert 30.0 == pytest.approx(first_s, abs=1e-6)
    assert 1 <= second_s <= 2


def test_a_server_that_is_back_too_late_is_not_waited_for() -> None:
    """Its error is raised at once."""
    attempts = Attempts([UnavailableError("busy", retry_after_s=10.0)])
    with pytest.raises(UnavailableError, match="busy"):
        attempts.retried(timeout_s=10)
    assert 1 == len(attempts.times)


def test_a_pause_can_be_cancelled() -> None:
    """The call ends as cancelled, and no further attempt is made."""
    attempts = Attempts([UnavailableError("busy", retry_after_s=10.0)])

    async def cancel() -> bool:
        task = asyncio.create_task(attempts.retry())
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_instantly(cancel())
    assert 1 == len(attempts.times)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
async def test_turns_have_all_items_in_order(items: list[int], size: int) -> None:
    """No slice is empty, none is longer than asked, and other tasks run between two of them."""
    slices, turns_before = [], []
    async with counting_turns() as turns:
        async for part in in_turns(items, size=size):
            slices.append(part)
            turns_before.append(turns.count)
    assert items == [item for part in slices for item in part]
    assert all(0 < len(part) <= size for part in slices)
    assert sorted(set(turns_before)) == turns_before


async def test_a_limiter_lets_a_few_tasks_in() -> None:
    """The others wait in order, and an error inside gives the place back."""
    gate = limiter(2)
    inside: list[int] = []
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with gate:
            entered.append(number)
            inside.append(number)
            assert len(inside) <= 2
            await after(number % 3, None)
            inside.remove(number)
            if number % 2:
                raise UnavailableError("down")

    outcomes = await asyncio.gather(*(enter(number) for number in range(9)), return_exceptions=True)
    assert 4 == sum(isinstance(outcome, UnavailableError) for outcome in outcomes)
    assert list(range(9)) == entered


async def test_a_function_in_a_thread_does_not_hold_the_event_loop() -> None:
    """The loop goes on while the function waits for it; its error is raised."""
    released = threading.Event()

    def wait() -> bool:
        return released.wait(10)

    async def release() -> None:
        released.set()

    assert [True, None] == await run_concurrently([in_thread(wait), release()])
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_a_coroutine_that_nobody_awaits_is_closed() -> None:
    """Python does not warn of it, which would fail this test; other values are ignored."""
    coroutine = hang()
    close_coroutine(coroutine)
    close_coroutine(5)
    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(coroutine)
