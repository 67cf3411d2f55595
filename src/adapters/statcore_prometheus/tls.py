"""Trust and client certificates for https."""

from __future__ import annotations

import ssl
from pathlib import Path

from statcore.errors import InputError
from statcore_prometheus.files import FileValue
from statcore_prometheus.options import PrometheusOptions


def tls_settings(options: PrometheusOptions) -> FileValue[ssl.SSLContext | bool]:
    """Return the context that the options ask for, or True where they ask for nothing special.

    Raises:
        InputError: a file that cannot be read or holds something else; the message names the setting.
    """
    paths = (options.tls_ca_file, options.tls_cert_file, options.tls_key_file)
    return FileValue([path for path in paths if path is not None], lambda: _context(options))


def _context(options: PrometheusOptions) -> ssl.SSLContext | bool:
    if options.tls_verify and options.tls_ca_file is None and options.tls_cert_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=options.tls_ca_file)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise _unusable("tls_ca_file", error, options.tls_ca_file) from None
    if options.tls_cert_file is not None:
        try:
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file, password=_no_passphrase)
        except InputError:
            raise  # that the key is encrypted
        except (OSError, ValueError) as error:
            settings = "tls_cert_file or tls_key_file"
            raise _unusable(settings, error, options.tls_cert_file, options.tls_key_file) from None
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(settings: str, error: Exception, *paths: str | None) -> InputError:
    shown = [f"{path}: " for path in paths if path is not None and _is_surely_a_path(path)]
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return InputError(f"{settings} cannot be used: {''.join(shown)}{reason}; expected files in PEM")


def _is_surely_a_path(text: str) -> bool:
    """Return whether a setting may be shown: anything else may be a secret in the wrong place."""
    path = Path(text)
    return path.exists() or (path.is_absolute() and bool(path.suffix) and path.parent.is_dir())


def _no_passphrase() -> str:
    """Answer for an encrypted key, since OpenSSL would otherwise ask on the terminal."""
    raise InputError("tls_key_file is encrypted; expected a key without a passphrase")
