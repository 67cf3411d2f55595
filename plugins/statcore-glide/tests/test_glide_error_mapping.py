"""Errors of glide become ours, and no text that may repeat a command is shown."""

from __future__ import annotations

import pytest
from glide import ClosingError, ConfigurationError, RequestError
from glide import ConnectionError as GlideConnectionError
from glide import TimeoutError as GlideTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from statcore import AccessDeniedError, ClosedError, ProtocolError, StatcoreError, UnavailableError, UnsupportedError
from statcore_glide.error_mapping import from_driver

SIGNALLED = "An error was signalled by the server: - "
SECRET = "t0p-secret"  # noqa: S105 - planted in a text, to be looked for


def mapped(error: ClosingError | RequestError, *, is_cluster: bool = True) -> StatcoreError:
    """Return our error for an error of glide."""
    return from_driver(error, service="Valkey at h:1", user="'u'", is_cluster=is_cluster)


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("WRONGTYPE: Operation against a key holding the wrong kind of value", ProtocolError, "WRONGTYPE"),
        ("OOM: command not allowed when used memory > 'maxmemory'.", UnavailableError, "used memory"),
        (f"{SIGNALLED}PermissionDenied: No permissions to access a key", AccessDeniedError, "'u': No permissions"),
        (f"{SIGNALLED}ReadOnly: You can't write against a read only replica.", UnavailableError, "read only replica"),
        (f"{SIGNALLED}MasterDown: Link with MASTER is down and …", UnavailableError, "Link with MASTER is down"),
        (f"{SIGNALLED}ClusterDown: Hash slot not served", UnavailableError, "Hash slot not served"),
        (f"{SIGNALLED}TryAgain: Multiple keys request during rehashing of slot", UnavailableError, "rehashing"),
        (f"{SIGNALLED}BusyLoadingError: Valkey is loading the dataset in memory", UnavailableError, "is loading"),
        (f"{SIGNALLED}ResponseError: unknown command 'MGET', with args: {SECRET}", ProtocolError, "command 'MGET'"),
        (f"{SIGNALLED}ResponseError: something new about {SECRET}", ProtocolError, "is not shown"),
        (f"NEWWORD: {SECRET}", ProtocolError, "is not shown"),
        (
            "IoError: … `h:1`: WRONGPASS: invalid username-password pair",
            AccessDeniedError,
            "invalid",
        ),
        (
            "… `NOAUTH: HELLO must be called with the client already authenticated`",
            AccessDeniedError,
            "'u'",
        ),
        (f"Failed to create initial connections - IoError: {SECRET}", UnavailableError, "initial connections"),
        (f"something new about {SECRET}", UnavailableError, "RequestError, whose text is not shown"),
    ],
)
def test_each_error_is_the_most_specific_of_ours(text: str, kind: type[StatcoreError], shown: str) -> None:
    """The message names the server, and repeats only what is known."""
    failure = mapped(RequestError(text))
    assert isinstance(failure, kind)
    assert isinstance(failure, AccessDeniedError) == (kind is AccessDeniedError)
    assert "Valkey at h:1" in str(failure)
    assert shown in str(failure)
    assert SECRET not in f"{failure}{failure.__cause__}"


@pytest.mark.parametrize("word", ["Moved: 449 h:2", "Moved: 449 h:2; ExtensionError", "Ask: 449 h:2", "CrossSlot: Keys …"])
def test_redirects_are_followed_by_a_client_of_a_cluster_alone(word: str) -> None:
    """A redirect that is left over may be followed later; a client of one server never follows it."""
    assert UnavailableError is type(mapped(RequestError(SIGNALLED + word)))
    assert UnsupportedError is type(mapped(RequestError(SIGNALLED + word), is_cluster=False))


def test_errors_of_the_client_itself() -> None:
    """A client that is closed stays closed; a connection and a time-out may be better next time."""
    assert ClosedError is type(mapped(ClosingError("")))
    assert UnavailableError is type(mapped(GlideConnectionError("broken pipe")))
    assert UnavailableError is type(mapped(ConfigurationError("?")))
    assert "request_timeout" in str(mapped(GlideTimeoutError("timed out")))


@given(st.text(), st.sampled_from(["", SIGNALLED, f"{SIGNALLED}ResponseError: ", "ERR: ", "Ask: "]), st.booleans())
def test_any_text_becomes_an_error_of_ours(text: str, prefix: str, is_cluster: bool) -> None:  # noqa: FBT001
    """Whatever glide says, nothing but a known text leaves."""
    assert isinstance(mapped(RequestError(f"{prefix}{text}{SECRET}"), is_cluster=is_cluster), StatcoreError)
    assert SECRET not in str(mapped(RequestError(f"{prefix}{text}{SECRET}"), is_cluster=is_cluster))
