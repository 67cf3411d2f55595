"""The settings of a command, their origins, and the errors about bad values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore_cli.settings import CliSettings, Setting, address

PLACES = ("option", "environment", "file")


@given(places=st.sets(st.sampled_from(PLACES), min_size=1))
def test_an_option_beats_the_environment_which_beats_the_file(
    tmp_path_factory: pytest.TempPathFactory, places: set[str]
) -> None:
    """In every combination the first of the three wins, and the setting knows its origin."""
    file = tmp_path_factory.mktemp("settings") / "statcore.toml"
    file.write_text(
        'metrics_url = "file:"\nrate_interval = "3m"\ndisable_plugins = ["file"]\npresets = ["file"]'
        if "file" in places
        else ""
    )
    given_options = {"metrics_url": "option:", "rate_interval": "1m", "disable_plugins": "option", "presets": "option"}
    variables = {
        f"STATCORE_{name.upper()}": value.replace("option", "environment") for name, value in given_options.items()
    }
    options = given_options if "option" in places else {}
    environment = variables if "environment" in places else {}

    settings = CliSettings.read(options, {**environment, "STATCORE_CONFIG": str(file)})

    winner = min(places, key=PLACES.index)
    origins = {"option": "--metrics-url", "environment": "STATCORE_METRICS_URL", "file": f"metrics_url in {file}"}
    assert Setting(f"{winner}:", origins[winner]) == settings.metrics_url
    assert {winner} == settings.disabled
    presets = {"option": "--presets", "environment": "STATCORE_PRESETS", "file": f"presets in {file}"}
    assert (Setting(str(file.parent / "file") if winner == "file" else winner, presets[winner]),) == settings.presets
    assert ("3m" if winner == "file" else "1m") == settings.rate_interval.value


def test_settings_without_values_are_none() -> None:
    """Two settings have defaults; an empty variable counts as not set."""
    settings = CliSettings.read({}, {"STATCORE_METRICS_URL": "", "STATCORE_CONFIG": "", "STATCORE_DISABLE_PLUGINS": ""})

    rate_interval, kernel_statistics = (Setting(value, "the default") for value in ("5m", "store"))
    assert CliSettings(rate_interval=rate_interval, kernel_statistics=kernel_statistics) == settings


def test_tables_become_the_adapters_options(tmp_path: Path) -> None:
    """They are passed on unchanged; the adapters check them."""
    file = tmp_path / "statcore.toml"
    file.write_text("[statistics]\ntimeout_s = 2.5\n[metrics]\nheaders = {X = 'y'}\n")

    settings = CliSettings.read({"config": str(file)}, {})

    assert {"timeout_s": 2.5} == settings.statistics_options
    assert {"headers": {"X": "y"}} == settings.metrics_options


def test_names_and_files_are_separated_by_commas() -> None:
    """Spaces and empty names are ignored; paths of the command line are not changed."""
    settings = CliSettings.read({"presets": " a.toml,,/b/c.toml ,"}, {"STATCORE_DISABLE_PLUGINS": " a,,b ,"})

    assert {"a", "b"} == settings.disabled
    assert ["a.toml", "/b/c.toml"] == [file.value for file in settings.presets]


def test_files_that_a_file_names_are_relative_to_it(tmp_path: Path) -> None:
    """An absolute path is not changed, and a path may contain commas."""
    file = tmp_path / "statcore.toml"
    file.write_text("presets = ['a,b.toml', 'more/c.toml', '/d.toml']")

    settings = CliSettings.read({"config": str(file)}, {})

    expected = [str(tmp_path / "a,b.toml"), str(tmp_path / "more" / "c.toml"), "/d.toml"]
    assert expected == [file.value for file in settings.presets]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("statistic_url = 'x'", "FILE: statistic_url: no such setting; known are statistics_url, metrics_url, kernel_"),
        ("= nonsense", "FILE: not TOML: "),
        ("a = '\xff'", "--config: FILE is not TOML: "),
        ("metrics_url = 5", "FILE: metrics_url: expected a non-empty text, not int"),
        ("rate_interval = '5 minutes'", "rate_interval in FILE: expected a duration such as 5m"),
        ("disable_plugins = 'x'", "FILE: disable_plugins: expected a list of names, not str"),
        ("presets = 'x'", "FILE: presets: expected a list of names, not str"),
        ("presets = ['']", "FILE: presets: expected a non-empty text, not str"),
        ("disable_plugins = [1]", "FILE: disable_plugins: expected a non-empty text, not int"),
    ],
)
def test_a_bad_file_names_the_setting(tmp_path: Path, content: str, message: str) -> None:
    """The message is one line that names the file, too."""
    file = tmp_path / "statcore.toml"
    file.write_bytes(content.encode("latin-1"))

    with pytest.raises(InputError) as raised:
        CliSettings.read({"config": str(file)}, {})

    assert str(raised.value).startswith(message.replace("FILE", str(file)))


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ({"rate_interval": "0s"}, {}, "--rate-interval: expected a duration such as 5m"),
        ({}, {"STATCORE_RATE_INTERVAL": "x"}, "STATCORE_RATE_INTERVAL: expected a duration such as 5m"),
        ({}, {"STATCORE_CONFIG": "/no/such/file"}, "STATCORE_CONFIG: cannot read /no/such/file: No such file or directory"),
    ],
)
def test_a_bad_value_names_its_origin(options: dict[str, str], environment: dict[str, str], message: str) -> None:
    """The origin is an option or a variable."""
    with pytest.raises(InputError, match=message):
        CliSettings.read(options, environment)


@given(
    user=st.sampled_from(["", "u:secret@", ":secret@", "u:sec@ret@", "secret@"]),
    query=st.sampled_from(["", "?password=secret", "?db=0&token=secret#secret"]),
)
def test_an_address_holds_no_secret(user: str, query: str) -> None:
    """User, password, query and fragment are removed."""
    assert "valkey://host:6379/1" == address(f"valkey://{user}host:6379/1{query}")


def test_settings_show_no_secrets(tmp_path: Path) -> None:
    """URLs and options may contain passwords."""
    file = tmp_path / "statcore.toml"
    file.write_text("[metrics]\nbearer_token = 'hunter2'\n[statistics]\npassword = 'hunter2'\n")

    settings = CliSettings.read({"config": str(file), "metrics_url": "http://u:hunter2@h"}, {})

    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("name", ["RATE_INTERVAL", "KERNEL_STATISTICS", "CONFIG"])
@pytest.mark.parametrize("secret", ["valkey://u:hunter2@h", "redis://:hunter2@h/0?password=hunter2"])
def test_a_secret_in_the_wrong_setting_is_not_shown(name: str, secret: str) -> None:
    """The message names the variable."""
    with pytest.raises(InputError, match=f"STATCORE_{name}: ") as raised:
        CliSettings.read({}, {f"STATCORE_{name}": secret})
    assert "hunter2" not in str(raised.value)
