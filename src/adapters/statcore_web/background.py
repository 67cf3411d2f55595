"""Work in the background: runs as long as a block, and is never lost silently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from statcore.concurrency import end_tasks

_logger: Final = logging.getLogger(__name__)


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None], *, name: str) -> AsyncGenerator[None]:
    """Run work within the block; the end of the block cancels it, and an earlier end is logged as an error.

    Args:
        work: what has no end of its own.
        name: what the log calls it.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_unexpected_end)
    try:
        yield
    finally:
        await end_tasks([task])


def _log_unexpected_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _logger.error("%s has ended, and should not have", task.get_name(), exc_info=task.exception())
