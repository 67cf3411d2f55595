"""Values that are read from files, and read again when a file has changed; secrets in files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from statcore.errors import InputError

_logger: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
_MAX_TEXT_BYTES: Final = 64 * 1024

_State = tuple[int, int, int] | None


class FileValue(Generic[_T]):
    """A value that is read from files, and read again when a file has changed.

    While changed files cannot be used, such as a new certificate whose key is not written yet, the last value stays.

    Args:
        paths: the paths of the files; without paths the value is read once.
        read: returns the value; raises `InputError` where the files cannot be used.

    Raises:
        InputError: a file cannot be used at the first reading.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[], _T]) -> None:
        """Read the files for the first time."""
        self._paths = paths
        self._read = read
        self._states = self._look()  # before reading, so that a write during the reading counts as a change
        self._value = read()
        self.previous: _T | None = None
        """The value before the last change of the files, which a running request may have used, or None."""
        self._failed: tuple[_State, ...] | None = None

    def current(self) -> _T:
        """Return the value of the files as they are now."""
        states = self._look()
        if states == self._states:
            return self._value
        try:
            value = self._read()
        except InputError as error:
            if states != self._failed:  # read at every call, but logged once for each state of the files
                _logger.warning("%s; the value that was read before stays in use", error)
            self._failed = states
        else:
            self._states = states
            self.previous, self._value = self._value, value
        return self._value

    def _look(self) -> tuple[_State, ...]:
        return tuple(map(_state, self._paths))


def _state(path: str) -> _State:
    try:
        found = os.stat(path)  # noqa: PTH116 - three times as fast as pathlib, and called for every request
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def reason(error: Exception) -> str:
    """Return what is wrong with a file, without its path, which may be a misplaced secret."""
    return getattr(error, "strerror", None) or type(error).__name__


def read_secret(path: str, *, setting: str) -> str:
    """Return the line of text that a file holds, without the line break at its end.

    Raises:
        InputError: the file cannot be read, or does not hold one line of text; the message names the setting and quotes
            nothing of the file.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a null byte in a path is a ValueError here as well
            content = file.read(_MAX_TEXT_BYTES + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InputError(f"{setting} cannot be read: {reason(error)}") from None
    except ValueError:
        raise InputError(f"{setting} cannot be read: expected the path of a file with text in UTF-8") from None
    if not text or not text.isprintable() or len(content) > _MAX_TEXT_BYTES:
        raise InputError(f"{setting} must hold one line of text without control characters, of at most 64 KiB")
    return text
