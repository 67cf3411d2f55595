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
    if options.tls_verify and options.tls_ca_file is None and options.tls_cert_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=options.tls_ca_file)
    except OSError as error:  # SSLError is one
        raise InputError(f"tls_ca_file cannot be used: {options.tls_ca_file}: {error}") from error
    if options.tls_cert_file is not None:
        try:
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file, password=_no_passphrase)
        except OSError as error:
            raise InputError(f"tls_cert_file or tls_key_file cannot be used: {options.tls_cert_file}: {error}") from error
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    """Answer for an encrypted key, since OpenSSL would otherwise ask on the terminal."""
    raise InputError("tls_key_file is encrypted; expected a key without a passphrase")
