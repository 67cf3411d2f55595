"""The loader of batches: what one read loads, what is kept, errors, and cancellation."""

from __future__ import annotations

import asyncio
import types
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from statcore.errors import UnavailableError
from statcore.model import Problem, ProblemKind
from statcore_graphql import BatchLoader, Outcomes

KEYS = st.integers(0, 5)
STALE = Problem(ProblemKind.STALE, message="old")


@attrs.define(eq=False)
class Reads:
    """A batch function that records its keys, and waits for `go` before it returns each key in a list."""

    batches: list[list[Any]] = attrs.field(factory=list, init=False)
    ended: list[list[Any]] = attrs.field(factory=list, init=False)
    begun: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    go: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def load(self, keys: list[Any]) -> Outcomes:
        """Read keys."""
        self.batches.append(list(keys))
        self.begun.set()
        try:
            await self.go.wait()
        finally:
            self.ended.append(list(keys))
        return Outcomes(values=[[key] for key in keys], remarks={})


async def pass_turns(count: int = 5) -> None:
    """Let other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


def loader_of(values: Callable[[list[Any]], Sequence[Any]]) -> tuple[BatchLoader[Any], list[list[Any]]]:
    """Return a loader whose batch function returns values at once, and the keys of its reads."""
    reads: list[list[Any]] = []

    async def load(keys: list[Any]) -> Outcomes:
        reads.append(list(keys))
        return Outcomes(values=values(keys), remarks={})

    return BatchLoader(load), reads


@given(st.lists(st.lists(KEYS, max_size=6), max_size=6))
async def test_keys_of_one_turn_are_one_read_without_duplicates(requests: list[list[int]]) -> None:
    """Each way to load takes part, and each gets its own keys in order; no second read follows."""
    reads = Reads()
    reads.go.set()
    loader = BatchLoader(reads.load)
    for _ in range(2):
        many = [asyncio.ensure_future(loader.load_many(keys)) for keys in requests]
        single = [loader.load(key) for keys in requests for key in keys]
        requested = [loader.request(keys) for keys in requests]
        expected = [[[key] for key in keys] for keys in requests]
        assert expected == await asyncio.gather(*many)
        assert [[key] for keys in requests for key in keys] == await asyncio.gather(*single)
        assert expected == [list((await request.outcomes()).values) for request in requested]
    distinct = list(dict.fromkeys(key for keys in requests for key in keys))
    assert ([distinct] if distinct else []) == reads.batches


async def test_keys_of_two_turns_are_two_reads() -> None:
    """The second read begins although the first has not ended."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    first = loader.load(1)
    await pass_turns()
    second = loader.load(2)
    again = loader.load(1)
    await pass_turns()
    assert [[1], [2]] == reads.batches
    reads.go.set()
    assert [[1], [2], [1]] == await asyncio.gather(first, second, again)


async def test_keys_with_equal_identities_are_one_key() -> None:
    """The batch function gets the first of them; all are known once it is loaded, and clearing any of them clears it."""
    reads = Reads()
    reads.go.set()
    loader = BatchLoader(reads.load, identity=str.casefold)
    assert [["A"], ["A"], ["b"]] == await loader.load_many(["A", "a", "b"])
    assert [(["A"], None), (["A"], None), (["b"], None)] == [loader.loaded(key) for key in "AaB"]
    loader.clear("a")
    assert [["a"], ["b"]] == await loader.load_many(["a", "B"])
    assert [["A", "b"], ["a"]] == reads.batches


async def test_no_keys_need_no_read() -> None:
    """The values are empty."""
    loader, reads = loader_of(list)
    assert [] == await loader.load_many([])
    assert [] == list((await loader.request([]).outcomes()).values)
    assert [] == reads


async def test_what_was_loaded_is_known_until_it_is_cleared() -> None:
    """Its problem is known, too; a key that is being read is not known yet."""

    async def load(keys: list[str]) -> Outcomes:
        return Outcomes(values=[key.upper() for key in keys], remarks={1: STALE})

    loader = BatchLoader(load)
    request = loader.request(["a", "b"])
    assert [None, None] == [loader.loaded(key) for key in "ab"]
    assert [("A", None), ("B", STALE)] == list(await request.outcomes())
    assert [("A", None), ("B", STALE), None] == [loader.loaded(key) for key in "abc"]
    loader.clear("a")
    loader.clear("never loaded")
    assert [None, ("B", STALE)] == [loader.loaded(key) for key in "ab"]
    loader.clear_all()
    assert [None, None] == [loader.loaded(key) for key in "ab"]


