"""Files that may change while statcore runs: certificates, keys and passwords, read again for new connections."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import attrs
from redis.asyncio.connection import SSLConnection
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as DriverConnectionError

from statcore.errors import InputError
from statcore_valkey.options import ValkeyOptions


@attrs.define(eq=False)
class TlsFiles:
    """The files of TLS, and what was made of them when they last changed."""

    options: ValkeyOptions
    _context: ssl.SSLContext | None = attrs.field(default=None, init=False)
    _made_of: list[tuple[int, int, int]] = attrs.field(factory=list[tuple[int, int, int]], init=False)

    def get(self) -> ssl.SSLContext:
        """Return a context of the files as they are now.

        Raises:
            InputError: a file cannot be used; the message names the setting.
        """
        options = self.options
        settings = {
            "tls_ca_file": options.tls_ca_file,
            "tls_cert_file": options.tls_cert_file,
            "tls_key_file": options.tls_key_file,
        }
        found = [_state(file, setting=setting) for setting, file in settings.items() if file is not None]
        if self._context is None or self._made_of != found:
            self._context, self._made_of = _context(options), found
        return self._context


class RereadingTlsConnection(SSLConnection):
    """A connection of the driver that takes its context from `TlsFiles` whenever it connects."""

    def __init__(self, *, tls_files: TlsFiles, **settings: Any) -> None:  # noqa: ANN401 - the driver's
        """Connect with these files; the settings are the driver's."""
        super().__init__(**settings)  # pyright: ignore[reportUnknownMemberType]
        self.ssl_context: Any = tls_files  # the driver calls `get` alone


@attrs.frozen
class PasswordFile(CredentialProvider):
    """Gives the driver the password that a file holds whenever a connection is made."""

    file: str = attrs.field(repr=False)
    username: str | None

    def read(self) -> str:
        """Return the password.

        Raises:
            InputError: the file cannot be read, or holds no password.
        """
        try:
            password = Path(self.file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise InputError(f"password_file cannot be read: {_reason(error)}") from None
        if not password:
            raise InputError("password_file is empty; expected a password")
        return password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the words after AUTH."""
        try:
            password = self.read()
        except InputError as error:
            raise DriverConnectionError(str(error)) from error  # for any other error the driver keeps the connection open
        return (password,) if self.username is None else (self.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the words after AUTH."""
        return self.get_credentials()


def _state(file: str, *, setting: str) -> tuple[int, int, int]:
    """Return what changes when a file is replaced or written."""
    try:
        state = Path(file).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"{setting} cannot be used: {_reason(error)}") from None
    return state.st_mtime_ns, state.st_ino, state.st_size


def _context(options: ValkeyOptions) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if options.tls_ca_file is not None:
            context.load_verify_locations(options.tls_ca_file)
    except OSError as error:  # SSLError is one
        raise InputError(f"tls_ca_file cannot be used: {_reason(error)}") from None
    try:
        if options.tls_cert_file is not None:
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file, password=_no_passphrase)
    except OSError as error:
        raise InputError(f"tls_cert_file or tls_key_file cannot be used: {_reason(error)}") from None
    return context


def _reason(error: Exception) -> str:
    """Return what is wrong with a file without its name, which may be a secret that was meant for another setting."""
    return getattr(error, "strerror", None) or type(error).__name__


def _no_passphrase() -> str:
    """Answer for an encrypted key, since OpenSSL would otherwise ask on the terminal."""
    raise InputError("tls_key_file is encrypted; expected a key without a passphrase")
