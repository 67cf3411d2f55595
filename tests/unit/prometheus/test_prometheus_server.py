"""Servers: addresses, credentials in the URL, compression, files."""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_prometheus.server import Server


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("HTTP://Host/", "http://host"),
        ("https://ann:pw@host:1/prometheus/", "https://host:1/prometheus"),
        ("http://[::1]:9090/a/b", "http://[::1]:9090/a/b"),
    ],
)
def test_the_address_has_no_credentials(url: str, address: str) -> None:
    """It consists of scheme, host, port and base path."""
    server = Server.from_url(url, options=PrometheusOptions())
    assert (address, address) == (server.address, str(server))
    assert "pw" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        *("", "host:9090", "ftp://host", "http://", "http://:9090", "http://host:port", "http://host:99999"),
        *("http://[::1", "http://ann:hidden@host\n", "http://höst", "http://ann:hidden@host/?x=1", "http://host/#x"),
        *("http://host/a b", "http://ann@host", "http://h:1_0", "http://h:" + "9" * 5000, None, 7, b"http://host"),
    ],
)
def test_a_bad_url_is_refused(url: Any) -> None:
    """The error names the setting and quotes nothing of the URL, which may hold a password; the type may be wrong, too."""
    with pytest.raises(InputError, match=r"^url ") as caught:
        PrometheusClient(url)
    assert "hidden" not in str(caught.value)
    with pytest.raises(InputError, match=r"^fallback_urls "):
        PrometheusClient("http://host", options=PrometheusOptions(fallback_urls=(url,)))


@pytest.mark.parametrize(
    "options",
    [
        PrometheusOptions(username="bob", password="x"),  # noqa: S106
        PrometheusOptions(bearer_token="x"),  # noqa: S106
        PrometheusOptions(headers={"authorization": "Bearer x"}),
        PrometheusOptions(username="bob", password_file="x"),  # noqa: S106
        PrometheusOptions(bearer_token_file="x"),  # noqa: S106
    ],
)
def test_credentials_in_two_places_are_refused(options: PrometheusOptions) -> None:
    """The URL and the options exclude each other."""
    with pytest.raises(InputError, match="url holds credentials") as caught:
        Server.from_url("http://ann:hidden@host", options=options)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "gzip", "expected"),
    [
        ("http://localhost:1", None, "identity"),
        ("http://127.9.9.9", None, "identity"),
        ("http://[::1]", None, "identity"),
        ("http://10.0.0.1", None, "gzip"),
        ("http://prometheus.example", None, "gzip"),
        ("http://prometheus.example", False, "identity"),
        ("http://localhost", True, "gzip"),
    ],
)
def test_compression_is_off_over_loopback_alone(url: str, gzip: bool | None, expected: str) -> None:  # noqa: FBT001
    """The option overrides this."""
    assert expected == Server.from_url(url, options=PrometheusOptions(gzip=gzip)).headers["Accept-Encoding"]


@pytest.mark.parametrize("url", ["http://a..b", "http://256.1.1.1", "http://h\\x"])
async def test_a_host_that_only_the_driver_refuses(url: str) -> None:
    """The error is an InputError all the same, and nothing is sent."""
    async with aclosing(PrometheusClient(url)) as client:
        with pytest.raises(InputError, match=f"{re.escape(url)} cannot get the request"):
            await client.ping()


@given(st.text(max_size=160), st.sampled_from(["X-Scope-OrgID", "x-scope-orgid", "X-SCOPE-ORGID", "X-Other"]))
@example("a\r\nX-Other: b", "X-Other")
@example("a" * 150, "x-scope-orgid")
def test_a_tenants_name_is_the_value_of_one_header_or_is_refused(tenant: str, name: str) -> None:
    """Whatever the name, no other header changes, and no header has a second spelling."""
    server = Server.from_url("http://host", options=PrometheusOptions(headers={name: "before"}))
    before = server.request_headers()
    try:
        headers = server.for_tenant("X-Scope-OrgID", tenant).request_headers()
    except InputError:
        headers = None
    assert before == server.request_headers()
    if headers is not None:
        assert tenant == headers.pop("X-Scope-OrgID")
        assert headers == {key: value for key, value in before.items() if key.lower() != "x-scope-orgid"}
        assert re.fullmatch(r"[!-~]{1,150}", tenant)
        assert not set(tenant) & set("|,/\\")
