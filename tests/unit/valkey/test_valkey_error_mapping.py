"""Errors of the driver become our most specific ones."""

from __future__ import annotations

import ssl
import traceback

import pytest
from redis import exceptions as driver

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    ProtocolError,
    StatcoreError,
    UnavailableError,
    UnsupportedError,
    UntrustedServerError,
)
from statcore_valkey.error_mapping import RedirectError, from_driver


@pytest.mark.parametrize(
    ("raised", "expected", "shown"),
    [
        (driver.AuthenticationError("invalid username-password pair"), AccessDeniedError, "invalid username-password pair"),
        (driver.AuthorizationError("not authorized"), AccessDeniedError, "AuthorizationError"),
        (
            driver.NoPermissionError("User reader has no permissions to run the 'mget' command"),
            AccessDeniedError,
            "has no permissions to run the 'mget' command",
        ),
        (driver.MaxConnectionsError("Too many connections"), UnavailableError, "Too many connections"),
        (driver.ConnectionError("Error 111 connecting to store:6379"), UnavailableError, "ConnectionError"),
        (
            driver.BusyLoadingError("Valkey is loading the dataset in memory"),
            UnavailableError,
            "cannot answer now: Valkey is loading",
        ),
        (driver.TimeoutError("Timeout reading from store:6379"), UnavailableError, "TimeoutError"),
        (ConnectionResetError(104, "reset by peer"), UnavailableError, "reset by peer"),
        (driver.ReadOnlyError("You can't write against a read only replica."), UnavailableError, "read only replica"),
        (driver.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), UnavailableError, "memory"),
        (driver.MasterDownError("Link with MASTER is down"), UnavailableError, "Link with MASTER is down"),
        (driver.ClusterDownError("The cluster is down"), UnavailableError, "The cluster is down"),
        (driver.TryAgainError("try again"), UnavailableError, "TryAgainError"),
        (driver.ResponseError("NOREPLICAS Not enough good replicas to write."), UnavailableError, "NOREPLICAS"),
        (driver.ResponseError("MISCONF errors writing to the disk"), UnavailableError, "MISCONF"),
        (driver.ResponseError("BUSY running a script"), UnavailableError, "BUSY"),
        (driver.MovedError("3999 127.0.0.1:6381"), RedirectError, "part of a cluster"),
        (driver.AskError("3999 127.0.0.1:6381"), RedirectError, "part of a cluster"),
        (driver.AskError("3999 /run/other.sock:0"), UnavailableError, "without a port"),
        (driver.ClusterCrossSlotError("Keys don't hash to the same slot"), UnsupportedError, "part of a cluster"),
        (driver.ResponseError("SELECT is not allowed in cluster mode"), UnsupportedError, "not allowed in cluster mode"),
        (
            driver.ResponseError("unknown command 'SELECT', with args beginning with: '2' "),
            UnsupportedError,
            "as a sentinel",
        ),
        (driver.ResponseError("DB index is out of range"), ProtocolError, "DB index is out of range"),
        (driver.InvalidResponse("Protocol Error"), ProtocolError, "Protocol Error"),
        (RuntimeError("Task got Future attached to a different loop"), ClosedError, "belongs to another event loop"),
        *((kind(), ProtocolError, kind.__name__) for kind in (MemoryError, RecursionError, RuntimeError, KeyError)),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), ProtocolError, "UnicodeDecodeError"),
    ],
)
def test_it_becomes_ours(raised: Exception, expected: type[StatcoreError], shown: str) -> None:
    """The error names the service and holds known text only; for refused credentials it names the user."""
    error = from_driver(raised, service="Valkey at store:6379", user="'reader'")
    assert expected is type(error)
    assert "Valkey at store:6379" in str(error)
    assert shown in str(error)
    assert (expected is AccessDeniedError) == ("'reader'" in str(error))
    assert (expected is UnavailableError) == error.retryable
    assert "Valkey at store:6379" == getattr(error, "service", "Valkey at store:6379")


KINDS = [
    kind
    for kind in vars(driver).values()
    if isinstance(kind, type) and issubclass(kind, driver.RedisError) and kind not in (driver.MovedError, driver.AskError)
]


@pytest.mark.parametrize(
    "text",
    [
        "unknown command 'AUTH', with args beginning with: 'reader' 'hunter2' ",
        "invalid command: AUTH reader hunter2",
        "hunter2",
        "BUSY hunter2",
        "Connection closed by server. hunter2",
        "'hunter2' has no permissions to run the 'mget' command",
    ],
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_word_of_a_repeated_command_is_shown(kind: type[Exception], text: str) -> None:
    """No wording and no type of error shows it, neither in the message nor in the traceback."""
    raised = kind(text)
    raised.__context__ = ConnectionResetError(104, "reset by peer")
    raised.__suppress_context__ = True
    ours = from_driver(raised, service="Valkey at store:6379", user="'reader'")
    assert "hunter2" not in "".join(traceback.format_exception(ours))


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    """Another attempt would meet the same certificate."""
    raised = driver.ConnectionError("certificate verify failed")
    raised.__context__ = ssl.SSLCertVerificationError("certificate verify failed")
    error = from_driver(raised, service="", user="")
    assert (UntrustedServerError, False) == (type(error), error.retryable)
