"""Where the servers are: the URL, the user and password, TLS, and pools of redis-py connections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from ssl import SSLContext
from types import SimpleNamespace
from typing import Any, Final, Literal, Self, cast
from urllib.parse import unquote, urlsplit

import attrs
from redis._parsers import _AsyncHiredisParser  # pyright: ignore[reportPrivateUsage]
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from statcore.errors import InputError
from statcore_connection.files import FileValue, read_secret
from statcore_connection.tls import tls_context
from statcore_valkey.error_mapping import LongReplyError
from statcore_valkey.options import ValkeyOptions
from statcore_valkey.slot_map import Address

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_SCHEMES: Final = {"valkey": False, "redis": False, "valkeys": True, "rediss": True, "unix": False}
_MANY: Final = ("cluster", "sentinel")
_LONGEST_VALUE: Final = 2**20
"""Shorter values are read even if entries may not be as long, since reading the other values again would cost more."""
_BESIDE_A_VALUE: Final = 4_096
"""More bytes than the buffer of the parser holds beside a value: its length, and the end of values that are parsed."""
_USER: Final = "[user:password@]"
_DATABASE: Final = re.compile("[0-9]{0,5}")
_TLS_FILES: Final = ("tls_ca_file", "tls_cert_file", "tls_key_file")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password_file")
_FORM: Final = (
    f"expected valkey://{_USER}host[:port][/database], valkey+cluster://{_USER}host[:port],…,"
    f" valkey+sentinel://{_USER}host[:port],…/master[/database], each with valkeys for TLS, or unix://{_USER}/path"
)


@attrs.frozen(kw_only=True)
class ServerUrl:
    """The parts of a URL: the address of a server, or of servers that know the others, and the user who connects.

    Args:
        host: the server's host, or None with a `path`.
        port: the server's port.
        path: the path of a unix socket, or None.
        db: the number of a database, such as the 0 of redis://host/0, or None without one.
        username, password: the name and password of the ACL user, or None for the server's default user.
        tls: whether the connection is encrypted.
        cluster: the addresses of nodes of a cluster, by which the others are found.
        sentinels: the addresses of sentinels, which know the servers.
        master: the name of the master, with `sentinels`.
    """

    host: str | None = None
    port: int = PORT
    path: str | None = None
    db: int | None = None
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False
    cluster: tuple[Address, ...] = ()
    sentinels: tuple[Address, ...] = ()
    master: str | None = None

    @classmethod
    def from_url(cls, url: str, /) -> Self:
        """Read a URL.

        Raises:
            InputError: the URL cannot be used; no message shows it, since it may hold a password.
        """
        try:
            url.encode()
            scheme, _, kind = url.partition(":")[0].lower().partition("+")
            if kind in _MANY:
                return cls._from_many(scheme, kind, url.partition(":")[2])
            parts = urlsplit(url)
            port = PORT if parts.port is None else parts.port
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"the URL of the Valkey store cannot be read; {_FORM}") from None
        is_socket = parts.scheme == "unix"
        place = parts.path if is_socket else parts.hostname
        database = "" if is_socket else parts.path.strip("/")
        is_two_places = is_socket and bool(parts.netloc.rpartition("@")[2])  # a port may be the beginning of a password
        if parts.scheme not in _SCHEMES or not (place and port) or is_two_places or not _DATABASE.fullmatch(database):
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

    @classmethod
    def _from_many(cls, scheme: str, kind: str, rest: str) -> Self:
        """Read the rest of a URL with the addresses of several servers."""
        place, _, path = rest.removeprefix("//").partition("/")
        login, _, hosts = place.rpartition("@")
        name, _, database = path.strip("/").partition("/") if kind == "sentinel" else ("", "", path.strip("/"))
        is_named = bool(name) == (kind == "sentinel")
        is_clean = rest.startswith("//") and not set("?#@") & set(path + hosts)
        if scheme not in _SCHEMES or scheme == "unix" or not is_clean or not is_named or not _DATABASE.fullmatch(database):
            raise InputError(f"the URL of the Valkey store cannot be used; {_FORM}")
        addresses = tuple(_address(host, SENTINEL_PORT if kind == "sentinel" else PORT) for host in hosts.split(","))
        username, _, password = login.partition(":")
        return cls(
            db=int(database) if database else None,
            username=unquote(username) or None,
            password=unquote(password) or None,
            tls=_SCHEMES[scheme],
            cluster=addresses if kind == "cluster" else (),
            sentinels=addresses if kind == "sentinel" else (),
            master=unquote(name) or None,
        )

    @property
    def address(self) -> Address:
        """The address of the one server."""
        return Address(self.path, 0) if self.path else Address(self.host or "", self.port)

    def databases(self, options: ValkeyOptions) -> tuple[int, int]:
        """Return the numbers of the databases with statistics and with the activity of sessions.

        Raises:
            InputError: the URL names another database than the options, or a cluster lacks a database of the options.
        """
        if self.db not in (None, options.statistics_db):
            raise InputError(f"the URL names database {self.db}, but statistics_db is {options.statistics_db}")
        for name in ("statistics_db", "live_db") if self.cluster else ():
            if number := getattr(options, name):
                raise InputError(f"{name} is {number}, but a cluster has only database 0; set {name} to 0")
        return options.statistics_db, options.live_db

    def connection_settings(self, options: ValkeyOptions) -> dict[str, Any]:
        """Return settings of the driver's connections, without an address and a database.

        Raises:
            InputError: a file for TLS or the password cannot be used, a file for TLS is set but the URL has no TLS, the
                URL has a password and `password_file` is set as well, or an option is for other servers than the URL's.
        """
        settings: dict[str, Any] = driver_settings(options) | {"username": self.username, "password": self.password}
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
        else:
            _refuse_options(options, _TLS_FILES, "TLS: a URL with valkeys:// or rediss://")
        if not self.sentinels:
            _refuse_options(options, _OF_SENTINELS, "sentinels: a URL with valkey+sentinel://")
        if not self.sentinels and not self.cluster and options.read_from_replicas:
            raise InputError("read_from_replicas needs a URL with valkey+cluster:// or valkey+sentinel://")
        return settings

    def sentinel_settings(self, settings: dict[str, Any], options: ValkeyOptions) -> dict[str, Any]:
        """Return settings of connections to the sentinels: those of the servers, with the sentinels' own user.

        Raises:
            InputError: the file with the password cannot be used, or there is a user without one.
        """
        own: dict[str, Any] = {"username": None, "password": None, "credential_provider": None}
        if options.sentinel_password_file is not None:
            own["credential_provider"] = PasswordFile(
                options.sentinel_password_file, options.sentinel_username, setting="sentinel_password_file"
            )
        elif options.sentinel_username is not None:
            raise InputError("sentinel_username is set but sentinel_password_file is not; set both")
        return settings | own


def driver_settings(options: ValkeyOptions) -> dict[str, Any]:
    """Return the settings of every connection that this adapter makes."""
    return {
        "protocol": 2,  # no push messages among the replies, and no HELLO that old servers refuse
        "socket_timeout": None,  # the call has a deadline; the driver's own time-out also costs a task for every write
        "socket_connect_timeout": options.timeout_s,
        "retry": Retry(NoBackoff(), 0),  # `Keyspace` retries
        "parser_class": partial(BoundedParser, max_value_bytes=max(options.max_entry_bytes, _LONGEST_VALUE)),
    }


def new_pool(address: Address, settings: Mapping[str, Any]) -> ConnectionPool:
    """Return a pool of connections to a server; connections are made when they are first used.

    Args:
        address: the server.
        settings: settings of the driver's connections.
    """
    if address.port:
        place: dict[str, Any] = {"host": address.host, "port": address.port}
    else:
        place = {"connection_class": UnixDomainSocketConnection, "path": address.host}
    # The pool itself has no limit, since the slots of `RedisNode` limit how many connections are used.
    return ConnectionPool(max_connections=2**31, **{**settings, **place})


def _address(text: str, port: int) -> Address:
    parts = urlsplit(f"//{text}")
    host = parts.hostname
    if not host or parts.username is not None or parts.port == 0:
        raise InputError(f"the URL of the Valkey store cannot be used; {_FORM}")
    return Address(host, port if parts.port is None else parts.port)


def _refuse_options(options: ValkeyOptions, names: Sequence[str], needed: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise InputError(f"{name} needs {needed}")


class BoundedParser(_AsyncHiredisParser):
    """A parser of the driver that stops reading when its buffer holds a part of a value that is too long.

    Args:
        socket_read_size: how many bytes are read at once.
        max_value_bytes: the most bytes of a value.
    """

    def __init__(self, socket_read_size: int, *, max_value_bytes: int) -> None:
        """Start without a connection."""
        super().__init__(socket_read_size=socket_read_size)
        self._max_buffered = max_value_bytes + _BESIDE_A_VALUE

    async def read_from_socket(self) -> Literal[True]:
        """Read more of the answers; the driver calls this after it has parsed every complete value.

        Raises:
            LongReplyError: the buffer holds the beginning of a value that is too long.
        """
        if cast("Any", self._reader).len() > self._max_buffered:
            raise LongReplyError("a value is too long to be read")
        await super().read_from_socket()  # type: ignore[no-untyped-call]
        return True


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
        setting: the name of the option with the path, for messages.

    Raises:
        InputError: the file cannot be read, or holds no password.
    """

    def __init__(self, file: str, username: str | None, *, setting: str = "password_file") -> None:
        """Read the password for the first time."""
        self.username = username
        self._password = FileValue([file], partial(read_secret, file, setting=setting))

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the arguments of the command AUTH."""
        password = self._password.current()
        return (password,) if self.username is None else (self.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the arguments of the command AUTH."""
        return self.get_credentials()
