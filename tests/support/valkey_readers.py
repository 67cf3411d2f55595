"""Callers that read kernels' statistics over and over while servers are harmed; every answer is checked."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import attrs
import msgpack
from redis import Redis

from statcore.errors import StatcoreError
from statcore.model import ProblemKind
from statcore_valkey import ValkeyStatistics

CALLERS: Final = 16
_IDS_PER_CALL: Final = 100
_PAUSE_S: Final = 0.01
"""The pause between two calls of a caller, in which servers on the same processor can elect a primary."""


def metrics(number: int) -> dict[str, dict[str, str]]:
    """Return the metrics of a kernel, which has a number of its own."""
    return {"mem": {"current": str(number)}}


def numbered(ids: Iterable[str]) -> dict[str, int]:
    """Return the position of each id, which is the number of the kernel where `payloads` made the ids."""
    return {id_: number for number, id_ in enumerate(ids)}


def payloads(count: int) -> dict[str, bytes]:
    """Return what an agent writes for `count` kernels, by new ids; the first kernel has the number 0."""
    return {str(uuid4()): msgpack.packb(metrics(number)) for number in range(count)}


def refusals(admin: Redis, code: str) -> int:
    """Return how often a server has answered with an error of a code, such as LOADING."""
    found: dict[str, int] = admin.info("errorstats").get(f"errorstat_{code}", {"count": 0})
    return found["count"]


@attrs.define(kw_only=True, eq=False)
class Readers:
    """Callers that read different kernels of a store at the same time.

    Args:
        store: what they read.
        numbers: the number of each kernel, by its id.
    """

    store: ValkeyStatistics
    numbers: Mapping[str, int]
    right: int = attrs.field(default=0, init=False)
    """How many entries were right."""
    wrong: list[str] = attrs.field(factory=list[str], init=False)
    """Entries of another kernel, and entries that are missing without a problem."""
    failed: dict[str, str] = attrs.field(factory=dict[str, str], init=False)
    """Why a kernel was not answered, by its id."""
    durations_s: list[float] = attrs.field(factory=list[float], init=False)
    """How long each call took."""
    _called: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Readers]:
        """Read until the block ends."""
        callers = [asyncio.create_task(self._read(random.Random(seed))) for seed in range(CALLERS)]  # noqa: S311
        try:
            await self._called.wait()
            yield self
        finally:
            for caller in callers:
                caller.cancel()
            results = await asyncio.gather(*callers, return_exceptions=True)
        assert {asyncio.CancelledError} == {type(result) for result in results}, results

    async def read_more(self, count: int = 1) -> None:
        """Return when `count` more calls have ended."""
        for _ in range(count):
            self._called.clear()
            await self._called.wait()

    async def _read(self, order: random.Random) -> None:
        every = list(self.numbers)
        while True:
            ids = order.sample(every, min(_IDS_PER_CALL, len(every)))
            start = time.perf_counter()
            try:
                batch = await self.store.fetch_kernel_statistics(ids)
            except StatcoreError as error:
                self.failed |= dict.fromkeys(ids, str(error))
            else:
                for position, (id_, entry) in enumerate(zip(ids, batch, strict=True)):
                    problem = batch.problems.get(position)
                    if problem is not None and problem.kind in {ProblemKind.UNAVAILABLE, ProblemKind.INCOMPLETE}:
                        self.failed[id_] = problem.message
                    elif entry == metrics(self.numbers[id_]):
                        self.right += 1
                    else:
                        self.wrong.append(f"{id_}: {entry} with {problem}, not {metrics(self.numbers[id_])}")
            self.durations_s.append(time.perf_counter() - start)
            self._called.set()
            await asyncio.sleep(_PAUSE_S)
