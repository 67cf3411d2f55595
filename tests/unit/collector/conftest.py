"""A sink that records what it gets, a copy of /proc with planted files, and a clock that a test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import attrs
import psutil
import pytest

from statcore import MetricValue, StatcoreError
from statcore.ports import ScrapeSample
from statcore_collector import Collector, KernelTarget

KERNEL, SESSION = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11", "0d3f7c55-7f0e-4a1b-8f0e-5f1d2c3b4a69"
METRICS = {"cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx"}


def label_values(samples: Iterable[ScrapeSample], label: str) -> set[str]:
    """Return the values of a label in samples."""
    return {labels[label] for _, labels, _ in samples if label in labels}


def raising(error: Exception) -> Callable[..., Any]:
    """Return a function that raises the error."""

    def function(*_: object, **__: object) -> Any:
        raise error

    return function


@attrs.define
class RecordingSink:
    """A `StatisticsSinkPort` over dicts; `failures` holds the error that each named method raises."""

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
        """Keep the entries."""
        await self._answer("store_kernel_statistics")
        self.kernels.update(entries)

    async def store_agent_statistics(self, agent_id: str, /, **statistics: Any) -> None:
        """Keep the statistics."""
        await self._answer("store_agent_statistics")
        self.agents[agent_id] = statistics

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Keep the count."""
        await self._answer("store_container_count")
        self.counts[agent_id] = count

    async def remove(self, ids: Iterable[str], /) -> None:
        """Delete the entries."""
        await self._answer("remove")
        gone = list(ids)
        self.removed.append(gone)
        for key in gone:
            self.kernels.pop(key, None)


@pytest.fixture
def sink() -> RecordingSink:
    """A sink that records what it gets."""
    return RecordingSink()


@pytest.fixture
def collecting(sink: Any, sleeper: Popen[bytes]) -> Collector:
    """A collector of one kernel with a session."""
    collecting = Collector(sink, agent_id="i-1", interval_s=60)
    collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL, session_id=SESSION))
    return collecting


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time, which stands still until a test adds to it."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    return now_s


@pytest.fixture
def sleeper() -> Iterator[Popen[bytes]]:
    """A process that does nothing; it ends with the test at the latest."""
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


@attrs.frozen
class PlantedProc:
    """A folder that looks like /proc: planted files replace the machine's own."""

    folder: Path

    def plant(self, file: str, text: str) -> None:
        """Write a file; the folder of a process then has planted files only."""
        path = self.folder / file
        if path.parent.is_symlink():
            path.parent.unlink()
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)

    def plant_cores(self, **cores: int) -> None:
        """Write a `stat` file with these cores and their busy time in ticks, all in user mode."""
        lines = [f"{core} {ticks} 0 0 5000 0 0 0 0 0 0" for core, ticks in cores.items()]
        self.plant("stat", "\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 1", "btime 1700000000", ""]))

    def restore(self, entry: str) -> None:
        """Put the machine's own entry back."""
        path = self.folder / entry
        if path.is_dir() and not path.is_symlink():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(Path("/proc") / entry)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: Popen[bytes]) -> PlantedProc:
    """The /proc that psutil and the collector read; the sleeper's process is in it."""
    folder = tmp_path / "proc"
    folder.mkdir()
    assert sleeper.poll() is None
    for entry in Path("/proc").iterdir():
        if entry.name != "net":
            (folder / entry.name).symlink_to(entry)
    (folder / "net").mkdir()
    (folder / "net/dev").symlink_to("/proc/net/dev")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder))
    return PlantedProc(folder)
