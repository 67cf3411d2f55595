"""The lifetime of a client: one event loop, until it is closed."""

from __future__ import annotations

import asyncio

import attrs

from statcore.errors import ClosedError


@attrs.define(eq=False)
class Lifetime:
    """The lifetime of a client: it is bound to the event loop of the first call, and ends when the client is closed."""

    closed: bool = attrs.field(default=False, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False, repr=False)

    def check(self, service: str) -> None:
        """Check that the client may be used now; the first call binds it to the running event loop.

        Args:
            service: the server's address for messages, without credentials.

        Raises:
            ClosedError: the client is closed, or another event loop is running.
        """
        if self.closed:
            raise ClosedError(f"the client of {service} is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ClosedError(f"the client of {service} belongs to another event loop; make one client for each loop")

    def end(self, service: str) -> None:
        """Mark the client as closed; a second call is allowed.

        Args:
            service: the server's address for messages, without credentials.

        Raises:
            ClosedError: the client belongs to another event loop, which is not closed.
        """
        if not self.closed and self._loop is not None and not self._loop.is_closed():
            self.check(service)
        self.closed = True
