"""Each error of the driver becomes our most specific one."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions as driver

from statcore.errors import AccessDeniedError, ProtocolError, StatcoreError, UnavailableError, UnsupportedError
from statcore_valkey.faults import from_driver, is_worth_retrying


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (driver.AuthenticationError("invalid username-password pair"), AccessDeniedError),
        (driver.AuthorizationError("not authorized"), AccessDeniedError),
        (driver.NoPermissionError("no permissions to run the 'mget' command"), AccessDeniedError),
        (driver.MaxConnectionsError("Too many connections"), UnavailableError),
        (driver.ConnectionError("Error 111 connecting to store:6379"), UnavailableError),
        (driver.BusyLoadingError("loading the dataset in memory"), UnavailableError),
        (driver.TimeoutError("Timeout reading from store:6379"), UnavailableError),
        (ConnectionResetError(104, "reset by peer"), UnavailableError),
        (driver.ReadOnlyError("You can't write against a read only replica."), UnavailableError),
        (driver.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), UnavailableError),
        (driver.MasterDownError("Link with MASTER is down"), UnavailableError),
        (driver.ClusterDownError("The cluster is down"), UnavailableError),
        (driver.TryAgainError("try again"), UnavailableError),
        (driver.ResponseError("NOREPLICAS Not enough good replicas to write."), UnavailableError),
        (driver.ResponseError("MISCONF errors writing to the disk"), UnavailableError),
        (driver.ResponseError("BUSY running a script"), UnavailableError),
        (driver.MovedError("3999 127.0.0.1:6381"), UnsupportedError),
        (driver.AskError("3999 127.0.0.1:6381"), UnsupportedError),
        (driver.ClusterCrossSlotError("Keys in request don't hash to the same slot"), UnsupportedError),
        (driver.ResponseError("SELECT is not allowed in cluster mode"), UnsupportedError),
        (driver.ResponseError("DB index is out of range"), ProtocolError),
        (driver.InvalidResponse("Protocol Error"), ProtocolError),
    ],
)
def test_it_becomes_ours(raised: Exception, expected: type[StatcoreError]) -> None:
    """With the service and what the driver said; refused credentials name the user."""
    error = from_driver(raised, service="Valkey at store:6379", user="reader")
    assert expected is type(error)
    assert "Valkey at store:6379" in str(error)
    assert str(raised) in str(error)
    assert (expected is AccessDeniedError) == ("'reader'" in str(error))
    assert (expected is UnavailableError) == is_worth_retrying(error, raised)
    assert "Valkey at store:6379" == getattr(error, "service", "Valkey at store:6379")


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    """It will not be trusted in a moment either."""
    raised = driver.ConnectionError("certificate verify failed")
    raised.__context__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert not is_worth_retrying(from_driver(raised, service="", user=""), raised)