async def test_a_key_that_is_cleared_while_it_is_read_is_read_again() -> None:
    """What waits for the first read gets its value nevertheless."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    first = loader.load(1)
    await reads.begun.wait()
    loader.clear_all()
    second = loader.load(1)
    reads.go.set()
    assert [[1], [1]] == await asyncio.gather(first, second)
    assert [[1], [1]] == reads.batches


class LoaderMachine(RuleBasedStateMachine):
    """Keys are loaded, cleared and loaded again; a counter shows from which read a value is."""

    def __init__(self) -> None:
        """Start with an empty loader."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.reads = 0
        self.known: dict[int, tuple[int, int]] = {}
        self.loader = BatchLoader(self.load)

    async def load(self, keys: list[int]) -> Outcomes:
        """Return each key with the number of the read."""
        assert len(keys) == len(set(keys))
        self.reads += 1
        return Outcomes(values=[(key, self.reads) for key in keys], remarks={})

    @rule(keys=st.lists(KEYS, max_size=4))
    def load_many(self, keys: list[int]) -> None:
        """New keys are read once, together; others have their value already."""
        new = [key for key in keys if key not in self.known]
        for key in new:
            self.known[key] = (key, self.reads + 1)
        before = self.reads
        assert [self.known[key] for key in keys] == self.runner.run(self.loader.load_many(keys))
        assert before + bool(new) == self.reads

    @rule(key=KEYS)
    def clear(self, key: int) -> None:
        """Forget a key."""
        self.loader.clear(key)
        self.known.pop(key, None)

    @rule()
    def clear_all(self) -> None:
        """Forget all keys."""
        self.loader.clear_all()
        self.known.clear()

    @invariant()
    def knows(self) -> None:
        """Exactly the loaded keys are known."""
        assert [(self.known[key], None) if key in self.known else None for key in range(6)] == [
            self.loader.loaded(key) for key in range(6)
        ]

    def teardown(self) -> None:
        """Close the event loop."""
        self.runner.close()


TestLoaderMachine = LoaderMachine.TestCase


async def test_an_exception_among_the_values_is_raised_for_its_key_only() -> None:
    """`load_many` raises the first of them, `outcomes` returns them."""
    errors = {2: UnavailableError("two"), 3: KeyError("three")}
    loader, reads = loader_of(lambda keys: [errors.get(key, key) for key in keys])
    futures = [loader.load(key) for key in range(5)]
    with pytest.raises(UnavailableError, match="two"):
        await loader.load_many(range(5))
    assert [0, 1, errors[2], errors[3], 4] == await asyncio.gather(*futures, return_exceptions=True)
    assert [0, errors[3]] == list((await loader.request([0, 3]).outcomes()).values)
    with pytest.raises(UnavailableError, match="two"):
        await loader.load(2)
    assert [list(range(5))] == reads


@pytest.mark.parametrize("error", [UnavailableError("down"), StopAsyncIteration("odd"), ValueError("odd")])
async def test_an_error_of_the_read_is_the_outcome_of_each_of_its_keys(error: Exception) -> None:
    """It is kept like a value; other keys are not affected."""

    async def load(keys: list[int]) -> Outcomes:
        if 0 in keys:
            raise error
        return Outcomes(values=keys, remarks={})

    loader = BatchLoader(load)
    assert [error] * 3 == await asyncio.gather(*(loader.load(key) for key in (0, 1, 0)), return_exceptions=True)
    assert [error, error] == list((await loader.request([1, 0]).outcomes()).values)
    assert [2] == await loader.load_many([2])


async def test_an_error_that_is_raised_for_many_keys_does_not_grow() -> None:
    """Its traceback has the frames of the read, and only those of its last raise besides."""

    async def load(keys: list[int]) -> Outcomes:
        del keys
        raise ZeroDivisionError

    loader = BatchLoader(load)
    depths: list[int] = []
    for number in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            await loader.load_many([number % 2])
        depths.append(len(caught.traceback))
        assert "load" == caught.traceback[-1].name
    assert 1 == len(set(depths))


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_read_with_another_number_of_values_is_an_error_of_all_keys(count: int) -> None:
    """No key gets the value of another key."""
    loader, _ = loader_of(lambda _: range(count))
    for outcome in await asyncio.gather(loader.load("a"), loader.load("b"), return_exceptions=True):
        assert isinstance(outcome, ValueError)
        assert f"{count} values for 2 keys" in str(outcome)


