"""Requests to the servers: one pooled session, one deadline per call, retries, and the other member of an HA pair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import stamina
from yarl import URL

from statcore.errors import (
    InputError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore_prometheus.cutting import PIECE_BYTES
from statcore_prometheus.endpoint import Endpoint
from statcore_prometheus.failures import connection_failure, status_failure
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import Request
from statcore_prometheus.tls import tls_settings
from statcore_prometheus.wire import Reader

_T = TypeVar("_T")

# Errors that are about the question: another endpoint would answer no better.
_FINAL: Final = (InputError, QueryRejectedError, UnsupportedError)
_ERROR_BYTES: Final = 64 * 1024
_FIRST_BACKOFF_S: Final = 0.05
_LONGEST_BACKOFF_S: Final = 2.0
_JITTER_S: Final = 0.1
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the deadline bounds all of it
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class Transport:
    """Sends requests and reads their answers; a session handed in is used, and not closed."""

    def __init__(
        self, endpoints: Sequence[Endpoint], options: PrometheusOptions, session: aiohttp.ClientSession | None
    ) -> None:
        """Prepare; the session of its own is opened by the first request."""
        self._endpoints = tuple(endpoints)
        self._options = options
        self._tls = tls_settings(options)
        self._session = session
        self._is_ours = session is None
        self._is_closed = False
        self._answered_last = 0  # the position of the endpoint to ask first

    @asynccontextmanager
    async def deadline(self) -> AsyncGenerator[float]:
        """Bound everything inside by the deadline of a call, and yield it as a time of the event loop.

        Raises:
            TimedOutError: it ran out.
        """
        timeout_s = self._options.timeout_s
        until = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(until):
                yield until
        except TimeoutError as error:
            names = " or ".join(map(str, self._endpoints))
            raise TimedOutError(f"no complete answer from {names} within {timeout_s:g} s", timeout_s=timeout_s) from error

    async def ask(self, request: Request, new_reader: Callable[[], Reader[_T]], *, until: float) -> _T:
        """Send a request, again when that may help, and return what a reader makes of the answer."""
        try:
            return await self._ask_each(request, new_reader, until)
        except StatcoreError as error:
            if not error.retryable:
                raise
            first_failure = error
        # Only now, since setting up retries costs a small query a tenth of its time.
        async for attempt in stamina.retry_context(
            on=partial(_pause, until=until),
            attempts=self._options.attempts,
            timeout=None,
            wait_initial=_FIRST_BACKOFF_S,
            wait_max=_LONGEST_BACKOFF_S,
            wait_jitter=_JITTER_S,
        ):
            with attempt:
                if attempt.num == 1:
                    raise first_failure
                return await self._ask_each(request, new_reader, until)
        raise first_failure  # not reached: the last attempt returns or raises

    async def aclose(self) -> None:
        """Close the session, unless it was handed in."""
        self._is_closed = True
        if self._is_ours and self._session is not None:
            await self._session.close()

    async def _ask_each(self, request: Request, new_reader: Callable[[], Reader[_T]], until: float) -> _T:
        """Ask the endpoint that answered last, then the others; each has an equal share of the time left."""
        failures: list[StatcoreError] = []
        count = len(self._endpoints)
        for asked in range(count):
            position = (self._answered_last + asked) % count
            timeout_s = (until - asyncio.get_running_loop().time()) / (count - asked)
            is_last = asked == count - 1
            endpoint = self._endpoints[position]
            try:
                async with asyncio.timeout(None if is_last else timeout_s):  # the last has all that is left
                    answer = await self._ask_one(endpoint, request, new_reader(), timeout_s)
            except TimeoutError:
                failures.append(TimedOutError(f"{endpoint}: no answer within {timeout_s:.3g} s", timeout_s=timeout_s))
            except StatcoreError as error:
                if isinstance(error, _FINAL):
                    raise
                failures.append(error)
            else:
                self._answered_last = position
                return answer
        raise _joined(failures, self._endpoints)

    async def _ask_one(self, endpoint: Endpoint, request: Request, reader: Reader[_T], timeout_s: float) -> _T:
        parameters = list(request.parameters)
        if request.is_query:
            parameters.append(("timeout", f"{max(1, int(timeout_s * 1000))}ms"))
        own = {name for name, _ in parameters}
        parameters += [(name, text) for name, text in self._options.parameters.items() if name not in own]
        text = urlencode(parameters)
        address = f"{endpoint.address}{request.path}"
        try:
            async with self._open_session().request(
                "POST" if request.is_query else "GET",
                URL(address if request.is_query or not text else f"{address}?{text}", encoded=True),
                data=text.encode() if request.is_query else None,
                headers={**endpoint.headers, **(_FORM if request.is_query else {})},
                allow_redirects=False,  # a redirect would carry the credentials away, and turn a POST into a GET
                auto_decompress=True,
                raise_for_status=False,
                ssl=self._tls,
                timeout=_NO_TIMEOUT,
            ) as response:
                if response.status != 200:  # noqa: PLR2004
                    body = await _start_of(response)
                    raise status_failure(
                        response.status, response.headers, body, endpoint=endpoint, request=request, timeout_s=timeout_s
                    )
                return await self._read(response, reader, endpoint)
        except StatcoreError:
            raise
        except aiohttp.ClientResponseError as error:
            raise connection_failure(error, endpoint) from None  # it shows the headers that were sent
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise connection_failure(error, endpoint) from error

    async def _read(self, response: aiohttp.ClientResponse, reader: Reader[_T], endpoint: Endpoint) -> _T:
        received = 0
        try:
            async for chunk in response.content.iter_any():
                received += len(chunk)
                _check_length(received, self._options.max_answer_bytes)
                for start in range(0, len(chunk), PIECE_BYTES):
                    if start:
                        await asyncio.sleep(0)
                    reader.feed(chunk[start : start + PIECE_BYTES])
            return reader.finish()
        except ProtocolError as error:
            raise ProtocolError(f"{endpoint}: {error}") from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None and not self._is_closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=self._options.max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        if self._session is None or self._is_closed or self._session.closed:
            raise InputError("this client is closed")
        return self._session


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """Return an error's body, or as much of it as anybody reads."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= _ERROR_BYTES:
            break
    return body[:_ERROR_BYTES]


def _check_length(received: int, limit: int) -> None:
    if received > limit:
        raise ProtocolError(
            f"the answer is longer than max_answer_bytes, {limit}; ask for a shorter range, a longer step or fewer series, "
            "or raise max_answer_bytes"
        )


def _pause(error: Exception, *, until: float) -> bool | float:
    """Say whether to ask again after an error, and after how many seconds where the server said so."""
    now = asyncio.get_running_loop().time()
    if not isinstance(error, StatcoreError) or not error.retryable or now >= until:
        return False
    pause_s = error.retry_after_s if isinstance(error, UnavailableError) else None
    return pause_s is None or (pause_s if now + pause_s < until else False)


def _joined(failures: Sequence[StatcoreError], endpoints: Sequence[Endpoint]) -> StatcoreError:
    if len(failures) == 1 or not any(failure.retryable for failure in failures):
        return failures[0]
    pauses_s = [failure.retry_after_s for failure in failures if isinstance(failure, UnavailableError)]
    return UnavailableError(
        f"no endpoint answers: {'; '.join(map(str, failures))}",
        service=", ".join(map(str, endpoints)),
        retry_after_s=min((pause_s for pause_s in pauses_s if pause_s is not None), default=None),
    )
