"""Options: which settings are accepted and refused."""

from __future__ import annotations

from typing import Any

import pytest

from statcore.errors import InputError
from statcore_prometheus import PrometheusOptions

SECRET = "abcdefghijkl"  # noqa: S105 - the secret that must not show
FILES = ["password_file", "bearer_token_file", "tls_ca_file", "tls_cert_file", "tls_key_file"]
COUNTS = ["max_answer_bytes", "max_points", "max_range_points", "max_range_requests", "max_connections"]


def test_settings_are_fields_by_name() -> None:
    """Lists and tables of a file become immutable values."""
    settings = {"timeout_s": 2, "fallback_urls": ["http://b:9090"], "headers": {"X-Scope-OrgID": "a|b"}, "gzip": True}
    options = PrometheusOptions.from_settings(settings)
    assert (2, ("http://b:9090",), {"X-Scope-OrgID": "a|b"}, True) == (
        options.timeout_s,
        options.fallback_urls,
        dict(options.headers),
        options.gzip,
    )
    with pytest.raises(TypeError):
        options.headers["X-Scope-OrgID"] = "c"  # type: ignore[index]


def test_no_settings_are_the_defaults() -> None:
    """Every setting has a default."""
    assert PrometheusOptions() == PrometheusOptions.from_settings({})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *[("timeout_s", value) for value in ("soon", "0", "-1", "nan", "inf", 0, -1.0, True, None, [])],
        *[("attempts", value) for value in ("0", "1.5", "", 0, 2.0, True, None)],
        *[("max_answer_bytes", value) for value in ("1 MiB", -1)],
        *[("strict", value) for value in ("maybe", "", 1, None)],
        *[("gzip", value) for value in ("maybe", 0)],
        *[("fallback_urls", value) for value in ([1], [""], {}, 7)],
        *[("headers", value) for value in ([], "X Y=z", "=z", "X-Y", "X-Y=", {"X-Y": 1}, {1: "x"}, {"X-Y": "a\r\nb: c"})],
        *[("headers", {name: "x"}) for name in ("Accept-Encoding", "content-length", "X\n")],
        *[("parameters", value) for value in ([], "dedup=1", {"dedup": ""}, {"": "1"}, {"dedup": 1}, {"a": "b\n"})],
        *[("bearer_token", value) for value in ("", "two\nlines", 7)],
        *[("username", value) for value in ("", "ann", "a:b", 7)],
        *[("password", value) for value in ("", SECRET)],
        *[(file, value) for file in FILES for value in ("", "a\nb", 7)],
        *[(field, value) for field in COUNTS for value in (0, 1.5, "many")],
        *[("failback_s", 0), ("normalization_interval_s", -1.0), ("tls_verify", "no")],
        ("tls_key_file", "key.pem"),
    ],
)
def test_a_bad_setting_is_named(setting: str, value: Any) -> None:
    """The error names the setting, and does not show its value, which may be a secret."""
    certificate = {"tls_cert_file": "cert.pem"} if setting == "tls_key_file" and value != "key.pem" else {}
    with pytest.raises(InputError, match=setting) as caught:
        PrometheusOptions.from_settings({**certificate, setting: value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["time", "start", "end", "query"])
def test_parameters_of_calls_cannot_be_set(name: str) -> None:
    """A fixed time would answer another query than the one that was made."""
    with pytest.raises(InputError, match=rf"^parameters must not hold {name}, which each call sets itself$"):
        PrometheusOptions(parameters={"dedup": "1", name: "1"})
    assert {"step": "1m"} == dict(PrometheusOptions(parameters={"step": "1m"}).parameters)


def test_an_unknown_setting_is_named() -> None:
    """The error lists the known settings."""
    with pytest.raises(InputError, match=r"'time_out'.*timeout_s") as caught:
        PrometheusOptions.from_settings({"time_out": 1})
    assert "strict" in str(caught.value)


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
    with pytest.raises(InputError, match="exclude each other") as caught:
        PrometheusOptions(**settings)
    assert "bearer_token, username" in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """A `repr` hides passwords, tokens, headers, parameters and URLs."""
    options = [
        PrometheusOptions(username="ann", password=SECRET, fallback_urls=(f"http://ann:{SECRET}@b",)),
        PrometheusOptions(bearer_token=SECRET, headers={"X-Key": SECRET}, parameters={"key": SECRET}),
    ]
    assert SECRET not in repr(options)


def test_options_do_not_change() -> None:
    """A change of the mapping that was passed in has no effect."""
    given = {"X-Key": "a"}
    options = PrometheusOptions(headers=given, parameters=given)
    given["X-Key"] = "b"
    for mapping in (options.headers, options.parameters):
        assert {"X-Key": "a"} == dict(mapping)
        with pytest.raises(TypeError):
            mapping["X-Key"] = "c"  # type: ignore[index]


def test_options_can_be_keys() -> None:
    """Equal options have equal hashes, although mappings have none; the clock makes no difference."""
    settings: dict[str, Any] = {
        "headers": {"X-Scope-OrgID": "a"},
        "parameters": {"dedup": "1"},
        "fallback_urls": ["http://b"],
    }
    assert 1 == len({PrometheusOptions(**settings), PrometheusOptions(**settings)})
    assert 2 == len({PrometheusOptions(**settings), PrometheusOptions(**settings, gzip=True)})
    assert 1 == len({PrometheusOptions(clock=lambda: 1.0), PrometheusOptions(clock=lambda: 2.0)})
    assert 2 == len({PrometheusOptions(headers={"a": "1"}), PrometheusOptions(headers={"a": "2"})})
