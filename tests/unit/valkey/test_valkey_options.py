"""Settings: what is accepted; each error names the setting."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from statcore.errors import InputError
from statcore_valkey import ValkeyOptions, ValkeyStatistics

SETTINGS = {
    "timeout_s": 2.5,
    "pool_size": 3,
    "statistics_db": 4,
    "live_db": 5,
    "freshness_s": 60.0,
    "agent_interval_s": 3.0,
    "max_entry_bytes": 1_000,
    "password_file": "/password",
    "tls_ca_file": "/ca.pem",
    "tls_cert_file": "/cert.pem",
    "tls_key_file": "/key.pem",
}
FILES = ["password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"]


def test_settings_become_options() -> None:
    """Each setting is the option of the same name."""
    assert ValkeyOptions(**SETTINGS) == ValkeyOptions.from_settings(SETTINGS)  # type: ignore[arg-type]


def test_no_settings_are_the_defaults() -> None:
    """The databases are those of the wire format, and there is no freshness bound."""
    options = ValkeyOptions.from_settings({})
    assert ValkeyOptions() == options
    assert (0, 2, None) == (options.statistics_db, options.live_db, options.freshness_s)


def test_an_unknown_setting_is_named_beside_the_known() -> None:
    """A misspelt setting is an error that lists the known ones."""
    with pytest.raises(InputError, match=r"'timeout'; its settings are timeout_s, pool_size, .*tls_key_file"):
        ValkeyOptions.from_settings({"timeout": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_s", 0),
        ("timeout_s", -1),
        ("timeout_s", "soon"),
        ("timeout_s", "nan"),
        ("timeout_s", "inf"),
        ("timeout_s", True),
        ("timeout_s", None),
        ("timeout_s", ""),
        ("timeout_s", [1]),
        ("timeout_s", 10**400),
        ("statistics_db", 2**31),
        ("max_entry_bytes", 2**53),
        ("pool_size", 0),
        ("pool_size", 1.5),
        ("pool_size", "many"),
        ("statistics_db", -1),
        ("live_db", "two"),
        ("live_db", None),
        ("freshness_s", 0),
        ("freshness_s", "fresh"),
        ("agent_interval_s", -3),
        ("max_entry_bytes", 0),
        *[(file, value) for file in FILES for value in (5, "", "a\nb")],
        *[("ages", "yes"), ("ages", 1), ("ages", None)],
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_bad_setting_is_named(name: str, value: object) -> None:
    """The message starts with the setting."""
    certificate = {"tls_cert_file": "cert.pem"} if name == "tls_key_file" else {}
    with pytest.raises(InputError, match=f"^{name} must be "):
        ValkeyOptions.from_settings({**certificate, name: value})


def test_a_key_file_needs_its_certificate() -> None:
    """A key without its certificate is refused."""
    with pytest.raises(InputError, match="tls_key_file is set but tls_cert_file is not"):
        ValkeyOptions(tls_key_file="/key.pem")


@pytest.mark.parametrize("setting", [field.name for field in attrs.fields(ValkeyOptions)])
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text], lambda text: {text: text}, str.encode])
def test_a_secret_in_the_wrong_setting_is_not_shown(setting: str, wrap: Callable[[str], object]) -> None:
    """No error and no `repr` shows it, in any setting and any shape."""
    settings = {"tls_cert_file": "/cert.pem"} if setting == "tls_key_file" else {}
    shown = ""
    try:
        options = ValkeyOptions.from_settings({**settings, setting: wrap("hunter2")})
        shown += repr(options)
        shown += repr(ValkeyStatistics.from_url("valkeys://127.0.0.1:1", options=options))
    except InputError as error:
        shown += f"{error}{error!r}"
    assert shown
    assert "hunter2" not in shown


def test_options_can_be_keys() -> None:
    """Equal options have equal hashes."""
    assert 2 == len({ValkeyOptions(**SETTINGS), ValkeyOptions(**SETTINGS), ValkeyOptions()})  # type: ignore[arg-type]
