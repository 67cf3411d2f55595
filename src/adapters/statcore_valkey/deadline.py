"""The boundary of a call: one deadline for everything that it does, and no error but ours."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from statcore.errors import ProtocolError, StatcoreError, TimedOutError
from statcore_connection.unforeseen import unexpected


class Deadline:
    """An async context that ends its block after `timeout_s` seconds, with an error that says what was waited for.

    Raises:
        TimedOutError: the time is up.
        StatcoreError: the time is up, and the last try that came to an end had failed with this.
        ProtocolError: the block raised an error that is not ours.
    """

    def __init__(self, timeout_s: float, /) -> None:
        """Start no clock yet."""
        self.waits_for = "the event loop"
        self.failure: StatcoreError | None = None
        self._timeout_s = timeout_s
        self._timer = asyncio.timeout(timeout_s)

    async def __aenter__(self) -> Self:
        """Start the clock."""
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock."""
        try:
            await self._timer.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            if self.failure is not None:
                raise self.failure from late
            raise TimedOutError(f"waited {self._timeout_s:g} s for {self.waits_for}", timeout_s=self._timeout_s) from late
        if isinstance(error, Exception) and not isinstance(error, StatcoreError):
            raise ProtocolError(unexpected(error)) from error