async def test_a_read_that_returns_no_values_is_an_error_of_all_keys() -> None:
    """A mistake of a host's function is not mistaken for a cancellation."""
    loader, _ = loader_of(lambda _: cast("Any", None))
    outcomes = await asyncio.gather(loader.load("a"), loader.load_many(["b"]), return_exceptions=True)
    assert [TypeError, TypeError] == [type(outcome) for outcome in outcomes]


async def test_stop_iteration_is_an_outcome_too() -> None:
    """No future raises it: `load` raises a TypeError in its place, or a RuntimeError in newer releases of Python.

    `load_many` must not end silently, either.
    """
    loader, _ = loader_of(lambda keys: [StopIteration("end") if key == "bad" else key for key in keys])
    bad, good = loader.load("bad"), loader.load("good")
    assert "good" == await good
    with pytest.raises((TypeError, RuntimeError), match="StopIteration"):
        await bad
    with pytest.raises(RuntimeError, match="StopIteration"):
        await loader.load_many(["bad"])


async def test_a_cancellation_among_the_values_cancels_its_key_only() -> None:
    """The others have their values."""
    loader, _ = loader_of(lambda keys: [CancelledError() if key == "bad" else key for key in keys])
    bad, good = loader.load("bad"), loader.load("good")
    assert "good" == await good
    assert bad.cancelled()
    with pytest.raises(CancelledError):
        await loader.load_many(["good", "bad"])


async def cancel_itself(keys: list[Any]) -> Outcomes:
    """Cancel the task of the read."""
    del keys
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    raise AssertionError


async def raise_cancelled(keys: list[Any]) -> Outcomes:
    """Raise a cancellation that nothing requested."""
    raise CancelledError(keys)


async def await_cancelled(keys: list[Any]) -> Outcomes:
    """Wait for another task, which is cancelled."""
    other = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(other.cancel)
    await other
    raise AssertionError(keys)


@pytest.mark.parametrize("cancelled", [cancel_itself, raise_cancelled, await_cancelled])
async def test_a_read_that_is_cancelled_leaves_nothing_hanging(
    cancelled: Callable[[list[Any]], Coroutine[Any, Any, Outcomes]],
) -> None:
    """All that waits for it is cancelled; its keys are read again when they are requested again."""
    reads: list[list[int]] = []

    async def load(keys: list[int]) -> Outcomes:
        reads.append(list(keys))
        return await cancelled(keys) if len(reads) == 1 else Outcomes(values=keys, remarks={})

    loader = BatchLoader(load)
    waiting = [loader.load(1), loader.request([2]).outcomes(), loader.request([2, 1]).outcomes()]
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, CancelledError)
    assert None is loader.loaded(1)
    assert [2, 1] == await loader.load_many([2, 1])
    assert [[1, 2], [2, 1]] == reads


async def test_a_request_that_is_waited_for_after_its_read_was_cancelled_is_cancelled() -> None:
    """It does not hang."""
    loader = BatchLoader(raise_cancelled)
    request = loader.request([1])
    await pass_turns()
    async with asyncio.timeout(30):
        with pytest.raises(CancelledError):
            await request.outcomes()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_loader_that_is_cancelled_ends_its_reads(turns: int) -> None:
    """What waits is cancelled, a request that nobody waits for holds nothing, and what was loaded is kept."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    reads.go.set()
    assert [[1]] == await loader.load_many([1])
    reads.go.clear()
    waiting = loader.load(2)
    loader.request([3])
    await pass_turns(turns)
    loader.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(CancelledError):
            await waiting
    await pass_turns()
    assert reads.batches == reads.ended
    reads.go.set()
    assert [[1], [2], [3]] == await loader.load_many([1, 2, 3])
    assert [2, 3] == reads.batches[-1]


async def test_a_request_keeps_its_read_before_it_is_waited_for() -> None:
    """Another waiter that is cancelled does not cancel the read."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    request, other = loader.request([1]), loader.load(1)
    await reads.begun.wait()
    other.cancel()
    await pass_turns()
    reads.go.set()
    assert [[1]] == list((await request.outcomes()).values)
    assert [[1]] == reads.batches


