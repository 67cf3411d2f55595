"""Maps errors of aiohttp, and answers with an HTTP error status, to our most specific errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from statcore.errors import (
    AccessDeniedError,
    InputError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
    UntrustedServerError,
)
from statcore_connection.error_boundary import describe_unforeseen
from statcore_connection.tls import refusal
from statcore_prometheus.requests import Request
from statcore_prometheus.server import Server
from statcore_prometheus.wire import read_error

_SHOWN: Final = 1000
_CLIENT_GONE: Final = 499
"""Status of a proxy or query frontend whose own request was cancelled, for example while Mimir's frontend restarts."""
# Parts of a server's text, and the advice. The first part that is found counts.
_LIMITS: Final = {
    "exceeded maximum resolution": "lower max_points, or use a longer step",
    "too many points": "lower max_points, or use a longer step",
    "too many samples": "query a shorter range, a longer step or fewer series, or raise the server's limit on samples",
    "maxSamplesPerQuery": "query a shorter range or fewer series, or start the server with more -search.maxSamplesPerQuery",
    "timeseries exceed": "query fewer series, or start the server with a larger -search.maxUniqueTimeseries",
    "not enough memory": "query a shorter range, a longer step or fewer series, or give the server more memory",
    "too long query": (
        "start the server with a larger -search.maxQueryLen, or name fewer values in a request: "
        "UtilizationSource(max_values=…)"
    ),
    "err-mimir-max-query-expression-size": (
        "raise the tenant's limit, or name fewer values in a request: UtilizationSource(max_values=…)"
    ),
    "err-mimir-max-": "query a shorter range or fewer series, or raise the tenant's limit",
    "ResourceExhausted": "query a shorter range or fewer series, or raise the limits of the stores",
    "exceeds the limit": "query a shorter range or fewer series, or raise the server's limit",
}
_BUSY: Final = {
    "-search.maxConcurrentRequests": "lower max_connections, or raise the server's -search.maxConcurrentRequests",
    "too many outstanding requests": "lower max_connections, or raise the tenant's limit on outstanding requests",
    "rate limit": "send fewer queries, or raise the tenant's limit on queries",
}
# Answers with the status of a refused query because of a server behind the server. A store is missing, and VictoriaMetrics
# with deny_partial_response, or Thanos without partial_response, does not answer without it; or a server that Prometheus 3
# reads by remote_read ended or hung during its answer.
_STORE_DOWN: Final = re.compile(
    r"vmstorage nodes are unavailable|cannot return full response|"
    r"rpc error: code = (?:Unavailable|Aborted|DeadlineExceeded)|"
    r"context deadline exceeded|(?:unexpected EOF|connection reset by peer)$"
)
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TOO_LARGE: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}


def from_driver(error: Exception, server: Server) -> StatcoreError:  # noqa: PLR0911 - one return for each cause
    """Return our error for any error that a request raised.

    Args:
        error: the caught error. It must not become the cause of our error, since it may hold what was sent.
        server: the server; its secrets are removed from the text.
    """
    service = server.address
    text = _line(server.without_secrets(str(error)))
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return UntrustedServerError(f"{service}: {refusal(error.certificate_error)}", service=service)
        case MemoryError() | RecursionError() | UnicodeDecodeError():
            return ProtocolError(f"{service}: the answer cannot be read: {type(error).__name__}")
        case aiohttp.InvalidURL():  # its text holds the parameters
            return InputError(f"{service} cannot get the request: {error.description or 'its address is not valid'}")
        case ValueError():  # the driver checks parts of an address, and a session's settings, only now
            return InputError(f"{service} cannot get the request: {text}")
        case aiohttp.ClientPayloadError() if isinstance(error.__cause__, ContentEncodingError):
            return ProtocolError(f"{service}: the answer cannot be decompressed")
        case aiohttp.ClientResponseError():
            return ProtocolError(f"{service}: not an answer in HTTP: {_line(server.without_secrets(error.message))}")
        case aiohttp.ServerDisconnectedError():  # its text may hold the headers of the answer
            return UnavailableError(f"{service}: the server closed the connection before its answer", service=service)
        case aiohttp.ClientError() | OSError():
            return UnavailableError(f"{service}: {text or type(error).__name__}", service=service)
        case _:
            return ProtocolError(f"{service}: {describe_unforeseen(error)}")


