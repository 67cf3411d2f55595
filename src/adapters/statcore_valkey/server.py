"""One server: its URL, the user and password, TLS, and pools of redis-py connections to it."""

from __future__ import annotations

import re
from functools import partial
from ssl import SSLContext
from types import SimpleNamespace
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import attrs
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from statcore.errors import InputError
from statcore_connection.files import FileValue, read_secret
from statcore_connection.tls import tls_context
from statcore_valkey.options import ValkeyOptions

PORT: Final = 6379
_SCHEMES: Final = {"valkey": False, "redis": False, "valkeys": True, "rediss": True, "unix": False}
_DATABASE: Final = re.compile("[0-9]{0,5}")
_TLS_FILES: Final = ("tls_ca_file", "tls_cert_file", "tls_key_file")
_FORM: Final = (
    "expected valkey://[user:password@]host[:port][/database], valkeys://… for TLS, or unix://[user:password@]/path"
)


@attrs.frozen(kw_only=True)
class Server:
    """The address of a server, and the user who connects.

    Args:
        host: the server's host, or None with a `path`.
        port: the server's port.
        path: the path of a unix socket, or None.
        db: the number of a database, such as the 0 of redis://host/0, or None without one.
        username, password: the name and password of the ACL user, or None for the server's default user.
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
            InputError: the URL cannot be used; no message shows it, since it may hold a password.
        """
        try:
            url.encode()
            parts = urlsplit(url)
            port = PORT if parts.port is None else parts.port
        except (ValueError, TypeError, AttributeError):
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

    def pools(self, *databases: int, options: ValkeyOptions) -> list[ConnectionPool]:
        """Return a pool of connections to each database, by its number; connections are made when they are first used.

        Raises:
            InputError: a file for TLS or the password cannot be used, a file for TLS is set but the URL has no TLS, or the
                URL has a password and `password_file` is set as well.
        """
        settings: dict[str, Any] = {
            "username": self.username,
            "password": self.password,
            "protocol": 2,  # no push messages among the replies, and no HELLO that old servers refuse
            "socket_timeout": None,  # the call has a deadline; the driver's own time-out also costs a task for every write
            "socket_connect_timeout": options.timeout_s,
            "retry": Retry(NoBackoff(), 0),  # `Database` retries
        }
        if options.password_file is not None:
            if self.password is not None:
                raise InputError(
                    "the URL of the Valkey store has a password, and password_file is set; expected one of them"
                )
            provider = PasswordFile(options.password_file, self.username)
            settings |= {"username": None, "credential_provider": provider}
        if self.tls:
            context = tls_context(
                ca_file=options.tls_ca_file, cert_file=options.tls_cert_file, key_file=options.tls_key_file
            )
            settings |= {"connection_class": RereadingTlsConnection, "tls_context": context}
        elif given := [name for name in _TLS_FILES if getattr(options, name) is not None]:
            raise InputError(f"{given[0]} needs TLS: a URL with valkeys:// or rediss://")
        if self.path:
            settings |= {"connection_class": UnixDomainSocketConnection, "path": self.path}
        else:
            settings |= {"host": self.host, "port": self.port}
        # The pool itself has no limit, since the slots of `Database` limit how many connections are used.
        return [ConnectionPool(max_connections=2**31, db=database, **settings) for database in databases]


class RereadingTlsConnection(SSLConnection):
    """A connection of the driver that reads changed TLS files again whenever it connects."""

    def __init__(self, *, tls_context: FileValue[SSLContext], **settings: Any) -> None:  # noqa: ANN401 - the driver's
        """Connect with this context; the settings are the driver's."""
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType]
        self.ssl_context: Any = SimpleNamespace(get=tls_context.current)  # the driver uses only `get`


class PasswordFile(CredentialProvider):
    """Gives the driver the password in a file whenever a connection is made.

    Args:
        file: the path of the file.
        username: the name of the ACL user, or None for the server's default user.

    Raises:
        InputError: the file cannot be read, or holds no password.
    """

    def __init__(self, file: str, username: str | None) -> None:
        """Read the password for the first time."""
        self.username = username
        self._password = FileValue([file], partial(read_secret, file, setting="password_file"))

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the arguments of the command AUTH."""
        password = self._password.current()
        return (password,) if self.username is None else (self.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the arguments of the command AUTH."""
        return self.get_credentials()
