"""The Redis protocol, version 2, from the server's side: commands are read, replies are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs

Words: TypeAlias = list[bytes]
"""A command: its name and its arguments."""

_END: Final = b"\r\n"
_MOST_WORDS: Final = 1024 * 1024
_LONGEST_WORD: Final = 512 * 1024 * 1024


@attrs.frozen
class Status:
    """A reply in one line, such as `OK`."""

    text: str


@attrs.frozen
class Failure:
    """A reply that is an error: its word in capitals, and what it says."""

    text: str


@attrs.frozen
class Raw:
    """Bytes in the place of a reply, right or wrong."""

    content: bytes


Reply: TypeAlias = Status | Failure | Raw | bytes | int | Sequence[Any] | None
"""A reply to a command; a sequence holds replies."""


def encode(reply: Reply) -> bytes:  # noqa: PLR0911 - a branch for each kind
    """Return the bytes of a reply."""
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Status):
        return b"+%b\r\n" % reply.text.encode()
    if isinstance(reply, Failure):
        return b"-%b\r\n" % reply.text.encode()
    if isinstance(reply, Raw):
        return reply.content
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    return b"*%d\r\n%b" % (len(reply), b"".join(map(encode, reply)))


class CommandError(ValueError):
    """Bytes that are no command; the server says so and closes the connection."""


class CommandReader:
    """Puts the commands of one connection together from the bytes that arrive."""

    def __init__(self) -> None:
        """Start without bytes."""
        self._buffer = bytearray()
        self._words: Words = []
        self._missing = 0
        self._length: int | None = None

    def feed(self, data: bytes) -> Iterator[Words]:
        """Take bytes and yield the commands that are complete.

        Raises:
            CommandError: the bytes are no command.
        """
        self._buffer += data
        while self._step():
            if not self._missing and self._words:
                words, self._words = self._words, []
                yield words

    def _step(self) -> bool:
        """Take one line or one word out of the buffer; return whether there was one."""
        if self._length is not None:
            if len(self._buffer) < self._length + len(_END):
                return False
            self._words.append(bytes(self._buffer[: self._length]))
            del self._buffer[: self._length + len(_END)]
            self._missing -= 1
            self._length = None
            return True
        end = self._buffer.find(_END)
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        if self._missing:
            if not line.startswith(b"$"):
                raise CommandError(f"expected '$', got '{line[:1].decode(errors='replace')}'")
            self._length = _number(line[1:], _LONGEST_WORD, "invalid bulk length")
        elif line.startswith(b"*"):
            self._missing = _number(line[1:], _MOST_WORDS, "invalid multibulk length")
        else:
            self._words = line.split()
        return True


def _number(digits: bytes, most: int, fault: str) -> int:
    if not digits.isdigit() or int(digits) > most:
        raise CommandError(fault)
    return int(digits)
