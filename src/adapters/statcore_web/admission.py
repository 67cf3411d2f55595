"""Admission: how many requests of a token run at once and come in a second, counted over all workers of the service.

Each token has a row of numbers: its bucket of requests, and how many of its requests each worker runs. A service of several
processes keeps the rows in memory that they share.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from math import ceil
from time import monotonic
from typing import Final, Protocol

import attrs

from statcore_web.refusal import RefusedError
from statcore_web.shared_numbers import SharedNumbers
from statcore_web.tokens import Token

_ANONYMOUS: Final = ".anonymous"
"""The row of callers without a token; no token has this name."""
_LEVEL: Final = 0
"""The place of the bucket's level: how many requests the token may make at once."""
_FILLED_AT: Final = 1
"""The place of the time when the bucket was filled, in seconds; 0 in a new row, so that its bucket becomes full."""
_WORKERS: Final = 2
"""The place of the first worker's number of running requests."""


class AdmissionRows(Protocol):
    """The rows of tokens."""

    @property
    def worker(self) -> int:
        """The number of this worker, from 0."""
        ...

    def changing(self, name: str, /) -> AbstractContextManager[memoryview[float]]:
        """Yield the row of a token; nothing else reads or changes the row until the block ends."""
        ...


@attrs.frozen(eq=False)
class LocalRows:
    """The rows of one process alone.

    Args:
        worker: the number of this worker, from 0.
    """

    worker: int = 0
    _rows: dict[str, memoryview[float]] = attrs.field(factory=dict[str, "memoryview[float]"], init=False)

    @contextmanager
    def changing(self, name: str, /) -> Generator[memoryview[float]]:
        """Yield the row of a token."""
        yield self._rows.setdefault(name, memoryview(array("d", [0.0] * (_WORKERS + self.worker + 1))))


def _new_local_rows(shared: SharedRows) -> LocalRows:
    return LocalRows(shared.worker)


@attrs.frozen(eq=False)
class SharedRows:
    """The rows of a service of several processes. Tokens for which they have no room are counted in each process alone.

    Args:
        numbers: memory that all workers share; `SharedRows.memory` makes it.
        worker: the number of this worker, from 0.
    """

    numbers: SharedNumbers
    worker: int
    _without_room: LocalRows = attrs.field(init=False, default=attrs.Factory(_new_local_rows, takes_self=True))

    @staticmethod
    def memory(workers: int) -> SharedNumbers:
        """Return memory for the rows of a number of workers."""
        return SharedNumbers(_WORKERS + workers)

    def changing(self, name: str, /) -> AbstractContextManager[memoryview[float]]:
        """Yield the row of a token; the other workers wait until the block ends."""
        try:
            self.numbers.row(name)
        except MemoryError:
            return self._without_room.changing(name)
        return self.numbers.changing(name)

    def forget_requests(self) -> None:
        """Remove the running requests of this worker, which has ended, from all rows; for the parent of the workers."""
        for name in self.numbers.names():
            with self.changing(name) as row:
                row[_WORKERS + self.worker] = 0


@attrs.frozen(eq=False)
class Admission:
    """Counts the running requests of each token and its rate, and refuses requests beyond its limits.

    Args:
        concurrent_requests: how many requests of one token may run at once.
        rows: where they are counted; by default in this process alone.
        clock: returns seconds that never go back, the same in all processes.
    """

    concurrent_requests: int
    rows: AdmissionRows = attrs.field(factory=LocalRows)
    clock: Callable[[], float] = monotonic

    @contextmanager
    def admit(self, token: Token | None) -> Generator[None]:
        """Count a request as running within the block.

        Args:
            token: the caller's; all callers without one are counted together, and have no rate.

        Raises:
            RefusedError: status 429: too many requests are running, or came within the last second.
        """
        name, running = _ANONYMOUS if token is None else token.name, _WORKERS + self.rows.worker
        with self.rows.changing(name) as row:
            if sum(row[_WORKERS:]) >= self.concurrent_requests:
                message = f"{self.concurrent_requests} requests of this token are running already; wait for one of them"
                raise RefusedError(429, "LimitError", message, limit="concurrent_requests", headers={"Retry-After": "1"})
            if token is not None and token.requests_per_s is not None:
                self._take(row, token.requests_per_s)
            row[running] += 1
        try:
            yield
        finally:
            with self.rows.changing(name) as row:
                row[running] -= 1

    def _take(self, row: memoryview[float], rate: float) -> None:
        """Take a request out of a bucket, which is refilled at its rate, up to the requests of a second."""
        now, most = self.clock(), max(rate, 1.0)
        level = min(most, row[_LEVEL] + (now - row[_FILLED_AT]) * rate) if row[_FILLED_AT] else most
        row[_FILLED_AT] = now
        row[_LEVEL] = level if level < 1 else level - 1
        if level < 1:
            pause_s = ceil((1 - level) / rate)
            message = f"this token may make {rate:g} requests in a second; try again in {pause_s} s"
            raise RefusedError(429, "LimitError", message, limit="requests_per_s", headers={"Retry-After": f"{pause_s}"})
