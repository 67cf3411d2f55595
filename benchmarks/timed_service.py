"""`python timed_service.py FILE ARGUMENT…` is `statcore ARGUMENT…`, and writes the turns of its event loop to a file.

A turn is what the loop runs between two waits for events; until it ends, every request waits. The service's own metric of
the loop looks twice a second, and so misses most turns.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from resource import RUSAGE_THREAD, getrusage
from typing import Final, TextIO

import attrs

_START_S: Final = 60.0
_LEAST_S: Final = 0.001
"""Shorter turns are not written."""


@attrs.frozen
class Turn:
    """A turn of the event loop.

    Args:
        end_s: when it ended, by `time.monotonic()`.
        wall_s: how long it lasted.
        cpu_s: the CPU time of its thread.
        preemptions: how often the kernel gave the core of its thread to another one.
    """

    end_s: float
    wall_s: float
    cpu_s: float
    preemptions: float

    @property
    def held_s(self) -> float:
        """How long it held the loop by itself: with its waits for locks and files, but without those for a core."""
        return self.cpu_s if self.preemptions else self.wall_s


@attrs.frozen(kw_only=True)
class TimedService:
    """A running `statcore serve`: its address, its process, and the file with its turns."""

    url: str
    pid: int
    file: Path

    def turns_since(self, start_s: float) -> list[Turn]:
        """Return the turns that ended after a time of `time.monotonic()`."""
        lines = self.file.read_text().splitlines()
        return [turn for line in lines if (turn := Turn(*map(float, line.split()))).end_s > start_s]


@asynccontextmanager
async def running_service(folder: Path, **settings: str) -> AsyncGenerator[TimedService]:
    """Run the service on a free port within the block, with these settings of statcore only."""
    file = folder / "turns.txt"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STATCORE_")}
    with (folder / "service.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, str(file), "serve", "--port", "0", "--log-level", "warning"),
            env=inherited | {f"STATCORE_{name.upper()}": value for name, value in settings.items()},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            url = (await process.stdout.readline()).decode().strip()
        assert url, f"the service has ended: {(folder / 'service.log').read_text()}"
        yield TimedService(url=url, pid=process.pid, file=file)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _TimedSelector(selectors.DefaultSelector):
    """What an event loop waits with. A turn begins when the wait ends, and ends when the next wait begins."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file
        self._start: tuple[float, float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        end = _clocks()
        if self._start is not None:
            wall_s, *others = (now - before for now, before in zip(end, self._start, strict=True))
            if wall_s >= _LEAST_S:
                print(end[0], wall_s, *others, file=self._file)
        events = super().select(timeout)
        self._start = _clocks()
        return events


def _clocks() -> tuple[float, float, float]:
    return time.monotonic(), time.thread_time(), getrusage(RUSAGE_THREAD).ru_nivcsw


def _main() -> None:
    from statcore_cli.main import main  # noqa: PLC0415 - the benchmark itself runs no command

    _, file, *arguments = sys.argv
    sys.argv = ["statcore", *arguments]
    with Path(file).open("w", buffering=1) as turns:
        selectors.DefaultSelector = partial(_TimedSelector, turns)  # type: ignore[assignment,misc]
        main()


if __name__ == "__main__":
    _main()
