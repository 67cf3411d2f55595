"""The memory of processes of a soak: the readers and writers, and a worker of the service."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import attrs

SAMPLE_S: Final = 1.0
_FOLDER: Final = "SOAK_MEMORY"
"""The environment variable with the folder in which processes keep their samples."""


@attrs.frozen
class MemorySample:
    """What a process held at a time."""

    at_s: float
    resident_bytes: float
    large_bytes: float
    """The memory in use of the C library's allocator: what Python holds in pieces of more than 512 bytes, and libraries."""
    blocks: float
    """The smaller pieces that Python holds."""

    @classmethod
    def now(cls) -> MemorySample:
        """Return what this process holds."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        return cls(time.monotonic(), resident, _large_bytes(), sys.getallocatedblocks())


@attrs.define
class MemorySamples:
    """Samples in one piece of memory; as objects, those of an hour would be 5 % of all pieces that Python holds."""

    _numbers: array[float] = attrs.field(factory=lambda: array("d"))

    def add(self, sample: MemorySample) -> None:
        """Keep a sample."""
        self._numbers.extend(attrs.astuple(sample))

    def __iter__(self) -> Iterator[MemorySample]:
        """Yield the samples in order."""
        size = len(attrs.fields(MemorySample))
        for at in range(0, len(self._numbers), size):
            yield MemorySample(*self._numbers[at : at + size])


@attrs.frozen(kw_only=True)
class Memory:
    """How the memory of a process changed from the end of its warm-up on, by a line through all samples.

    Args:
        resident_bytes: its resident memory at the end.
        resident_per_min: how many bytes of resident memory a minute added.
        large_per_min: how many bytes in use a minute added, in large pieces.
        large_ratio, blocks_ratio: the end of the line to its beginning.
    """

    resident_bytes: float
    resident_per_min: float
    large_per_min: float
    large_ratio: float
    blocks_ratio: float

    @classmethod
    def of(cls, samples: Sequence[MemorySample], *, warm_up_s: float) -> Memory | None:
        """Return how it changed, or None if fewer than three samples are left after the warm-up."""
        start_s = samples[0].at_s + warm_up_s if samples else 0.0
        kept = [sample for sample in samples if sample.at_s >= start_s]
        if len(kept) < 3:
            return None
        times_s = [sample.at_s for sample in kept]
        minutes = (times_s[-1] - times_s[0]) / 60
        resident = _line(times_s, [sample.resident_bytes for sample in kept])
        large = _line(times_s, [sample.large_bytes for sample in kept])
        blocks = _line(times_s, [sample.blocks for sample in kept])
        return cls(
            resident_bytes=resident[1],
            resident_per_min=(resident[1] - resident[0]) / minutes,
            large_per_min=(large[1] - large[0]) / minutes,
            large_ratio=large[1] / large[0],
            blocks_ratio=blocks[1] / blocks[0],
        )


def _line(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the last point of the line through values."""
    slope, intercept = statistics.linear_regression(times_s, values)
    return intercept + slope * times_s[0], intercept + slope * times_s[-1]


class _MallocInfo(ctypes.Structure):
    """The struct `mallinfo2` of the GNU C library."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def _large_bytes() -> int:
    """Return the memory in use of the C library's allocator; resident memory also has what it keeps free between pieces."""
    info = _mallinfo2()()
    return int(info.uordblks + info.hblkhd)


@functools.cache
def _mallinfo2() -> Callable[[], _MallocInfo]:
    function = ctypes.CDLL(None).mallinfo2
    function.restype = _MallocInfo
    return function


def sampled(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return an environment in which each Python process keeps samples of its memory in a folder.

    Python imports the module `sitecustomize` of `soak_processes` when it starts.
    """
    here = Path(__file__).parent
    places = [str(here / "soak_processes"), str(here), *filter(None, [variables.get("PYTHONPATH")])]
    return {**variables, "PYTHONPATH": os.pathsep.join(places), _FOLDER: str(folder)}


def keep_samples() -> None:
    """Keep a sample of this process in a file once a second, until it ends."""
    file = (Path(os.environ[_FOLDER]) / str(os.getpid())).open("ab", buffering=0)

    def keep() -> None:
        with file:
            while True:
                file.write(array("d", attrs.astuple(MemorySample.now())).tobytes())
                time.sleep(SAMPLE_S)

    threading.Thread(target=keep, daemon=True).start()


def samples_of(folder: Path, process: int) -> list[MemorySample]:
    """Return the samples that a process has kept in a folder."""
    return list(MemorySamples(array("d", (folder / str(process)).read_bytes())))
