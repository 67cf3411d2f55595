"""Options of the adapters of network servers: which settings are accepted and refused, and that none shows a secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from statcore.errors import InputError
from statcore_prometheus import PrometheusOptions
from statcore_valkey import ValkeyOptions, ValkeyStatistics

SECRET = "hunter2"  # noqa: S105 - the secret that must not show
FILES = ["password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"]
VALKEY: dict[str, Any] = {
    "timeout_s": 2.5,
    "pool_size": 3,
    "statistics_db": 4,
    "live_db": 5,
    "freshness_s": 60.0,
    "ages": True,
    "agent_interval_s": 3.0,
    "max_entry_bytes": 1_000,
    **{file: f"/{file}" for file in FILES},
}
PROMETHEUS: dict[str, Any] = {
    "timeout_s": 2,
    "fallback_urls": ["http://b:9090"],
    "headers": {"X-Scope-OrgID": "a|b"},
    "gzip": True,
    "parameters": {"max_source_resolution": "5m"},
    "tenant_header": "THANOS-TENANT",
    "dedup": False,
    "partial_response": True,
}
NOT_LINES = ("", "a\nb", 7)
BAD: dict[type, dict[str, Sequence[Any]]] = {
    ValkeyOptions: {
        "timeout_s": [0, "soon", None, 10**400],
        **dict.fromkeys(("pool_size", "max_entry_bytes"), (0, 1.5, 2**53)),
        **dict.fromkeys(("statistics_db", "live_db"), (-1, "two", 2**31)),
        **dict.fromkeys(("freshness_s", "agent_interval_s"), (0, "fresh")),
        "ages": ["yes", 1, None],
        **dict.fromkeys(FILES, NOT_LINES),
    },
    PrometheusOptions: {
        **dict.fromkeys(("timeout_s", "failback_s", "normalization_interval_s"), ("soon", 0, -1.0, True, None)),
        **dict.fromkeys(("attempts", "max_answer_bytes", "max_connections"), (0, 1.5, "many")),
        **dict.fromkeys(("max_points", "max_range_points", "max_range_requests"), (0, 1.5, "many")),
        **dict.fromkeys(("strict", "gzip", "tls_verify", "dedup", "partial_response"), ("maybe", "", 1)),
        "fallback_urls": [[1], [""], {}, 7],
        "headers": [
            *([], "X Y=z", {"X-Y": 1}, {1: "x"}, {"X-Y": ""}, {"X-Y": "a\r\nb: c"}),
            *({name: "x"} for name in ("", "Accept-Encoding", "content-length", "X\n")),
        ],
        "parameters": [[], "dedup=1", {"dedup": ""}, {"": "1"}, {"dedup": 1}, {"a": "b\n"}],
        "username": ["", "ann", "a:b", 7],
        "password": ["", SECRET],
        "bearer_token": NOT_LINES,
        **dict.fromkeys((*FILES, "bearer_token_file"), NOT_LINES),
    },
}

both_options = pytest.mark.parametrize(
    ("options", "settings"), [(ValkeyOptions, VALKEY), (PrometheusOptions, PROMETHEUS)], ids=["Valkey", "Prometheus"]
)


@both_options
def test_settings_are_fields_by_name(options: Any, settings: dict[str, Any]) -> None:
    """Each setting is the option of the same name; without settings each has its default."""
    assert options(**settings) == options.from_settings(settings)
    assert options() == options.from_settings({})


def test_the_databases_are_those_of_the_wire_format() -> None:
    """By default there is no freshness bound."""
    options = ValkeyOptions()
    assert (0, 2, None) == (options.statistics_db, options.live_db, options.freshness_s)


@pytest.mark.parametrize(
    ("options", "setting", "value"),
    [(options, setting, value) for options, bad in BAD.items() for setting, values in bad.items() for value in values],
)
def test_a_bad_setting_is_named(options: Any, setting: str, value: Any) -> None:
    """The error names the setting, and does not show its value, which may be a secret."""
    certificate = {"tls_cert_file": "cert.pem"} if setting == "tls_key_file" else {}
    with pytest.raises(InputError, match=f"^{setting}") as caught:
        options.from_settings({**certificate, setting: value})
    assert SECRET not in str(caught.value)


@both_options
def test_a_key_file_needs_its_certificate(options: Any, settings: dict[str, Any]) -> None:
    """A key without its certificate is refused."""
    without = {name: value for name, value in settings.items() if name != "tls_cert_file"}
    with pytest.raises(InputError, match="tls_key_file is set but tls_cert_file is not"):
        options(**{**without, "tls_key_file": "/key.pem"})


@both_options
def test_options_can_be_keys(options: Any, settings: dict[str, Any]) -> None:
    """Equal options have equal hashes, although mappings have none; different options differ."""
    others = [{name: value} for name, value in settings.items() if name != "tls_key_file"]
    assert 1 == len({options(**settings), options(**settings)})
    assert 1 + len(others) == len({options(), *(options(**other) for other in others)})


@pytest.mark.parametrize("setting", [field.name for field in attrs.fields(ValkeyOptions)])
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text], lambda text: {text: text}, str.encode])
def test_a_secret_in_the_wrong_setting_is_not_shown(setting: str, wrap: Callable[[str], object]) -> None:
    """No error and no `repr` of Valkey shows it, in any setting and any shape; tests/faults has those of Prometheus."""
    settings = {"tls_cert_file": "/cert.pem"} if setting == "tls_key_file" else {}
    shown = ""
    try:
        options = ValkeyOptions.from_settings({**settings, setting: wrap(SECRET)})
        shown += repr(options)
        shown += repr(ValkeyStatistics.from_url("valkeys://127.0.0.1:1", options=options))
    except InputError as error:
        shown += f"{error}{error!r}"
    assert shown
    assert SECRET not in shown


def test_secrets_of_prometheus_are_not_shown() -> None:
    """A `repr` hides passwords, tokens, headers, parameters and URLs."""
    options = [
        PrometheusOptions(username="ann", password=SECRET, fallback_urls=(f"http://ann:{SECRET}@b",)),
        PrometheusOptions(bearer_token=SECRET, headers={"X-Key": SECRET}, parameters={"key": SECRET}),
    ]
    assert SECRET not in repr(options)


@pytest.mark.parametrize("name", ["time", "start", "end", "query"])
def test_parameters_of_calls_cannot_be_set(name: str) -> None:
    """A fixed time would answer another query than the one that was made."""
    with pytest.raises(InputError, match=rf"^parameters must not hold {name}, which each call sets itself$"):
        PrometheusOptions(parameters={"dedup": "1", name: "1"})
    assert {"step": "1m"} == dict(PrometheusOptions(parameters={"step": "1m"}).parameters)


@pytest.mark.parametrize(
    "settings",
    [
        {"username": "ann", "password": "x", "bearer_token": "y"},
        {"bearer_token": "y", "headers": {"AUTHORIZATION": "z"}},
        {"username": "ann", "password": "x", "headers": {"Authorization": "z"}},
    ],
)
def test_two_ways_to_authenticate_exclude_each_other(settings: dict[str, Any]) -> None:
    """Only one of them can be sent."""
    with pytest.raises(InputError, match=r"bearer_token, username and .* exclude each other"):
        PrometheusOptions(**settings)


@pytest.mark.parametrize("name", ["headers", "parameters"])
def test_mappings_do_not_change(name: str) -> None:
    """A change of the mapping that was passed in has no effect, and that of the options cannot be changed."""
    given = {"X-Key": "a"}
    mapping = getattr(PrometheusOptions(**{name: given}), name)  # type: ignore[arg-type]
    given["X-Key"] = "b"
    assert {"X-Key": "a"} == dict(mapping)
    with pytest.raises(TypeError):
        mapping["X-Key"] = "c"


def test_the_clock_makes_no_difference() -> None:
    """Options are equal by their settings."""
    assert PrometheusOptions(clock=lambda: 1.0) == PrometheusOptions(clock=lambda: 2.0)