def from_status(  # noqa: C901, PLR0911 - one return for each cause
    status: int, headers: Mapping[str, str], body: bytes, *, server: Server, request: Request, timeout_s: float
) -> StatcoreError:
    """Return our error for an answer with an HTTP status other than 200.

    Args:
        status: the HTTP status.
        headers: the answer's headers.
        body: the answer's body, or the beginning of it.
        server: the server; its secrets are removed from the text.
        request: the request that was answered.
        timeout_s: the time that the server had, in seconds.
    """
    service = server.address
    content = body.decode(errors="replace")  # the text is only shown
    kind, text = read_error(content.encode()) or ("", _plain(headers, content))
    cause = server.without_secrets(text)  # VictoriaMetrics writes it after the query, which may be long
    text = _line(cause)
    status_text = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    match status:
        case HTTPStatus.NOT_FOUND if "/label/" in request.path and "%2F" in request.path:
            return UnsupportedError(f"{service} has no {request.subject}, or cannot look them up: the label has a slash")
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return AccessDeniedError(f"{service}: {_missing(server, headers, cause)} ({status_text})", service=service)
        case HTTPStatus.UNPROCESSABLE_ENTITY if "timeout exceeded" in cause:  # the wording of VictoriaMetrics
            return TimedOutError(f"{service}: {text}", timeout_s=timeout_s)
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            if _is_store_down(cause):
                return UnavailableError(f"{service}: {text}", service=service)
            message = f"{service}: {text or status_text}{_advice(_LIMITS, cause)}"
            return QueryRejectedError(message, query=request.subject, status=status)
        case _ if status in _TOO_LARGE:
            return QueryRejectedError(
                f"{service}: the request is too large ({status_text}); send a shorter query",
                query=request.subject,
                status=status,
            )
        case HTTPStatus.SERVICE_UNAVAILABLE if kind == "timeout":
            return TimedOutError(f"{service}: {text}", timeout_s=timeout_s)
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            message = f"{service}: {status_text}{_advice(_BUSY, cause)}"
            return UnavailableError(message, service=service, retry_after_s=_retry_after(headers))
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {HTTPStatus.REQUEST_TIMEOUT, _CLIENT_GONE}:
            return UnavailableError(f"{service}: {status_text}", service=service)
        case _ if status in range(300, 400):
            target = server.without_secrets(_target(headers))
            return ProtocolError(f"{service}: a redirect{target}, which is not followed; set the URL to its target")
        case _:
            return ProtocolError(f"{service}: {status_text}; is this the address, with the base path, of a Prometheus API?")


def _is_store_down(text: str) -> bool:
    return not _advice(_LIMITS, text) and _STORE_DOWN.search(text) is not None


def _advice(advices: Mapping[str, str], text: str) -> str:
    """Return what to do about a server's text, as the end of a sentence; empty for an unknown text."""
    return next((f"; {advice}" for part, advice in advices.items() if part in text), "")


def _plain(headers: Mapping[str, str], content: str) -> str:
    """Return the text of an error that is not JSON; a web page is not quoted."""
    if "html" in headers.get("Content-Type", "").lower():
        return "a web page"
    return content


def _line(text: str) -> str:
    """Return a server's text as one short line, for terminals and logs: both ends of a long text."""
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _missing(server: Server, headers: Mapping[str, str], text: str) -> str:
    if "no org id" in text:  # the wording of Mimir and Cortex
        return "the name of a tenant is missing; query through client.for_tenant(name), or set X-Scope-OrgID in headers"
    if server.credential_name is not None:
        return f"{server.credential_name} is refused"
    match headers.get("WWW-Authenticate", "").split(" ")[0].lower():
        case "basic":
            return "a password is missing; set username and password"
        case "bearer":
            return "a token is missing; set bearer_token"
        case _:
            return "a credential is missing; set username and password, bearer_token, or the headers it expects"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the time of a Retry-After header, a number or a date; None without a valid header."""
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except Exception:  # noqa: BLE001 - the parser raises several types of errors for a bad date
        return None


def _target(headers: Mapping[str, str]) -> str:
    """Return where a redirect leads, without credentials and query, as a part of a sentence."""
    try:
        target = urlsplit(headers.get("Location", ""))
        port = target.port
    except ValueError:
        return ""
    if not target.hostname:
        return f" to {_line(target.path)}" if target.path else ""
    place = f"{target.hostname}{'' if port is None else f':{port}'}{target.path}"
    return f" to {target.scheme or 'http'}://{_line(place)}"
