"""Maps errors of redis-py to our most specific errors.

The text of a server may quote a command, and with AUTH the password. Only texts with a known wording are shown.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from redis._parsers import BaseParser
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own, which is not an OSError
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's own as well
    TryAgainError,
)

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    InputError,
    ProtocolError,
    StatcoreError,
    UnavailableError,
    UnsupportedError,
    UntrustedServerError,
)
from statcore_connection.tls import refusal
from statcore_valkey.slot_map import Address

_DENIED = (AuthenticationError, AuthorizationError, NoPermissionError)
_NOT_NOW = (BusyLoadingError, ReadOnlyError, OutOfMemoryError, ClusterDownError, TryAgainError)
_UNREACHABLE = (ConnectionError, TimeoutError, OSError)
_CLUSTER_URL = "expected a URL with the addresses of its nodes, such as valkey+cluster://a:6379,b:6379"
_NOT_NOW_TEXT: Final = "cannot answer now"
_NOT_NOW_PREFIXES = ("BUSY ", "MISCONF ", "NOREPLICAS ")  # the driver has no classes for them


class WrongTypeError(ProtocolError):
    """A key holds another type than a string."""

    def __init__(self, message: str) -> None:
        """Say which key, and what it holds."""
        super().__init__(message)


class OversizedValueError(ProtocolError):
    """A key holds more bytes than an entry may have."""

    def __init__(self, key: str, *, length: int, max_entry_bytes: int) -> None:
        """Say which key, and how long its value is."""
        super().__init__(f"key {key!r} holds {length} bytes, more than max_entry_bytes = {max_entry_bytes}")


class LongReplyError(UnavailableError):
    """A value in a reply is longer than values may be; the connection is closed before the value has arrived."""


class RedirectError(UnsupportedError):
    """Another server of the cluster has the key."""

    def __init__(self, message: str, *, address: Address, is_ask: bool) -> None:
        """Name the server; `is_ask` says that it has this key already, but does not own the slot yet."""
        super().__init__(message)
        self.address = address
        self.is_ask = is_ask


_KNOWN: Final = (
    "invalid username-password pair( or user is disabled)?",
    "Authentication required",
    "AUTH <password> called without any password configured for the default user",
    "has no permissions to run the '[a-z|]{1,32}' command",
    "[Nn]o permissions to access (a key|one of the keys used as arguments)",
    "unknown command ['`](AUTH|HELLO|SELECT|PING|MGET|PTTL|EXISTS|TYPE|STRLEN|SET|DEL)['`]",
    "max number of clients reached",
    "Too many connections",
    "DB index is out of range",
    "SELECT is not allowed in cluster mode",
    "cluster support disabled",
    "No such master with that name",
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
    "the sentinels name another master",
    "the server and the sentinels name different roles of the server",
    "Invalid Database",
    "Invalid Username or Password",
    "Protocol [Ee]rror",
    r"\b(BUSY|EXECABORT|MISCONF|NOPROTO|NOREPLICAS|WRONGTYPE)\b",
)
"""Texts of servers, of the driver and of this adapter that never quote a command."""
_WORDINGS: Final = re.compile("|".join(_KNOWN))


def from_driver(error: Exception, /, *, service: str, user: str) -> StatcoreError:
    """Return our error for any error that an exchange with a server raised.

    Args:
        error: the caught error. It becomes the cause of our error if a traceback may show it.
        service: the server's address, without credentials.
        user: the name of the ACL user; a message shows no other part of the credentials.
    """
    failure = _failure(error, service=service, user=user)
    failure.__cause__ = error if _is_safe_to_show(error) else None
    return failure


def error_from_reply(text: str, /, *, service: str, user: str) -> StatcoreError:
    """Return our error for the text of an error that a server answered, for nodes that another driver reaches.

    Args:
        text: the text as the server wrote it, with the word in capitals, such as `NOPERM No permissions to access a key`.
        service: the server's address, without credentials.
        user: the name of the ACL user; a message shows no other part of the credentials.
    """
    parse = cast("Callable[[str], Exception]", cast("Any", BaseParser).parse_error)  # it has no types
    try:
        error = parse(text)
    except Exception as unreadable:  # noqa: BLE001 - the driver cannot read a redirect without a slot or an address
        error = unreadable
    return from_driver(error, service=service, user=user)


def _failure(error: Exception, *, service: str, user: str) -> StatcoreError:  # noqa: C901, PLR0911, PLR0912 - a branch for each kind
    text = describe(error)
    if isinstance(error, _DENIED):
        return AccessDeniedError(f"{service} refused the user {user}: {text}", service=service)
    if certificate := next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLCertVerificationError)), None):
        return UntrustedServerError(f"{service} cannot be reached: {refusal(certificate)}", service=service)
    if isinstance(error, MaxConnectionsError):
        return UnavailableError(f"the client handed in for {service} has no free connection: {text}", service=service)
    if isinstance(error, AskError):
        address, is_ask = Address(*cast("tuple[str, int]", cast("Any", error).node_addr)), not isinstance(error, MovedError)
        if not address.port:  # otherwise the path of a socket of this machine
            return UnavailableError(f"{service} {_NOT_NOW_TEXT}: it redirects to a server without a port", service=service)
        return RedirectError(f"{service} is part of a cluster; {_CLUSTER_URL}", address=address, is_ask=is_ask)
    if isinstance(error, ClusterCrossSlotError) or "cluster mode" in text:
        return UnsupportedError(f"{service} is part of a cluster; {_CLUSTER_URL}: {text}")
    if "cluster support disabled" in text:
        return UnsupportedError(f"{service} is not part of a cluster; expected a URL such as valkey://host:6379")
    if text == "unknown command 'SELECT'":
        return UnsupportedError(
            f"{service} has no databases, as a sentinel; expected valkey+sentinel://host:26379/name for sentinels"
        )
    if "No such master" in text:
        return InputError(f"{service} does not know the master of the URL; expected valkey+sentinel://host:26379/name")
    if str(error).startswith("WRONGTYPE "):
        return WrongTypeError(f"{service} answered something unexpected: {text}")
    if isinstance(error, _NOT_NOW) or str(error).startswith(_NOT_NOW_PREFIXES):
        return UnavailableError(f"{service} {_NOT_NOW_TEXT}: {text}", service=service)
    if isinstance(error, _UNREACHABLE):
        return UnavailableError(f"{service} cannot be reached: {text}", service=service)
    if isinstance(error, RuntimeError) and "loop" in str(error):
        return ClosedError(f"the client of {service} belongs to another event loop, or its loop is closed")
    return ProtocolError(f"{service} answered something unexpected: {text}")


def is_refused_for_now(outcome: object, /) -> bool:
    """Return whether the server has answered that it cannot run the command now, unlike a server without an answer."""
    return isinstance(outcome, UnavailableError) and f" {_NOT_NOW_TEXT}: " in str(outcome)


def is_failure(outcome: object, /) -> bool:
    """Return whether the outcome for a key says nothing about the key, unlike another type or a length that was found."""
    return isinstance(outcome, StatcoreError) and not isinstance(outcome, WrongTypeError | OversizedValueError)


def describe(error: Exception) -> str:
    """Return text that is safe to show: a known text, the text of an error of this machine, or the type of the error."""
    if isinstance(error, RedisError) and (known := _WORDINGS.search(str(error))):
        return known.group()
    if (local := _local_cause(error)) is not None and str(local):
        return str(local)
    kind = type(error).__name__
    return f"{kind}, whose text is not shown, since it may repeat a command" if str(error) else kind


def _is_safe_to_show(error: Exception) -> bool:
    """Return whether a traceback may show an error: its whole text is known, or it comes from this machine."""
    known = _WORDINGS.search(str(error))
    is_known = known is not None and known.group() == str(error).strip(".")
    return is_known or _local_cause(error) is not None


def _local_cause(error: Exception) -> BaseException | None:
    """Return the error of this machine that caused a driver's error; None for an error that a server answered."""
    if type(error) not in (ConnectionError, TimeoutError) and not isinstance(error, OSError):
        return None
    return next((cause for cause in _chain(error) if isinstance(cause, StatcoreError | OSError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
