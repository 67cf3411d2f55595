"""A sink that remembers what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from subprocess import PIPE, Popen
from typing import Any

import attrs
import pytest

from statcore import MetricValue, StatcoreError


@attrs.define
class RecordingSink:
    """A `StatisticsSinkPort` over dicts; `failures` names the methods that raise, and what."""

    kernels: dict[str, Mapping[str, MetricValue]] = attrs.field(factory=dict)
    agents: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    counts: dict[str, int] = attrs.field(factory=dict)
    removed: list[list[str]] = attrs.field(factory=list)
    failures: dict[str, StatcoreError] = attrs.field(factory=dict)

    async def _answer(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]
        for _ in range(5):  # a real store takes a while to succeed
            await asyncio.sleep(0)

    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Keep them."""
        await self._answer("store_kernel_statistics")
        self.kernels.update(entries)

    async def store_agent_statistics(self, agent_id: str, /, **statistics: Any) -> None:
        """Keep them."""
        await self._answer("store_agent_statistics")
        self.agents[agent_id] = statistics

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Keep it."""
        await self._answer("store_container_count")
        self.counts[agent_id] = count

    async def remove(self, ids: Iterable[str], /) -> None:
        """Forget them."""
        await self._answer("remove")
        gone = list(ids)
        self.removed.append(gone)
        for key in gone:
            self.kernels.pop(key, None)


@pytest.fixture
def sink() -> RecordingSink:
    """A sink that remembers what it is told."""
    return RecordingSink()


@pytest.fixture
def sleeper() -> Iterator[Popen[bytes]]:
    """A process that does nothing until it is ended, at the latest with the test."""
    with Popen(["cat"], stdin=PIPE, stdout=PIPE, bufsize=0) as process:  # noqa: S607 - found on PATH everywhere
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(b"x")
            assert b"x" == process.stdout.read(1)  # it has started, and waits for more
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
