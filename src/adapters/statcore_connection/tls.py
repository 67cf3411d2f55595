"""TLS of connections: certificates from the files that `tls_…_file` settings name, and the certificate of a server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import attrs

from statcore.errors import InputError
from statcore.model.validation import check_line
from statcore_connection.files import FileValue, reason

_ADVICE: Final[Mapping[int, str]] = {
    9: "its time has not come yet; check the clocks of the server and of this machine",
    10: "renew it on the server",
    62: "connect by a host name for which it was issued",
    64: "connect by an address for which it was issued",
}
"""What to do, by the code of OpenSSL for the fault of a certificate."""


def check_key_file(options: Any, field: attrs.Attribute[Any], value: object) -> None:  # noqa: ANN401 - options of an adapter
    """Accept the path of a key beside the path of its certificate, or None; validates `tls_key_file` of an adapter.

    Raises:
        InputError: the path is not one line of text, or `tls_cert_file` is not set.
    """
    if value is not None:
        check_line(options, field, value)
        if options.tls_cert_file is None:
            raise InputError(f"{field.name} is set but tls_cert_file is not; set both")


def tls_context(
    *, ca_file: str | None, cert_file: str | None, key_file: str | None, verify: bool = True
) -> FileValue[ssl.SSLContext]:
    """Return the TLS context of connections to a server, read from files in PEM.

    Args:
        ca_file: the path of the certificates to trust instead of the system's.
        cert_file: the path of the client certificate.
        key_file: the path of the certificate's key; None if the key is in the `cert_file`.
        verify: whether the server's certificate is checked.

    Raises:
        InputError: a file cannot be used; the message names the setting, and not the path, which may be a secret.
    """
    files = [file for file in (ca_file, cert_file, key_file) if file is not None]
    return FileValue(files, partial(_context, ca_file, cert_file, key_file, verify=verify))


def refusal(error: Exception) -> str:
    """Return why the certificate of a server is refused, and what to do, for an `ssl.SSLCertVerificationError`."""
    fault = getattr(error, "verify_message", "").rstrip(".") or "it cannot be verified"
    advice = _ADVICE.get(getattr(error, "verify_code", 0), "set tls_ca_file to the certificate of its authority")
    return f"its certificate is refused: {fault}; {advice}"


async def certificate_expiry_s(host: str, port: int, context: ssl.SSLContext) -> float | None:
    """Return when the certificate of a server expires, in unix seconds; None if the context does not check it.

    Args:
        host: the server.
        port: its port for TLS.
        context: the context of connections to it.

    Raises:
        OSError: there is no connection, or the certificate is refused.
    """
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    expires = certificate.get("notAfter")
    return None if expires is None else float(ssl.cert_time_to_seconds(expires))


def load_certificate(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    """Read the certificate that a context shows to the other side, and its key, from files in PEM.

    Args:
        context: the context.
        cert_file: the path of the certificate and its chain.
        key_file: the path of its key; None if the key is in the `cert_file`.

    Raises:
        InputError: a file cannot be used; the message names the setting, and not the path, which may be a secret.
    """
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except InputError:
        raise  # by `_no_passphrase`
    except (OSError, ValueError) as error:  # SSLError is an OSError
        message = f"tls_cert_file or tls_key_file cannot be used: {reason(error)}; expected files in PEM"
        raise InputError(message) from None


def _context(ca_file: str | None, cert_file: str | None, key_file: str | None, *, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise InputError(f"tls_ca_file cannot be used: {reason(error)}; expected a file in PEM") from None
    if cert_file is not None:
        load_certificate(context, cert_file, key_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    """Refuse an encrypted key; without this, OpenSSL asks for the passphrase on the terminal."""
    raise InputError("tls_key_file is encrypted; expected a key without a passphrase")
