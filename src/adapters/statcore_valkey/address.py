"""From a URL to a redis-py client: which server, which user, TLS or not."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import attrs
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from statcore.errors import InputError
from statcore_valkey.options import ValkeyOptions

PORT: Final = 6379
_SCHEMES: Final = {"valkey": False, "redis": False, "valkeys": True, "rediss": True, "unix": False}
_DATABASE: Final = re.compile("[0-9]{0,5}")
_FORM: Final = (
    "expected valkey://[user:password@]host[:port][/database], valkeys://… for TLS, or unix://[user:password@]/path"
)


@attrs.frozen(kw_only=True)
class Address:
    """Where a server is and who asks: what a URL says.

    Args:
        host, port: of the server, or None where `path` says it all.
        path: of a unix socket, or None.
        db: the number in redis://host/0, or None where there is none.
        username, password: of the ACL user, or None for the server's default.
        tls: whether the connection is encrypted.
    """

    host: str | None = None
    port: int = PORT
    path: str | None = None
    db: int | None = None
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False

    @classmethod
    def from_url(cls, url: str, /) -> Self:
        """Read a URL.

        Raises:
            InputError: it cannot be used; no message shows the URL, which may hold a password.
        """
        try:
            url.encode()
            parts = urlsplit(url)
            port = PORT if parts.port is None else parts.port
        except ValueError:
            raise InputError(f"the URL of the Valkey store cannot be read; {_FORM}") from None
        is_socket = parts.scheme == "unix"
        place = parts.path if is_socket else parts.hostname
        database = "" if is_socket else parts.path.strip("/")
        is_two_places = is_socket and parts.hostname is not None
        if parts.scheme not in _SCHEMES or not place or is_two_places or not _DATABASE.fullmatch(database):
            raise InputError(f"the URL of the Valkey store cannot be used; {_FORM}")
        if parts.query or parts.fragment:
            raise InputError("the URL of the Valkey store has a query or fragment; its settings are given as options")
        return cls(
            host=None if is_socket else place,
            port=port,
            path=unquote(place) if is_socket else None,
            db=int(database) if database else None,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=_SCHEMES[parts.scheme],
        )

    def client(self, *, db: int, options: ValkeyOptions) -> Redis:
        """Return a client of one database; it connects when it is first used.

        Raises:
            InputError: the files for TLS cannot be used, or are given without TLS.
        """
        place: dict[str, Any] = {"unix_socket_path": self.path} if self.path else {"host": self.host, "port": self.port}
        return Redis(
            **place,
            **_tls(options, tls=self.tls),
            db=db,
            username=self.username,
            password=self.password,
            protocol=2,  # no push messages among the replies, and no HELLO that old servers refuse
            max_connections=2**31,  # the waiting room in front is the bound
            socket_timeout=None,  # the deadline is ours; a time-out of the driver's own also costs a task for every write
            socket_connect_timeout=options.timeout_s,
            retry=Retry(NoBackoff(), 0),  # retries are ours, too
        )


def _tls(options: ValkeyOptions, *, tls: bool) -> dict[str, Any]:
    files = {
        "tls_ca_file": options.tls_ca_file,
        "tls_cert_file": options.tls_cert_file,
        "tls_key_file": options.tls_key_file,
    }
    if not tls:
        if given := [name for name, file in files.items() if file is not None]:
            raise InputError(f"{given[0]} needs TLS: a URL with valkeys:// or rediss://")
        return {}
    # redis-py reads the files when it connects and takes a bad one for a server that is away.
    context = ssl.create_default_context()
    try:
        if options.tls_ca_file is not None:
            context.load_verify_locations(options.tls_ca_file)
    except OSError as error:  # SSLError is one
        raise InputError(f"tls_ca_file cannot be used: {options.tls_ca_file}: {error}") from error
    try:
        if options.tls_cert_file is not None:
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file, password=_no_passphrase)
    except OSError as error:
        raise InputError(f"tls_cert_file or tls_key_file cannot be used: {options.tls_cert_file}: {error}") from error
    return {
        "ssl": True,
        "ssl_check_hostname": True,
        "ssl_ca_certs": options.tls_ca_file,
        "ssl_certfile": options.tls_cert_file,
        "ssl_keyfile": options.tls_key_file,
    }


def _no_passphrase() -> str:
    """Answer for an encrypted key, since OpenSSL would otherwise ask on the terminal."""
    raise InputError("tls_key_file is encrypted; expected a key without a passphrase")
