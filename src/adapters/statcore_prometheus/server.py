"""One server: its address, the headers of every request to it, and its credential."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Self, cast
from urllib.parse import unquote, urlsplit

import attrs

from statcore.errors import InputError
from statcore_connection.files import FileValue, read_secret
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import API_PATH

_LONGEST_TENANT: Final = 150
# Mimir, Cortex and Thanos allow a part of these characters. A name with | or a comma could stand for several tenants.
_TENANT: Final = re.compile(rf"(?:(?![|,/\\])[!-~]){{1,{_LONGEST_TENANT}}}")
_BASE_PATH: Final = re.compile(r'(?:/[!"$->A-~]*)?')
_SHORTEST_SECRET: Final = 4
"""Shorter secrets stay in messages, since they are parts of too many words."""


@attrs.frozen(kw_only=True)
class Credential:
    """The value of an Authorization header, and the secrets in it, which no message may show."""

    authorization: str = attrs.field(repr=False)
    secrets: tuple[str, ...] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Server:
    """A server's address without credentials, and the headers of every request."""

    address: str
    """Scheme, host, port and base path, without a slash at the end; it is safe to show."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    """The headers of every request, without the credential."""
    credential: FileValue[Credential] | None = attrs.field(repr=False)
    credential_name: str | None
    """A name for the credential that is safe to show, or None without one."""
    _secrets: tuple[str, ...] = attrs.field(repr=False, alias="secrets")

    @classmethod
    def from_url(cls, url: str, /, *, options: PrometheusOptions, setting: str = "url") -> Self:
        """Read the URL of a server, such as `https://user:password@host:9090/prometheus`; `/api/v1` at its end is allowed.

        Raises:
            InputError: the URL or a file with a credential cannot be used; the message names the `setting`, but does not
                show the URL, which may hold a password.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except (ValueError, TypeError, AttributeError):
            host = port = parts = None
        if parts is None or not host or parts.scheme not in {"http", "https"} or not (url.isascii() and url.isprintable()):
            raise InputError(f"{setting} is not a URL such as http://127.0.0.1:9090 or https://host/prometheus")
        if parts.query or parts.fragment or " " in url:
            raise InputError(f"{setting} must end with its path; expected no query, no fragment and no spaces")
        if "@" in parts.path:
            raise InputError(
                f"{setting} holds an @ after a slash; in a user's name or password, / is written as %2F and @ as %40"
            )
        name = f"[{host}]" if ":" in host else host
        credential_name, credential = _credential(parts.username, parts.password, options, setting)
        return cls(
            address=f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{_base_path(parts.path)}",
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip" if _wants_gzip(host, options) else "identity",
                **options.headers,
            },
            credential=credential,
            credential_name=credential_name,
            secrets=tuple(options.headers.values()),
        )

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    def for_tenant(self, header: str, tenant: str) -> Self:
        """Return the server with the tenant's header in every request, in place of any such header that it had.

        Raises:
            InputError: the name cannot be that of one tenant.
        """
        if not isinstance(cast("object", tenant), str) or not _TENANT.fullmatch(tenant) or tenant in {".", ".."}:
            raise InputError(
                f"tenant must be the name of one tenant: 1 to {_LONGEST_TENANT} ASCII characters, without spaces, control "
                "characters, commas, slashes, backslashes and |"
            )
        # Names of headers have no case. A server that got two such headers would use either.
        others = {name: text for name, text in self.headers.items() if name.lower() != header.lower()}
        return attrs.evolve(self, headers={**others, header: tenant})

    def at_path(self, rewrite: Callable[[str], str]) -> Self:
        """Return the server at another base path, which `rewrite` makes of its own; `/api/v1` may end it.

        Raises:
            InputError: the result cannot be the path of a URL.
        """
        parts = urlsplit(self.address)
        path = rewrite(parts.path)
        if not isinstance(cast("object", path), str) or not _BASE_PATH.fullmatch(path):
            raise InputError(f"a base path must be empty or start with a slash, and be percent-encoded, not {path!r:.80}")
        return attrs.evolve(self, address=f"{parts.scheme}://{parts.netloc}{_base_path(path)}")

    def request_headers(self) -> dict[str, str]:
        """Return the headers of a request that is sent now; changed files with credentials are read again."""
        if self.credential is None:
            return dict(self.headers)
        return {**self.headers, "Authorization": self.credential.current().authorization}

    def without_secrets(self, text: str) -> str:
        """Return the text of a server or a driver with its secrets replaced."""
        secrets = set(self._secrets)
        if self.credential is not None:
            secrets.update(self.credential.current().secrets)
            if self.credential.previous is not None:
                secrets.update(self.credential.previous.secrets)
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


def _base_path(path: str) -> str:
    return path.rstrip("/").removesuffix(API_PATH).rstrip("/")


def _credential(
    username: str | None, password: str | None, options: PrometheusOptions, setting: str
) -> tuple[str | None, FileValue[Credential] | None]:
    """Return the name of the credential and the credential; None for what does not exist, or is among the headers."""
    if username is not None and password is None:
        raise InputError(f"{setting} holds a username without a password")
    if username is not None and password is not None:
        if options.authentication:
            raise InputError(f"{setting} holds credentials, and the options hold credentials as well; set one of them")
        user, secret = unquote(username), unquote(password)
        return _password_of(user), FileValue([], lambda: _basic(user, secret))
    match options.authentication:
        case ["username"]:
            user = options.username or ""
            build = partial(_basic, user)
            return _password_of(user), _from_option(options.password, options.password_file, "password_file", build)
        case ["bearer_token"]:
            token = _from_option(options.bearer_token, options.bearer_token_file, "bearer_token_file", _bearer)
            return "the bearer_token", token
        case ["headers"]:
            return "the Authorization header", None
        case _:
            return None, None


def _from_option(
    secret: str | None, file: str | None, setting: str, build: Callable[[str], Credential]
) -> FileValue[Credential]:
    if file is None:
        return FileValue([], lambda: build(secret or ""))
    return FileValue([file], lambda: build(read_secret(file, setting=setting)))


def _password_of(username: str) -> str:
    return f"the password of the user {username!r}"


def _basic(username: str, password: str) -> Credential:
    encoded = b64encode(f"{username}:{password}".encode()).decode()
    return Credential(authorization=f"Basic {encoded}", secrets=(password, encoded))


def _bearer(token: str) -> Credential:
    return Credential(authorization=f"Bearer {token}", secrets=(token,))


def _wants_gzip(host: str, options: PrometheusOptions) -> bool:
    if options.gzip is not None:
        return options.gzip
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
