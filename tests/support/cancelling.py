"""Cancels work after a number of turns of the event loop, and waits until servers have lost its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from tests.support.polling import until


async def cancelled_after(turns: int, work: Coroutine[Any, Any, object]) -> None:
    """Start work, let the event loop turn `turns` times, and cancel the work."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def expect_count(most: int, connections: Callable[[], int]) -> None:
    """Wait until the servers have no more connections than before.

    Args:
        most: how many there were; a connection of a server itself may have ended since.
        connections: counts them.
    """
    await until(lambda: connections() <= most, f"at most {most} connections")
