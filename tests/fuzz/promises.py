"""What several targets check: which errors may leave, and what messages must not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from statcore.errors import InputError

SECRET: Final = "hunter2-s3cret"  # noqa: S105 - a word that no message may show
_LONGEST_MESSAGE: Final = 4_000


def outcome(read: Callable[[], Any], *expected: type[Exception]) -> Any:
    """Return what a function returns, or None where it raises an expected error; other errors leave."""
    try:
        return read()
    except expected:
        return None


def refusal(read: Callable[[], object]) -> str:
    """Return the message of the `InputError` that a function raises, or no text if it raises none; other errors leave."""
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def assert_one_line(message: str) -> None:
    """Check a message that terminals and logs show: one line, of bounded length, without the secret."""
    assert message.isprintable()
    assert len(message) < _LONGEST_MESSAGE
    assert SECRET not in message
