"""Numbers that processes share: rows by name, in memory alone, so that no full disk can harm them.

A file would cost the process its life: where a page of a mapped file has no room on the disk, the kernel sends SIGBUS.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from typing import Any, Final, cast

from statcore.errors import UnavailableError

_logger: Final = logging.getLogger(__name__)

_BYTES: Final = 64 * 1024 * 1024
"""The size of the memory; pages that have not been written take none."""
_CELL: Final = 8
_FIRST: Final = 1
"""The first cell of the first row. The cell before it has the number of the cell behind the last row."""


class SharedNumbers:
    """Rows of floats by name. A row that is requested for the first time is added with zeros, and stays.

    A row is its name's length in a cell of eight bytes, the name in whole cells, and a cell for each number. Instances are
    passed to processes that multiprocessing starts, which then have the same memory.
    """

    def __init__(self, width: int, descriptor: int | None = None) -> None:
        """Make the memory, or use one that another process has made.

        Args:
            width: how many numbers a row has.
            descriptor: that of the memory; it is closed with this instance.

        Raises:
            UnavailableError: the system does not give the memory.
        """
        self.width = width
        self.descriptor: int = _new_memory() if descriptor is None else descriptor
        self._bytes = memoryview(mmap.mmap(self.descriptor, _BYTES))
        self._counts = self._bytes.cast("Q")
        self._numbers = self._bytes.cast("d")
        self._starts: dict[str, int] = {}
        self._known_to = _FIRST
        self._is_full = False
        if descriptor is None:
            self._counts[0] = _FIRST

    def __reduce__(self) -> tuple[Callable[..., SharedNumbers], tuple[Any, ...]]:
        """Pass the memory to a process that is being started."""
        return _attach, (self.width, DupFd(self.descriptor))

    def close(self) -> None:
        """Give the memory back, once no process uses a row of it any more."""
        os.close(self.descriptor)

    def row(self, name: str) -> memoryview[float]:
        """Return the row of a name.

        Raises:
            MemoryError: it is a new name, and there is no room for it.
        """
        if name not in self._starts:
            with self._locked(0):  # a name that is added meanwhile is read when it is whole
                self._read_new()
                if name not in self._starts:
                    self._add(name)
        start = self._starts[name]
        return self._numbers[start : start + self.width]

    @contextmanager
    def changing(self, name: str) -> Generator[memoryview[float]]:
        """Yield the row of a name; other processes that want to change it wait. The lock of a process ends with it.

        Raises:
            MemoryError: it is a new name, and there is no room for it.
        """
        row = self.row(name)
        with self._locked(self._starts[name]):
            yield row

    def names(self) -> Sequence[str]:
        """Return the names of all rows, in the order in which they were added."""
        with self._locked(0):
            self._read_new()
        return tuple(self._starts)

    def _read_new(self) -> None:
        while self._known_to < self._counts[0]:
            begin, length = self._known_to + 1, self._counts[self._known_to]
            name = bytes(self._bytes[begin * _CELL : begin * _CELL + length]).decode()
            self._starts[name] = begin + _cells(length)
            self._known_to = self._starts[name] + self.width

    def _add(self, name: str) -> None:
        text = name.encode()
        begin = self._known_to + 1
        start = begin + _cells(len(text))
        end = start + self.width
        if end * _CELL > _BYTES:
            if not self._is_full:
                self._is_full = True
                _logger.error(
                    "the memory that workers share is full until a restart: further series of /metrics are not counted, "
                    "and each worker limits further tokens by itself"
                )
            raise MemoryError(f"there is no room for {name!r:.100} among the numbers that workers share")
        self._counts[self._known_to] = len(text)
        self._bytes[begin * _CELL : begin * _CELL + len(text)] = text
        self._bytes[start * _CELL : end * _CELL] = bytes(self.width * _CELL)  # a killed process may have begun a row here
        self._counts[0] = end
        self._read_new()

    @contextmanager
    def _locked(self, cell: int) -> Generator[None]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, cell)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, cell)


def _new_memory() -> int:
    descriptor = os.memfd_create("statcore-shared-numbers")
    try:
        os.ftruncate(descriptor, _BYTES)
    except OSError as error:
        os.close(descriptor)
        message = f"workers need {_BYTES} bytes of memory that they share, which a limit of file sizes may forbid"
        raise UnavailableError(f"{message}: {error.strerror}", service="shared memory") from error
    return descriptor


def _attach(width: int, descriptor: object) -> SharedNumbers:
    return SharedNumbers(width, cast("Any", descriptor).detach())


def _cells(length: int) -> int:
    """Return how many cells some bytes take."""
    return -(-length // _CELL)
