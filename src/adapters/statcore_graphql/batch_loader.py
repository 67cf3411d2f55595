"""Loads values for keys in batches: one read for all keys that are requested in one turn of the event loop."""

from __future__ import annotations

from asyncio import CancelledError, Future, Task, create_task, get_running_loop
from collections.abc import Awaitable, Callable, Hashable, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from statcore.concurrency import give_way
from statcore.model.statistics import Problem
from statcore_graphql.outcomes import Outcome, Outcomes

_Key = TypeVar("_Key")


class BatchLoader(Generic[_Key]):
    """Loads each key once. The keys that are requested in one turn of the event loop are one batch.

    What was loaded is kept until `clear` or `clear_all`. A read is cancelled when everything that waited for it is
    cancelled. A batch whose read is cancelled is forgotten, so that a later request loads its keys again.
    """

    def __init__(
        self, load: Callable[[list[_Key]], Awaitable[Outcomes]], *, identity: Callable[[_Key], Hashable] | None = None
    ) -> None:
        """Keep the arguments.

        Args:
            load: returns the outcomes of distinct keys, in order.
            identity: returns a hashable value that is equal for two keys with the same meaning; by default the key itself.
        """
        self._load = load
        self._identity = identity
        self._batch_of: dict[Hashable, _Batch[_Key]] = {}
        self._collecting: _Batch[_Key] | None = None

    def load(self, key: _Key) -> Future[Any]:
        """Request a key, and return the future of its value.

        Raises:
            BaseException: the future raises the outcome of the key if that is an exception, or the error of the whole read.
            CancelledError: the future raises it if the read was cancelled.
        """
        batch, position = self._place(key)
        return batch.future(position)

    async def load_many(self, keys: Sequence[_Key]) -> list[Any]:
        """Return the values of keys, in order.

        Raises:
            BaseException: the first outcome that is an exception, or the error of the whole read.
            CancelledError: the read was cancelled.
        """
        values = (await self.request(keys).outcomes()).values
        for value in values:
            if isinstance(value, BaseException):
                raise value
        return list(values)

    def request(self, keys: Sequence[_Key]) -> Request:
        """Request keys now, to wait for their outcomes later."""
        batches: list[_Batch[Any]] = []
        positions: list[int] = []
        for key in keys:
            batch, position = self._place(key)
            batches.append(batch)
            positions.append(position)
        return Request(batches, positions)

    def loaded(self, key: _Key) -> Outcome | None:
        """Return the outcome of a key that has been loaded, and None for another key."""
        known: Any = key if self._identity is None else self._identity(key)
        batch = self._batch_of.get(known)
        return None if batch is None else batch.outcome(batch.position_of[known])

    def clear(self, key: _Key) -> None:
        """Forget what was loaded for a key."""
        self._batch_of.pop(key if self._identity is None else self._identity(key), None)

    def clear_all(self) -> None:
        """Forget everything that was loaded."""
        self._batch_of.clear()

    def cancel(self) -> None:
        """Cancel the reads that have not ended, and everything that waits for them; a later request loads again."""
        for batch in dict.fromkeys(self._batch_of.values()):
            if batch.outcomes is None:
                batch.cancel()

    def _place(self, key: _Key) -> tuple[_Batch[_Key], int]:
        known: Any = key if self._identity is None else self._identity(key)
        batch = self._batch_of.get(known)
        if batch is None or batch.is_cancelled:
            batch = self._collecting
            if batch is None or batch.is_cancelled:
                batch = _Batch[_Key]()
                batch.task = create_task(self._run(batch))
                self._collecting = batch
            self._batch_of[known] = batch
            batch.position_of[known] = len(batch.keys)
            batch.keys.append(key)
        return batch, batch.position_of[known]

    async def _run(self, batch: _Batch[_Key]) -> None:
        try:
            if self._collecting is not batch:  # an eager task starts while it is created, before there are keys
                await give_way()
            self._collecting = None
            outcomes = await self._load(batch.keys)
            _check_count(len(outcomes.values), len(batch.keys))
        except Exception as error:  # noqa: BLE001 - each key has it as its outcome
            batch.fail(error)
        else:
            batch.settle(outcomes)
        finally:
            if batch.outcomes is None:
                batch.cancel()


