"""How much of a list is answered."""

from __future__ import annotations

from typing import Final

from statcore.errors import InputError

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000


def check_limit(limit: int) -> int:
    """Return how many items of a list are answered.

    Raises:
        InputError: more than one answer may hold.
    """
    if limit > MAX_LIMIT:
        raise InputError(f"limit must be at most {MAX_LIMIT}, not {limit}; page with offset")
    return limit
