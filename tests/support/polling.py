"""Waits for what no event announces: a state of a server, of the kernel, or of another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

_PATIENCE_S: Final = 30.0
"""Many times what any of it takes, so that a slow machine fails no test."""
_PAUSE_S: Final = 0.01


async def until(is_so: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Return once a condition holds; it is checked again and again, with a pause.

    Args:
        is_so: checks the condition.
        what: what is waited for, for the message of the error.

    Raises:
        TimeoutError: the condition does not hold in time.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = is_so()
        if found if isinstance(found, bool) else await found:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_PATIENCE_S:g} s for {what}")
        await asyncio.sleep(_PAUSE_S)
