"""From what redis-py raises to our most specific error."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's, which is no OSError
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004 - likewise
    TryAgainError,
)

from statcore.errors import (
    AccessDeniedError,
    ProtocolError,
    StatcoreError,
    UnavailableError,
    UnsupportedError,
)

_DENIED = (AuthenticationError, AuthorizationError, NoPermissionError)
_ELSEWHERE = (MovedError, AskError, ClusterCrossSlotError)
_NOT_NOW = (ReadOnlyError, OutOfMemoryError, ClusterDownError, TryAgainError)
_UNREACHABLE = (ConnectionError, TimeoutError, OSError)
_SAYS_NOT_NOW = ("BUSY ", "MISCONF ", "NOREPLICAS ")  # the driver has no classes for them
_ECHO = ", with args beginning with"


def from_driver(error: Exception, /, *, service: str, user: str) -> StatcoreError:
    """Return our error for one that redis-py raised, to be raised `from` it.

    Args:
        error: as caught.
        service: the server's address, without credentials.
        user: the name of the ACL user; the only part of the credentials that a message shows.
    """
    said = str(error).partition(_ECHO)[0]
    if isinstance(error, _DENIED):
        return AccessDeniedError(f"{service} refused the user {user!r}: {said}", service=service)
    if isinstance(error, MaxConnectionsError):
        return UnavailableError(f"the client handed in for {service} has no free connection: {said}", service=service)
    if isinstance(error, _ELSEWHERE) or "cluster mode" in said:
        return UnsupportedError(f"{service} is part of a cluster, which is not supported: {said}")
    if isinstance(error, _NOT_NOW) or said.startswith(_SAYS_NOT_NOW):
        return UnavailableError(f"{service} cannot answer now: {said}", service=service)
    if isinstance(error, _UNREACHABLE):
        return UnavailableError(f"{service} cannot be reached: {said}", service=service)
    return ProtocolError(f"{service} answered something unexpected: {said}")


def is_worth_retrying(failure: StatcoreError, driver_error: Exception, /) -> bool:
    """Return whether the same call, made again in a moment, may succeed: not with a certificate that is not trusted."""
    return failure.retryable and not isinstance(driver_error.__context__, ssl.SSLCertVerificationError)


def echoes_command(error: Exception, /) -> bool:
    """Return whether a server repeats in its error what it was sent: with AUTH, that is the password."""
    return _ECHO in str(error)
