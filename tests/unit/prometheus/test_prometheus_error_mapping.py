"""Errors for HTTP statuses; most of them are tested with a server, in tests/faults."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statcore.errors import ProtocolError, QueryRejectedError, StatcoreError, TimedOutError, UnavailableError
from statcore_prometheus.error_mapping import from_status
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import query_request
from statcore_prometheus.server import Server

SERVER = Server.from_url("http://host/base", options=PrometheusOptions())
REQUEST = query_request("up", None)


def error_of(status: int, headers: dict[str, str], body: bytes = b"") -> StatcoreError:
    """Return the error for an answer."""
    return from_status(status, headers, body, server=SERVER, request=REQUEST, timeout_s=1)


def retry_after(text: str) -> float | None:
    """Return the pause that an answer with that header asks for."""
    error = error_of(429, {"Retry-After": text})
    assert isinstance(error, UnavailableError)
    return error.retry_after_s


def test_retry_after_is_seconds_or_a_date() -> None:
    """A date in the past means no pause."""
    assert 120.0 == retry_after("120")
    in_an_hour = retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert in_an_hour == pytest.approx(3600, abs=60)
    assert 0.0 == retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    assert 0.0 == retry_after("Wed, 21 Oct 2015 07:28:00 -0000")


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "-1", "1.5", "٣", "9" * 20, "9" * 5000, ",", ":", "\x00"),
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "Wed, 99999999999999999999 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 2015 99999999999999999999:28:00 GMT",
    ],
)
def test_a_hostile_retry_after_is_ignored(text: str) -> None:
    """The error is the one of the status, without a pause of its own."""
    assert retry_after(text) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,25} [A-Z][a-z]{2} [0-9]{1,25} [0-9:]{1,25} [+-]?[0-9A-Z]{1,25}"))
def test_any_retry_after_is_a_pause_or_ignored(text: str) -> None:
    """A pause is finite and not negative."""
    pause_s = retry_after(text)
    assert pause_s is None or 0 <= pause_s < math.inf


@given(st.dictionaries(st.sampled_from(["Location", "WWW-Authenticate", "Content-Type"]), st.text()), st.binary())
@example(headers={"Location": "http://[::1"}, body=b"")
@example(headers={"Location": "http://h\x1b[31m/"}, body=b"\xff")
def test_no_header_and_no_body_hides_the_status(headers: dict[str, str], body: bytes) -> None:
    """The status gives one error of ours, on one line, with any header and body."""
    for status in (204, 302, 400, 401, 404, 429, 500):
        assert str(error_of(status, headers, body)).isprintable()


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/login?next=hidden", "a redirect to /login, which"),
        ("//other/x", "a redirect to http://other/x, which"),
        ("https://ann:hidden@other:1/x#hidden", "a redirect to https://other:1/x, which"),
        ("http://other:hidden/", "a redirect, which"),
        ("", "a redirect, which"),
        ("http://other/\x1b[31m", "a redirect to http://other/ [31m, which"),
        ("/\x1b[31m", "a redirect to / [31m, which"),
    ],
)
def test_a_redirect_shows_where_to(location: str, shown: str) -> None:
    """The target is shown on one line, without credentials and query; the driver lets control characters pass."""
    error = error_of(302, {"Location": location})
    assert isinstance(error, ProtocolError)
    assert shown in str(error)
    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    ("status", "body", "expected", "shown"),
    [
        (
            404,
            b"404 page not found",
            ProtocolError,
            "HTTP 404: 404 page not found; is this the address, with the base path",
        ),
        (400, b"no\nERROR\x1b[31m", QueryRejectedError, "no ERROR [31m"),
        (400, b'{"error":"no\\nERROR\\u001b[31m","status":"error"}', QueryRejectedError, "no ERROR [31m"),
        (503, b'{"error":"out of \xff","errorType":"timeout","status":"error"}', TimedOutError, "out of \ufffd"),
    ],
)
def test_a_text_is_shown(status: int, body: bytes, expected: type[StatcoreError], shown: str) -> None:
    """It is one line without control characters, even if it is not UTF-8; a 404 hints at a missing base path."""
    error = error_of(status, {}, body)
    assert expected is type(error)
    assert str(error).startswith(f"http://host/base: {shown}")


def test_a_long_text_is_cut() -> None:
    """An error shows a limited part of the text."""
    for body in (b"x" * 60_000, b'{"status":"error","errorType":"internal","error":"%b"}' % (b"x" * 60_000)):
        assert 900 < len(str(error_of(500, {}, body))) < 1100
