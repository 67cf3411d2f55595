"""Cancels a call after delays that grow, so that many of its moments are tried."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Final

_TURNS: Final = 12
_PAUSES: Final = 24
_FIRST_PAUSE_S: Final = 0.00005
_GROWTH: Final = 1.3


def _pauses() -> Iterator[tuple[float, ...]]:
    for turns in range(_TURNS):
        yield (0.0,) * turns
    for step in range(_PAUSES):
        yield (_FIRST_PAUSE_S * _GROWTH**step,)


async def cancel_at_every_step(
    call: Callable[[], Coroutine[object, object, object]], *, then: Callable[[], Awaitable[None]]
) -> None:
    """Start `call` and cancel it, each time a little later, until it ends before that; await `then` after each time.

    The delay grows by one turn of the event loop at first, then by a share of itself, up to 20 ms. A longer call is not
    tried at its later moments.

    Raises:
        AssertionError: the call swallowed its cancellation.
    """
    for pauses in _pauses():
        task = asyncio.create_task(call())
        for pause_s in pauses:
            await asyncio.sleep(pause_s)
        was_running = task.cancel()
        await asyncio.wait([task])
        if was_running and not task.cancelled():
            raise AssertionError(f"cancelled after {len(pauses)} pauses, the call went on: {task!r}")
        await then()
        if not was_running:
            task.result()
            return
