"""The settings of the Valkey store, checked; each complaint names the setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self, get_type_hints

import attrs
import msgspec

from statcore.errors import InputError


def _above_zero(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{attribute.name} must be above zero and finite, not {value!r}")


def _database(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise InputError(f"{attribute.name} must be the number of a database, from 0 up, not {value!r}")


@attrs.frozen(kw_only=True)
class ValkeyOptions:
    """How to talk to a Valkey.

    Args:
        timeout_s: the deadline of a call in seconds: waiting for a connection, connecting, retries, reading and checking.
        pool_size: how many connections to a database are open at most; further calls wait for one.
        statistics_db: the number of the database with statistics.
        live_db: the number of the database with the activity of sessions.
        freshness_s: mark entries *stale* that were written longer ago, or None not to look; what tells is the remaining
            time to live, so asking for it costs.
        agent_interval_s: the agents' collection interval in seconds, from which the age of their entries is told.
        max_entry_bytes: larger entries are not read but reported as *oversized*.
        tls_ca_file: certificates to trust instead of the system's, PEM; TLS itself comes from the URL.
        tls_cert_file: the certificate to show, PEM.
        tls_key_file: its key, PEM.

    Raises:
        InputError: a value that cannot be one; the message names the setting.
    """

    timeout_s: float = attrs.field(default=5.0, validator=_above_zero)
    pool_size: int = attrs.field(default=16, validator=_above_zero)
    statistics_db: int = attrs.field(default=0, validator=_database)
    live_db: int = attrs.field(default=2, validator=_database)
    freshness_s: float | None = attrs.field(default=None, validator=_above_zero)
    agent_interval_s: float = attrs.field(default=30.0, validator=_above_zero)
    max_entry_bytes: int = attrs.field(default=256 * 1024, validator=_above_zero)
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None

    def __attrs_post_init__(self) -> None:
        """Check what no single setting can."""
        if self.tls_key_file is not None and self.tls_cert_file is None:
            raise InputError("tls_key_file needs tls_cert_file beside it")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], /) -> Self:
        """Build options from settings by name: values from a TOML file, or text from the environment.

        Raises:
            InputError: a setting that is unknown or bad; the message names it.
        """
        if unknown := sorted(settings.keys() - _TYPES.keys()):
            raise InputError(f"the Valkey store has no setting {unknown[0]!r}; its settings are {', '.join(_TYPES)}")
        return cls(**{name: _read(name, value) for name, value in settings.items()})


DEFAULTS: Final = ValkeyOptions()
_TYPES: Final[dict[str, Any]] = get_type_hints(ValkeyOptions)
_SPOKEN: Final = {float: "a number", int: "a whole number", str: "text"}


def _read(name: str, value: object) -> Any:  # noqa: ANN401 - whatever the setting is
    try:
        return msgspec.convert(value, _TYPES[name], strict=False)
    except msgspec.ValidationError:
        spoken = next(word for kind, word in _SPOKEN.items() if str(kind.__name__) in str(_TYPES[name]))
        raise InputError(f"{name} must be {spoken}, not {value!r}") from None
