"""Trust and client certificates for https."""

from __future__ import annotations

import ssl

from statcore.errors import InputError
from statcore_prometheus.options import PrometheusOptions


def tls_settings(options: PrometheusOptions) -> ssl.SSLContext | bool:
    """Return the context that the options ask for, or True where they ask for nothing special.

    Raises:
        InputError: a file that cannot be read or holds something else; the message names the setting.
    """
    if options.verify_tls and options.ca_file is None and options.client_cert_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:  # SSLError is one
        raise InputError(f"ca_file cannot be used: {options.ca_file}: {error}") from error
    if options.client_cert_file is not None:
        try:
            context.load_cert_chain(options.client_cert_file, options.client_key_file, password=_no_passphrase)
        except OSError as error:
            raise InputError(
                f"client_cert_file or client_key_file cannot be used: {options.client_cert_file}: {error}"
            ) from error
    if not options.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    """Answer for an encrypted key, since OpenSSL would otherwise ask on the terminal."""
    raise InputError("client_key_file is encrypted; expected a key without a passphrase")
