"""Requests to the servers: one pooled session, one deadline per call, retries, and the other member of an HA pair."""

from __future__ import annotations

import asyncio
import copy
import math
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from ssl import SSLContext
from typing import Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import attrs
from yarl import URL

from statcore.concurrency import Deadline, give_way, retry, retry_after_s
from statcore.errors import (
    InputError,
    PartialAnswerError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model.results import AnswerNotes
from statcore_connection.files import FileValue
from statcore_connection.tls import certificate_expiry_s, tls_context
from statcore_connection.tracing import trace_headers
from statcore_prometheus.answer_cutter import PIECE_BYTES
from statcore_prometheus.error_mapping import from_driver, from_status
from statcore_prometheus.http_sessions import HttpSessions, SessionFactory
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import Request
from statcore_prometheus.server import Server
from statcore_prometheus.wire import Listing, Reader

_T = TypeVar("_T")
_Answer = TypeVar("_Answer", bound=AnswerNotes)

# Errors about the request: any other server would raise them as well.
_FINAL: Final = (InputError, QueryRejectedError, UnsupportedError)
_ERROR_BYTES: Final = 64 * 1024
_HTTPS_PORT: Final = 443
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # the call has a deadline
# The statuses with which a proxy refuses a POST if it allows only GET. A server that refuses the credentials refuses the
# GET as well.
_POST_REFUSED: Final = {HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class _PostRefusedError(Exception):
    """A POST was refused with a status after which a GET is worth an attempt."""

    def __init__(self, status: int) -> None:
        """Keep the status."""
        self.status = status


@attrs.define(kw_only=True)
class _ServerStates:
    """What requests found out about the servers, by position; the views of a client share it."""

    last_answered: int = 0
    """The server that answered last."""
    failback_at: float = 0.0
    """When the first server is tried first again, by the clock of the options."""
    get_only: set[int] = attrs.field(factory=set[int])
    """The servers behind a proxy that allows nobody a POST."""


@attrs.define
class _Failures:
    """What went wrong in the attempts of one call, by the position of the server."""

    max_attempts: int
    """How often a server is tried at most."""
    newest: dict[int, StatcoreError] = attrs.field(factory=dict[int, StatcoreError], init=False)
    """The newest error of each server that failed."""
    attempts: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    """How often each server has failed."""
    pauses: dict[int, float] = attrs.field(factory=dict[int, float], init=False)
    """For each server that asked for a pause, the seconds that remain of the deadline when the pause is over."""

    def add(self, position: int, error: StatcoreError, remaining_s: float) -> None:
        """Keep a server's error, with `remaining_s` of the deadline."""
        self.newest[position] = error
        self.attempts[position] = self.attempts.get(position, 0) + 1
        self.pauses.pop(position, None)
        if (pause_s := retry_after_s(error)) is not None:
            self.pauses[position] = remaining_s - pause_s

    def retryable(self) -> list[int]:
        """Return the servers of which another attempt may succeed, in this call or a later one."""
        return [position for position, error in self.newest.items() if _is_retryable(error)]

    def left(self) -> list[int]:
        """Return the servers of which another attempt of this call may succeed."""
        return [position for position in self.retryable() if self.attempts[position] < self.max_attempts]

    def without_paused(self, positions: Sequence[int], remaining_s: float) -> list[int]:
        """Return the servers that may be tried with `remaining_s` of the deadline; if none may, the one that soon may."""
        left = [position for position in positions if self.attempts.get(position, 0) < self.max_attempts]
        free = [position for position in left if remaining_s <= self.pauses.get(position, math.inf)]
        return free or [max(left, key=lambda position: self.pauses[position])]

    def pause_s(self, positions: Sequence[int], remaining_s: float) -> float | None:
        """Return how long all of these servers are to be left alone; None if one of them did not ask for a pause."""
        if any(position not in self.pauses for position in positions):
            return None
        return max(0.0, remaining_s - max(self.pauses[position] for position in positions))


class Transport:
    """Sends requests and reads their answers."""

    def __init__(
        self,
        servers: Sequence[Server],
        options: PrometheusOptions,
        session: aiohttp.ClientSession | SessionFactory | None,
    ) -> None:
        """Keep the arguments; nothing is opened before the first request."""
        self._servers = tuple(servers)
        self._options = options
        self._parameters = {**options.parameters, **options.engine_parameters}
        self._tls = _tls_of(options)
        self._service = " or ".join(map(str, servers))
        self._http_sessions = HttpSessions(session, service=self._service, max_connections=options.max_connections)
        self._states = _ServerStates()
        self._forbidding: set[int] = set()
        """The servers behind a proxy that forbids the POST; it may allow that of another tenant."""

    def view(self, change: Callable[[Server], Server]) -> Self:
        """Return a transport that sends to the changed servers over the same connections.

        Closing this transport ends the view; closing the view ends the view alone.
        """
        view = copy.copy(self)
        view._servers = tuple(map(change, self._servers))  # noqa: SLF001 - it is of this class
        view._service = " or ".join(map(str, view._servers))  # noqa: SLF001
        view._http_sessions = self._http_sessions.view()  # noqa: SLF001
        view._forbidding = set(self._forbidding)  # noqa: SLF001
        return view

    def each(self) -> list[Self]:
        """Return a transport for each server, which sends to this server alone over the same connections."""
        return [self._to(server) for server in self._servers]

    def _to(self, server: Server) -> Self:
        view = self.view(lambda unchanged: unchanged)
        view._servers, view._service = (server,), str(server)  # noqa: SLF001 - it is of this class
        view._states, view._forbidding = _ServerStates(), set()  # noqa: SLF001 - by position, which is another
        return view

    @property
    def service(self) -> str:
        """The addresses of the servers, without credentials."""
        return self._service

    async def certificate_expires_s(self) -> float | None:
        """Return when the certificate of the first server expires, in unix seconds; None without TLS or if not known."""
        parts = urlsplit(self._servers[0].address)
        if parts.scheme != "https" or parts.hostname is None:
            return None
        context = ssl.create_default_context() if self._tls is None else self._tls.current()
        try:
            async with self.deadline():
                return await certificate_expiry_s(parts.hostname, parts.port or _HTTPS_PORT, context)
        except (OSError, TimedOutError):
            return None

    def deadline(self) -> Deadline:
        """Return the deadline of one call, for all its requests."""
        return Deadline(self._options.timeout_s, waiting_for=f"a complete answer from {self._service}")

    async def fetch(self, request: Request, new_reader: Callable[[], Reader[_Answer]], *, deadline: Deadline) -> _Answer:
        """Send a request and return the answer as a reader decodes it; retry where another attempt may succeed.

        Args:
            request: what to send.
            new_reader: makes a reader for each attempt.
            deadline: the deadline of the call, entered.

        Raises:
            ClosedError: the client or its session is closed, or belongs to another event loop.
            InputError: the request cannot be sent.
            QueryRejectedError: the server refuses the query.
            UnsupportedError: the server or the adapter does not support the request.
            UnavailableError: no server can be reached, or can answer now.
            AccessDeniedError: no server accepts the credential.
            TimedOutError: a server gave up, or did not answer in its share of the time.
            ProtocolError: an answer is not one of the Prometheus HTTP API.
            PartialAnswerError: no server gives a complete list or, in strict mode, a complete answer.
        """
        failures = _Failures(self._options.attempts)
        return await retry(
            lambda: self._attempt(request, new_reader, deadline, failures),
            deadline=deadline,
            is_retryable=lambda error: _is_retryable(error) and bool(failures.left()),
            first_pause_s=_FIRST_PAUSE_S,
            longest_pause_s=_LONGEST_PAUSE_S,
            requested_pause_s=lambda _: failures.pause_s(failures.left(), deadline.remaining_s()),
        )

    async def aclose(self) -> None:
        """Close the client's own session; closing twice is allowed.

        Raises:
            ClosedError: the client belongs to another event loop, which is not closed.
        """
        await self._http_sessions.aclose()

    async def _attempt(
        self, request: Request, new_reader: Callable[[], Reader[_Answer]], deadline: Deadline, failures: _Failures
    ) -> _Answer:
        """Try the server that answered last, then the others; each has an equal share of the remaining time.

        A server that asked for a pause is left out until the pause is over, and one whose attempts are used up for good.
        """
        count = len(self._servers)
        first = self._first_position()
        order = [(first + number) % count for number in range(count)]
        order = failures.without_paused(order, deadline.remaining_s())
        for number, position in enumerate(order, start=1):
            timeout_s = deadline.remaining_s() / (len(order) + 1 - number)
            server = self._servers[position]
            late = TimedOutError(f"{server}: no answer within {timeout_s:.3g} s", timeout_s=timeout_s)
            try:
                if number == len(order):  # the last server has all of the remaining time
                    answer = await self._try_server(position, request, new_reader, timeout_s)
                else:
                    async with asyncio.timeout(timeout_s):
                        answer = await self._try_server(position, request, new_reader, timeout_s)
                self._check_complete(answer, request)
            except TimeoutError:
                failures.add(position, late, deadline.remaining_s())
            except asyncio.CancelledError:
                others = [failure for other, failure in failures.newest.items() if other != position]
                if deadline.is_over and not all(isinstance(failure, TimedOutError) for failure in others):
                    failures.add(position, late, 0.0)
                    deadline.failure = _combined(failures, self._servers, remaining_s=0.0)  # says more than "too late"
                raise
            except StatcoreError as error:
                if isinstance(error, _FINAL):
                    raise
                failures.add(position, error, deadline.remaining_s())
            else:
                self._note_answer(position)
                return answer
        raise _combined(failures, self._servers, remaining_s=deadline.remaining_s())

    def _first_position(self) -> int:
        """Return the position of the server that answered last; once per `failback_s`, the position of the first server."""
        if self._states.last_answered and self._options.clock() >= self._states.failback_at:
            self._postpone_failback()  # if the first server still hangs, only one call waits for it
            return 0
        return self._states.last_answered

    def _note_answer(self, position: int) -> None:
        if position and position != self._states.last_answered:
            self._postpone_failback()
        self._states.last_answered = position

    def _postpone_failback(self) -> None:
        self._states.failback_at = self._options.clock() + self._options.failback_s

    def _check_complete(self, answer: AnswerNotes, request: Request) -> None:
        # A list has no place for notes: without an error, what it lacks would seem not to exist.
        must_be_whole = self._options.strict or isinstance(answer, Listing)
        if (must_be_whole and answer.partial) or (self._options.strict and answer.warnings):
            reasons = "; ".join(answer.warnings) or "the server says that the answer is partial"
            raise PartialAnswerError(f"{request.subject}: {reasons}", warnings=answer.warnings)

    async def _try_server(
        self, position: int, request: Request, new_reader: Callable[[], Reader[_T]], timeout_s: float
    ) -> _T:
        """Send a request to one server, as a GET where a proxy refuses the POST."""
        if not request.by_form or position in self._states.get_only or position in self._forbidding:
            return await self._send("GET", position, request, new_reader(), timeout_s)
        try:
            return await self._send("POST", position, request, new_reader(), timeout_s)
        except _PostRefusedError as error:
            refusing = self._forbidding if error.status == HTTPStatus.FORBIDDEN else self._states.get_only
        answer = await self._send("GET", position, request, new_reader(), timeout_s)
        refusing.add(position)
        return answer

    async def _send(
        self, method: Literal["GET", "POST"], position: int, request: Request, reader: Reader[_T], timeout_s: float
    ) -> _T:
        """Send one request and read its answer; map the driver's errors."""
        server = self._servers[position]
        session = self._http_sessions.current()
        try:
            return await self._exchange(session, method, server, request, reader, timeout_s)
        except (StatcoreError, _PostRefusedError):
            raise
        except asyncio.CancelledError:
            # Closing a session cancels the requests that wait for a connection, although nobody cancelled this task.
            task = asyncio.current_task()
            if session.closed and task is not None and not task.cancelling():
                raise self._http_sessions.failure_of_closed(server.address) from None
            raise
        except Exception as error:  # noqa: BLE001 - no closed list of what a driver raises would be complete
            if session.closed:
                raise self._http_sessions.failure_of_closed(server.address) from None
            # Not `from error`: the text and the attributes of the driver's errors may hold what was sent.
            raise from_driver(error, server) from None

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: Literal["GET", "POST"],
        server: Server,
        request: Request,
        reader: Reader[_T],
        timeout_s: float,
    ) -> _T:
        address, form = self._address_and_form(method, server, request, timeout_s)
        async with session.request(
            method,
            URL(address, encoded=True),
            data=form,
            headers={**trace_headers(), **server.request_headers(), **(_FORM if form is not None else {})},
            allow_redirects=False,  # a redirect would carry the credentials away, and turn a POST into a GET
            auto_decompress=True,
            raise_for_status=False,
            ssl=True if self._tls is None else self._tls.current(),
            timeout=_NO_TIMEOUT,
        ) as response:
            if response.status == HTTPStatus.OK:
                return await self._read(response, reader, server)
            if method == "POST" and response.status in _POST_REFUSED:
                raise _PostRefusedError(response.status)
            body = await _start_of(response)
            raise from_status(response.status, response.headers, body, server=server, request=request, timeout_s=timeout_s)

    def _address_and_form(
        self, method: str, server: Server, request: Request, timeout_s: float
    ) -> tuple[str, bytes | None]:
        parameters = list(request.parameters)
        if request.by_form:
            parameters.append(("timeout", f"{max(1, int(timeout_s * 1000))}ms"))
        if self._parameters:
            own = {name for name, _ in parameters}
            parameters += [(name, text) for name, text in self._parameters.items() if name not in own]
        text = URL.build(query=parameters).raw_query_string  # urllib quotes in Python, yarl in C
        address = f"{server.address}{request.path}"
        if method == "POST":
            return address, text.encode()
        return (f"{address}?{text}" if text else address), None

    async def _read(self, response: aiohttp.ClientResponse, reader: Reader[_T], server: Server) -> _T:
        received = 0
        try:
            async for chunk in response.content.iter_any():
                received += len(chunk)
                _check_length(received, self._options.max_answer_bytes)
                for start in range(0, len(chunk), PIECE_BYTES):
                    if start:
                        await give_way()
                    reader.feed(chunk[start : start + PIECE_BYTES])
            return reader.finish()
        except ProtocolError as error:
            raise ProtocolError(server.without_secrets(f"{server}: {error}")) from None


def _tls_of(options: PrometheusOptions) -> FileValue[SSLContext] | None:
    """Return the context of the options, or None for the driver's own, which trusts the system's certificates."""
    ca_file, cert_file = options.tls_ca_file, options.tls_cert_file
    if options.tls_verify and ca_file is None and cert_file is None:
        return None
    return tls_context(ca_file=ca_file, cert_file=cert_file, key_file=options.tls_key_file, verify=options.tls_verify)


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the first `_ERROR_BYTES` of an answer with an error status."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= _ERROR_BYTES:
            break
    return body[:_ERROR_BYTES]


def _check_length(received: int, limit: int) -> None:
    if received > limit:
        raise ProtocolError(
            f"the answer is longer than max_answer_bytes, {limit}; query a shorter range, a longer step or fewer series, "
            "or raise max_answer_bytes"
        )


def _is_retryable(error: StatcoreError) -> bool:
    """Return whether another attempt may succeed; a partial answer stays partial for longer than a retry takes."""
    return error.retryable and not isinstance(error, PartialAnswerError)


def _combined(failures: _Failures, servers: Sequence[Server], *, remaining_s: float) -> StatcoreError:
    """Return one error for the errors of all servers: that of a partial answer, or one that names each server."""
    errors = list(failures.newest.values())
    partial_answers = [error for error in errors if isinstance(error, PartialAnswerError)]
    if partial_answers:
        return partial_answers[0]
    if len(errors) == 1 or not any(error.retryable for error in errors):
        return errors[0]
    return UnavailableError(
        f"no server answers: {'; '.join(map(str, errors))}",
        service=", ".join(map(str, servers)),
        retry_after_s=failures.pause_s(failures.retryable(), remaining_s),
    )
