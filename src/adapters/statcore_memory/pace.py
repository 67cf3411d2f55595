"""Long computations in pieces, between which others have the event loop."""

from __future__ import annotations

from typing import Final

import attrs

from statcore.concurrency import give_way

_AT_A_TIME: Final = 256


@attrs.define
class Pace:
    """Counts the work of one computation."""

    _done: int = attrs.field(default=0, init=False)

    async def spend(self, samples: int = 1) -> None:
        """Say that so many samples were looked at; every few hundred, others have their turn."""
        self._done += samples
        if self._done > _AT_A_TIME:
            self._done = 0
            await give_way()
