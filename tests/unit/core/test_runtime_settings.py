"""Settings that a host reads from its environment or from a TOML file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.runtime import Settings

TOML = """
statistics_url = "valkey://127.0.0.1:6379"
metrics_url = "http://127.0.0.1:9090"
kernel_statistics = "metrics"
rate_interval = "1m"

[statistics]
freshness_s = 60

[metrics]
headers = { X = "y" }
"""


def test_a_mapping_gives_the_three_settings_that_have_variables() -> None:
    """All other variables are left alone."""
    variables = {
        "STATCORE_STATISTICS_URL": "valkey://s:1",
        "STATCORE_METRICS_URL": "http://m:2",
        "STATCORE_KERNEL_STATISTICS": "metrics",
        "STATCORE_CONFIG": "statcore.toml",
        "PATH": "/bin",
    }
    expected = Settings(statistics_url="valkey://s:1", metrics_url="http://m:2", kernel_statistics="metrics")
    assert expected == Settings.from_mapping(variables)


@given(st.sets(st.sampled_from(["STATCORE_STATISTICS_URL", "STATCORE_METRICS_URL", "STATCORE_KERNEL_STATISTICS"])))
def test_an_empty_variable_counts_as_not_set(empty: set[str]) -> None:
    """A shell switches a variable off for one command in this way."""
    assert Settings() == Settings.from_mapping(dict.fromkeys(empty, ""))


def test_a_bad_value_names_its_variable() -> None:
    """The message says what would do, and does not show the value, which may be a secret of another variable."""
    with pytest.raises(InputError, match=r"STATCORE_KERNEL_STATISTICS: .*one of store, metrics$") as raised:
        Settings.from_mapping({"STATCORE_KERNEL_STATISTICS": "valkey://:hunter2@h"})
    assert "hunter2" not in str(raised.value)


def test_toml_gives_all_settings_and_the_options_of_the_adapters() -> None:
    """What only the command line reads may be in the same file."""
    expected = Settings(
        statistics_url="valkey://127.0.0.1:6379",
        metrics_url="http://127.0.0.1:9090",
        kernel_statistics="metrics",
        statistics_options={"freshness_s": 60},
        metrics_options={"headers": {"X": "y"}},
    )
    assert expected == Settings.from_toml(TOML)
    assert Settings() == Settings.from_toml("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statistic_url = 'x'", "statistic_url: no such setting; known are statistics_url"),
        ("= nonsense", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("metrics_url = 5", "metrics_url: expected a non-empty text, not int"),
        ("metrics_url = ''", "metrics_url: expected a non-empty text, not str"),
        ("metrics = 'x'", "metrics: expected a table, not str"),
        ("kernel_statistics = 'x'", "kernel_statistics must be one of store, metrics"),
    ],
)
def test_bad_toml_names_the_key(text: str, message: str) -> None:
    """One line says what is wrong, and what was expected."""
    with pytest.raises(InputError, match=message):
        Settings.from_toml(text)


@given(st.text(max_size=40))
def test_any_text_is_settings_or_an_input_error(text: str) -> None:
    """Nothing else ever leaves."""
    result: Any
    try:
        result = Settings.from_toml(text)
    except InputError as error:
        result = error
    assert isinstance(result, Settings | InputError)