def waits(loader: BatchLoader[Any], way: str, key: int) -> asyncio.Future[Any]:
    """Wait for a key in one of the ways."""
    ways: dict[str, Callable[[], Any]] = {
        "load": lambda: loader.load(key),
        "load_many": lambda: loader.load_many([key, 9]),
        "outcomes": lambda: loader.request([9, key]).outcomes(),
    }
    waiting: asyncio.Future[Any] = asyncio.ensure_future(ways[way]())
    return waiting


WAYS = ["load", "load_many", "outcomes"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", WAYS)
async def test_a_cancelled_waiter_does_not_disturb_the_others(way: str, other: str) -> None:
    """The read goes on for them."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    first, second = waits(loader, way, 1), waits(loader, other, 1)
    await reads.begun.wait()
    first.cancel()
    await pass_turns()
    assert first.cancelled()
    reads.go.set()
    await second
    assert [[1]] == await loader.load_many([1])
    assert 1 == sum(1 in keys for keys in reads.batches)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_a_read_that_nothing_waits_for_is_cancelled(way: str, turns: int) -> None:
    """It ends before it answers; its keys are read again when they are requested again, also before it has ended."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    waiting = [waits(loader, way, 1), waits(loader, way, 2)]
    await pass_turns(turns)
    for future in waiting:
        future.cancel()
    await asyncio.wait(waiting)
    await pass_turns()
    assert reads.batches == reads.ended
    reads.go.set()
    assert [[1], [2]] == await loader.load_many([1, 2])
    assert [1, 2] == sorted(set(reads.batches[-1]) - {9})


async def test_a_read_that_ends_slowly_is_not_joined() -> None:
    """A key that is requested after the cancellation gets its own read, and the slow one is cancelled only once."""
    slow = asyncio.Event()
    reads: list[list[int]] = []
    cancellations: list[int] = []

    async def load(keys: list[int]) -> Outcomes:
        reads.append(list(keys))
        if len(reads) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                cancellations.append(1)
                await slow.wait()
                cancellations.append(2)
        return Outcomes(values=keys, remarks={})

    loader = BatchLoader(load)
    waiting = [loader.load(key) for key in (1, 2, 3)]
    await pass_turns()
    for future in waiting:
        future.cancel()
    await pass_turns()
    assert [1] == cancellations
    assert [2] == await loader.load_many([2])
    slow.set()
    await pass_turns()
    assert [1, 2] == cancellations
    assert [2] == await loader.load_many([2])
    assert [[1, 2, 3], [2]] == reads


async def test_a_request_that_follows_the_cancellation_in_the_same_turn_keeps_the_read() -> None:
    """Nothing is read twice."""
    reads = Reads()
    loader = BatchLoader(reads.load)
    first = loader.load(1)
    await reads.begun.wait()
    first.cancel()
    second = loader.load(1)
    await pass_turns()
    reads.go.set()
    assert [1] == await second
    assert [[1]] == reads.batches


def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Run a coroutine until it waits, and make a task of the rest, as asyncio's eager tasks do from Python 3.12."""

    async def ended(value: object) -> object:
        return value

    async def go_on(awaited: Any) -> object:
        return await rest(awaited)

    @types.coroutine
    def rest(awaited: Any) -> Generator[Any, Any, Any]:
        while True:
            try:
                try:
                    sent = yield awaited
                except BaseException as error:  # noqa: BLE001 - the coroutine decides
                    awaited = coroutine.throw(error)
                else:
                    awaited = coroutine.send(sent)
            except StopIteration as stop:
                return stop.value

    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return asyncio.Task(ended(stop.value), loop=loop, **options)
    return asyncio.Task(go_on(awaited), loop=loop, **options)


@pytest.mark.parametrize("factory", [None, eager])
async def test_keys_of_one_turn_are_one_read_with_eager_tasks_too(factory: Any) -> None:
    """An eager task starts while it is created, before its batch has a key."""
    reads = Reads()
    reads.go.set()
    asyncio.get_running_loop().set_task_factory(factory)
    loader = BatchLoader(reads.load)
    futures = [loader.load(key) for key in (1, 2, 1)]
    assert [[1], [2], [1]] == await asyncio.gather(*futures)
    assert [[1, 2]] == reads.batches
