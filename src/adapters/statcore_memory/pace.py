"""Pace of an evaluation, which gives way to the event loop every few hundred samples; its parts share one pace."""

from __future__ import annotations

from typing import Final

import attrs

from statcore.concurrency import give_way

_SAMPLES_PER_TURN: Final = 256


@attrs.define
class Pace:
    """Counts the samples that one evaluation has read."""

    _done: int = attrs.field(default=0, init=False)

    async def spend(self, samples: int = 1) -> None:
        """Count `samples`, and give way to the event loop after every few hundred."""
        self._done += samples
        if self._done > _SAMPLES_PER_TURN:
            self._done = 0
            await give_way()
