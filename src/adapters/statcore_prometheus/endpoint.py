"""One server: its address, and the headers that every request to it carries."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import attrs

from statcore.errors import InputError
from statcore_prometheus.options import PrometheusOptions


@attrs.frozen(kw_only=True)
class Endpoint:
    """A server's address without credentials, and what to send with every request."""

    address: str
    """Scheme, host, port and base path, no slash at the end: safe to show."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    credential: str | None
    """What kind of credential the headers carry, in words that are safe to show."""

    def __str__(self) -> str:
        """Return the address."""
        return self.address


def read_endpoint(url: str, options: PrometheusOptions, *, setting: str = "url") -> Endpoint:
    """Read the URL of a server, such as `https://user:password@host:9090/prometheus`.

    Raises:
        InputError: it is not one; the message names the `setting` and does not show the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if parts is None or not host or parts.scheme not in {"http", "https"} or not (url.isascii() and url.isprintable()):
        raise InputError(f"{setting} is not a URL such as http://127.0.0.1:9090 or https://host/prometheus")
    if parts.query or parts.fragment or " " in url:
        raise InputError(f"{setting} must end with its path; a query, a fragment and spaces have no place in it")
    name = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    credential, authorization = _credential(parts.username, parts.password, options, setting)
    return Endpoint(
        address=f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{path}",
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if _wants_gzip(host, options) else "identity",
            **({} if authorization is None else {"Authorization": authorization}),
            **options.headers,
        },
        credential=credential,
    )


def _credential(
    username: str | None, password: str | None, options: PrometheusOptions, setting: str
) -> tuple[str | None, str | None]:
    has_header = any(name.lower() == "authorization" for name in options.headers)
    if username is None or password is None:
        if username is not None:
            raise InputError(f"{setting} holds a username without a password")
        username, password = options.username, options.password
    elif options.username is not None or options.bearer_token is not None or has_header:
        raise InputError(f"{setting} holds credentials, and the options hold others")
    else:
        username, password = unquote(username), unquote(password)
    if username is not None:
        basic = b64encode(f"{username}:{password}".encode()).decode()
        return f"the password of the user {username!r}", f"Basic {basic}"
    if options.bearer_token is not None:
        return "the bearer_token", f"Bearer {options.bearer_token}"
    if has_header:
        return "the Authorization header", None
    return None, None


def _wants_gzip(host: str, options: PrometheusOptions) -> bool:
    if options.gzip is not None:
        return options.gzip
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
