"""What the driver asks for whenever it connects: the context of TLS and the password, made of files."""

from __future__ import annotations

from functools import partial
from ssl import SSLContext
from types import SimpleNamespace
from typing import Any

from redis.asyncio.connection import SSLConnection
from redis.credentials import CredentialProvider

from statcore_connection.files import FileValue, read_secret


class RereadingTlsConnection(SSLConnection):
    """A connection of the driver that looks at the files of TLS whenever it connects."""

    def __init__(self, *, tls_context: FileValue[SSLContext], **settings: Any) -> None:  # noqa: ANN401 - the driver's
        """Connect with this context; the settings are the driver's."""
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType]
        self.ssl_context: Any = SimpleNamespace(get=tls_context.current)  # the driver calls `get` alone


class PasswordFile(CredentialProvider):
    """Gives the driver the password that a file holds whenever a connection is made.

    Args:
        file: its path.
        username: of the ACL user, or None for the server's default.

    Raises:
        InputError: the file cannot be read, or holds no password.
    """

    def __init__(self, file: str, username: str | None) -> None:
        """Read the password for the first time."""
        self.username = username
        self._password = FileValue([file], partial(read_secret, file, setting="password_file"))

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the words after AUTH."""
        password = self._password.current()
        return (password,) if self.username is None else (self.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the words after AUTH."""
        return self.get_credentials()