class _Batch(Generic[_Key]):
    """Keys of one read, the futures that wait for it, and its outcomes when it has ended."""

    def __init__(self) -> None:
        self.keys: list[_Key] = []
        self.position_of: dict[Hashable, int] = {}
        self.outcomes: Outcomes | None = None
        self.task: Task[None]
        self.is_cancelled = False
        self._waiting: list[_Waiting] = []
        self._event_loop = get_running_loop()
        self._cancelled = 0
        self._tracebacks: dict[int, TracebackType | None] = {}

    def future(self, position: int | None) -> Future[Any]:
        """Return a future of the value at a position, or of None when the batch has ended."""
        future = _Waiting(loop=self._event_loop)
        future.batch = self
        future.position = position
        if self.outcomes is None:
            self._waiting.append(future)
        else:
            self._wake(future, self.outcomes)
        return future

    def outcome(self, position: int) -> Outcome | None:
        """Return the outcome at a position, None while the batch is read."""
        if self.outcomes is None:
            return None
        return Outcome(self.value(position, self.outcomes), self.outcomes.remarks.get(position))

    def value(self, position: int, outcomes: Outcomes) -> object:
        """Return the value or the error at a position of the batch's outcomes."""
        value: object = outcomes.values[position]
        return self._as_read(value) if isinstance(value, BaseException) else value

    def settle(self, outcomes: Outcomes) -> None:
        """Keep the outcomes, and wake everything that waits for them."""
        self.outcomes = outcomes
        for future in self._waiting:
            if not future.done():
                self._wake(future, outcomes)
        self._waiting.clear()

    def fail(self, error: Exception) -> None:
        """Keep an error as the outcome of each key."""
        self.settle(Outcomes(values=[error] * len(self.keys), remarks={}))

    def cancel(self) -> None:
        """Cancel the read, and everything that waits for it; no request joins it, although it may take a while to end."""
        self.is_cancelled = True
        self.task.cancel()
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def count_cancelled(self) -> None:
        """Count a future that was cancelled while it waited."""
        self._cancelled += 1
        # In the next turn, because another request may follow in this turn, and because the task has started then.
        self._event_loop.call_soon(self._cancel_if_unused)

    def _cancel_if_unused(self) -> None:
        if self._cancelled == len(self._waiting) and not self.is_cancelled:
            self.cancel()

    def _as_read(self, error: BaseException) -> BaseException:
        """Return an error with the traceback that it had when it was read.

        Each raise of an error adds frames to its traceback, and thousands of keys may have the same error.
        """
        return error.with_traceback(self._tracebacks.setdefault(id(error), error.__traceback__))

    def _wake(self, future: _Waiting, outcomes: Outcomes) -> None:
        value: object = None if future.position is None else outcomes.values[future.position]
        if not isinstance(value, BaseException):
            future.set_result(value)
        elif isinstance(value, CancelledError):
            future.cancel()
        else:
            try:
                future.set_exception(self._as_read(value))
            except TypeError as error:  # no future raises StopIteration
                future.set_exception(error)


class _Waiting(Future[Any]):
    """A future that waits for a batch; the batch counts it when it is cancelled."""

    __slots__ = ("batch", "position")
    batch: _Batch[Any]
    position: int | None

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ANN401 - asyncio's
        """Cancel it, and cancel the read if nothing else waits for it."""
        cancelled = super().cancel(msg)
        if cancelled:
            self.batch.count_cancelled()
        return cancelled


class Request:
    """Keys that were requested: for each its batch and its position there, in order. One task may wait for it.

    It counts as waiting from the start, so that the read of its keys is not cancelled before it is waited for.
    """

    def __init__(self, batches: Sequence[_Batch[Any]], positions: Sequence[int]) -> None:
        """Keep the places: two sequences, because a tuple for each of thousands of keys is work for garbage collection."""
        self._batches = batches
        self._positions = positions
        self._ends = [batch.future(None) for batch in dict.fromkeys(batches) if batch.outcomes is None]

    async def ended(self) -> None:
        """Return when all keys have outcomes.

        Raises:
            CancelledError: a read was cancelled.
        """
        try:
            for end in self._ends:
                await end
        except CancelledError:
            for end in self._ends:
                end.cancel()
            raise

    async def outcomes(self) -> Outcomes:
        """Return the outcomes of the keys, in order; an error of the whole read is the outcome of each of its keys.

        Raises:
            CancelledError: a read was cancelled.
        """
        await self.ended()
        values: list[Any] = []
        remarks: dict[int, Problem] = {}
        for batch, position in zip(self._batches, self._positions, strict=True):
            outcomes = cast("Outcomes", batch.outcomes)
            if outcomes.remarks and (problem := outcomes.remarks.get(position)) is not None:
                remarks[len(values)] = problem
            values.append(batch.value(position, outcomes))
        return Outcomes(values=values, remarks=remarks)


def _check_count(values: int, keys: int) -> None:
    if values != keys:
        raise ValueError(f"a loader returned {values} values for {keys} keys")
