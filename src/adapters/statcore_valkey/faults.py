"""From what redis-py raises to our most specific error, without a word that a server may have repeated."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Final

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
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's, too
    TryAgainError,
)

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
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

_KNOWN: Final = (
    "invalid username-password pair( or user is disabled)?",
    "Authentication required",
    "AUTH <password> called without any password configured for the default user",
    "has no permissions to run the '[a-z|]{1,32}' command",
    "[Nn]o permissions to access (a key|one of the keys used as arguments)",
    "unknown command ['`](AUTH|HELLO|SELECT|PING|MGET|PTTL|EXISTS|TYPE|SET|DEL)['`]",
    "max number of clients reached",
    "Too many connections",
    "DB index is out of range",
    "SELECT is not allowed in cluster mode",
    "(Redis|Valkey|KeyDB|Dragonfly) is loading the dataset in memory",
    "You can't write against a read only (replica|slave)",
    "command not allowed when used memory > 'maxmemory'",
    "Link with MASTER is down",
    "The cluster is down",
    "Hash slot not served",
    "Multiple keys request during rehashing of slot",
    "Operation against a key holding the wrong kind of value",
    "Connection closed by server",
    "Timeout connecting to server",
    "Invalid Database",
    "Invalid Username or Password",
    "Protocol [Ee]rror",
    r"\b(BUSY|EXECABORT|MISCONF|NOPROTO|NOREPLICAS|WRONGTYPE)\b",
)
"""What servers and the driver say that holds nothing of a command. Any other text of theirs may repeat one, with AUTH the
password, and is not shown."""
_WORDINGS: Final = re.compile("|".join(_KNOWN))


def from_driver(error: Exception, /, *, service: str, user: str) -> StatcoreError:  # noqa: PLR0911 - a line for each kind
    """Return our error for whatever was raised while a server was talked to, to be raised `from` what `cause_of` returns.

    Args:
        error: as caught.
        service: the server's address, without credentials.
        user: the name of the ACL user; the only part of the credentials that a message shows.
    """
    said = describe_driver(error)
    if isinstance(error, _DENIED):
        return AccessDeniedError(f"{service} refused the user {user}: {said}", service=service)
    if isinstance(error, MaxConnectionsError):
        return UnavailableError(f"the client handed in for {service} has no free connection: {said}", service=service)
    if isinstance(error, _ELSEWHERE) or "cluster mode" in said:
        return UnsupportedError(f"{service} is part of a cluster, which is not supported: {said}")
    if isinstance(error, _NOT_NOW) or str(error).startswith(_SAYS_NOT_NOW):
        return UnavailableError(f"{service} cannot answer now: {said}", service=service)
    if isinstance(error, _UNREACHABLE):
        return UnavailableError(f"{service} cannot be reached: {said}", service=service)
    if isinstance(error, RuntimeError) and "loop" in str(error):
        return ClosedError(f"the client of {service} belongs to another event loop, or its loop is closed")
    return ProtocolError(f"{service} answered something unexpected: {said}")


def is_worth_retrying(failure: StatcoreError, driver_error: Exception, /) -> bool:
    """Return whether the same call, made again in a moment, may succeed: not with a certificate that is not trusted."""
    return failure.retryable and not any(isinstance(error, ssl.SSLCertVerificationError) for error in _chain(driver_error))


def describe_driver(error: Exception) -> str:
    """Return what is known to hold no part of a command: a known wording, what this machine says, or the kind of error."""
    if isinstance(error, RedisError) and (known := _WORDINGS.search(str(error))):
        return known.group()
    if (local := _local_cause(error)) is not None and str(local):
        return str(local)
    kind = type(error).__name__
    return f"{kind}, in words that are not shown, since they may repeat a command" if str(error) else kind


def cause_of(error: Exception) -> Exception | None:
    """Return a driver's error if a traceback may show it: if its text is known as a whole, or comes from this machine."""
    known = _WORDINGS.search(str(error))
    is_known = known is not None and known.group() == str(error).strip(".")
    return error if is_known or _local_cause(error) is not None else None


def _local_cause(error: Exception) -> BaseException | None:
    """Return the error of this machine that a driver's error stands for; an error answered by a server stands for none."""
    if type(error) not in (ConnectionError, TimeoutError) and not isinstance(error, OSError):
        return None
    return next((cause for cause in _chain(error) if isinstance(cause, StatcoreError | OSError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
