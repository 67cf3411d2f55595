"""Until when, and in which event loop, a client may be used."""

from __future__ import annotations

import asyncio

import attrs

from statcore.errors import ClosedError


@attrs.define(eq=False)
class Lifetime:
    """The lifetime of a client: in the event loop of its first call, until it is closed."""

    closed: bool = attrs.field(default=False, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False, repr=False)

    def check(self, service: str) -> None:
        """Note the running event loop if it is the first.

        Args:
            service: the server's address for messages, without credentials.

        Raises:
            ClosedError: the client is closed, or another event loop is running.
        """
        if self.closed:
            raise ClosedError(f"the client of {service} is closed; expected one that is open")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ClosedError(f"the client of {service} belongs to another event loop; make one client for each loop")

    def end(self, service: str) -> None:
        """Note that the client is closed; ending twice is allowed.

        Raises:
            ClosedError: its event loop is another one that is not closed.
        """
        if not self.closed and self._loop is not None and not self._loop.is_closed():
            self.check(service)
        self.closed = True
