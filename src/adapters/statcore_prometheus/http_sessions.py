"""HTTP sessions of a client: its own session, the host's session, or sessions from the host's factory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, cast

import aiohttp

from statcore.concurrency import close_coroutine
from statcore.errors import ClosedError, InputError, StatcoreError, UnavailableError
from statcore.model.text import describe
from statcore_connection.lifetime import Lifetime

SessionFactory: TypeAlias = Callable[[], aiohttp.ClientSession]


class HttpSessions:
    """Gives each request its HTTP session; all requests run in the event loop of the first request.

    Args:
        given: the host's session or factory of sessions; the client never closes the host's sessions. None makes the client
            open a session of its own.
        service: the server's address for messages, without credentials.
        max_connections: how many connections to one server the client's own session opens at once.

    Raises:
        InputError: `given` is neither a session nor a function.
    """

    def __init__(self, given: aiohttp.ClientSession | SessionFactory | None, *, service: str, max_connections: int) -> None:
        """Check `given`; the first request opens the client's own session."""
        if given is not None and not isinstance(given, aiohttp.ClientSession) and not callable(given):
            raise InputError(
                "session must be an aiohttp.ClientSession or a function that returns one, "
                f"not a value of type {type(given).__name__}"
            )
        self._given = given
        self._service = service
        self._max_connections = max_connections
        self._own: aiohttp.ClientSession | None = None
        self._lifetime = Lifetime()

    def current(self) -> aiohttp.ClientSession:
        """Return the session for a request that is sent now.

        Raises:
            ClosedError: the client or the session handed in is closed, or belongs to another event loop.
            InputError: the factory failed, or did not return a session.
        """
        self._lifetime.check(self._service)
        if self._given is None:
            if self._own is None:
                self._own = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._max_connections),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            return self._own
        session = self._given if isinstance(self._given, aiohttp.ClientSession) else _made_by(self._given)
        if session.closed:
            raise ClosedError("the session handed in is closed; hand in a function that returns an open one")
        # aiohttp's public attribute is deprecated and warns. A session that is used in another loop may break its own loop.
        loop = asyncio.get_running_loop()
        if getattr(session, "_loop", loop) is not loop:
            raise ClosedError("the session handed in belongs to another event loop; make one client for each loop")
        return session

    def view(self) -> HttpSessions:
        """Return sessions that give the same session until either of the two is closed, and close nothing themselves."""
        return HttpSessions(self.current, service=self._service, max_connections=self._max_connections)

    def failure_of_closed(self, service: str) -> StatcoreError:
        """Return the error for a request during which its session was closed, retryable if there is another session."""
        try:
            self.current()
        except StatcoreError as error:
            return error
        return UnavailableError(f"{service}: the host closed its session during the request", service=service)

    async def aclose(self) -> None:
        """Close the client and its own session; closing twice is allowed.

        Raises:
            ClosedError: the client belongs to another event loop, which is not closed.
        """
        self._lifetime.end(self._service)
        if self._own is not None:
            await self._own.close()


def _made_by(factory: SessionFactory) -> aiohttp.ClientSession:
    try:
        session = cast("object", factory())  # the host's function may return anything
    except StatcoreError:
        raise
    except Exception as error:
        raise InputError(f"session: the function that was handed in failed: {describe(error)}") from error
    if not isinstance(session, aiohttp.ClientSession):
        close_coroutine(session)
        raise InputError(
            "session: the function that was handed in must return an aiohttp.ClientSession, "
            f"not a value of type {type(session).__name__}"
        )
    return session
