"""The composition root: settings, opening and closing of stores and backends, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plugins.plugin_modules import OPENERS, ORIGIN, registry_of, settings

from statcore.errors import InputError, PluginError, UnavailableError
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime, open_sink

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
    """Other variables are not read."""
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
    """An empty variable in a shell switches the setting off for one command."""
    assert Settings() == Settings.from_mapping(dict.fromkeys(empty, ""))


def test_a_bad_value_names_its_variable() -> None:
    """The message lists the values that are allowed, and does not show the given one, which may be a secret."""
    with pytest.raises(InputError, match=r"STATCORE_KERNEL_STATISTICS: .*one of store, metrics$") as raised:
        Settings.from_mapping({"STATCORE_KERNEL_STATISTICS": "valkey://:hunter2@h"})
    assert "hunter2" not in str(raised.value)


def test_toml_gives_all_settings_and_the_options_of_the_adapters() -> None:
    """Keys that only the command line reads may be in the same file."""
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
    """The message says what is wrong and what was expected."""
    with pytest.raises(InputError, match=message):
        Settings.from_toml(text)


@given(st.text(max_size=40))
def test_any_text_is_settings_or_an_input_error(text: str) -> None:
    """No other error leaves."""
    result: Any
    try:
        result = Settings.from_toml(text)
    except InputError as error:
        result = error
    assert isinstance(result, Settings | InputError)


PLUGIN = """
from statcore.errors import UnavailableError
from statcore.plugins import MetricBackendSpec, StatisticsStoreSpec, hookimpl
STATCORE_PLUGIN_API = 1
opened = []

class Everything:
    def __init__(self, url, options):
        self.url, self.options, self.closed = url, options, 0
        opened.append(self)

    async def aclose(self):
        self.closed += 1

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        async def method(*arguments, **options):
            pass
        return method

async def both(url, options):
    return Everything(url, options)

async def away(url, options):
    raise UnavailableError("nobody there")

async def fails(url, options):
    raise ZeroDivisionError(f"division by zero at {url}")

async def nothing(url, options):
    pass

def sync(url, options):
    return url

def store(scheme, open, open_sink=None):
    return StatisticsStoreSpec(name=f"{scheme}-store", summary="s", schemes=(scheme,), open=open, open_sink=open_sink)

@hookimpl
def statcore_statistics_stores():
    return [
        store("good", both, both), store("readonly", both), store("away", away, away), store("fails", fails, fails),
        store("nothing", nothing, nothing), store("sync", sync, sync),
    ]

@hookimpl
def statcore_metric_backends():
    return [
        MetricBackendSpec(name=f"{scheme}-backend", summary="s", schemes=(scheme,), open=open)
        for scheme, open in [("good", both), ("away", away), ("fails", fails), ("nothing", nothing), ("sync", sync)]
    ]
"""


@pytest.fixture
def registry(install: Callable[..., Path]) -> PluginRegistry:
    """A registry with stores and backends that behave as their scheme says."""
    return registry_of(install, PLUGIN)


@OPENERS
async def test_the_adapter_of_the_scheme_is_opened_and_closed_once(
    registry: PluginRegistry, opener: Any, setting: str
) -> None:
    """It gets the whole URL and its options; the case of the scheme does not matter."""
    given: Mapping[str, Any] = {
        setting: "GOOD://user:secret@host:1/x",
        setting.replace("_url", "_options"): {"timeout_s": 3},
    }

    async with opener(Settings(**given), registry) as opened:
        assert ("GOOD://user:secret@host:1/x", {"timeout_s": 3}, 0) == (opened.url, opened.options, opened.closed)

    assert 1 == opened.closed


@OPENERS
@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        (None, InputError, r"_url is not set"),
        ("", InputError, r"_url is not set"),
        ("secret", InputError, r"_url has no scheme such as valkey:// or http://$"),
        ("127.0.0.1:6379", InputError, r"_url has no scheme such as valkey:// or http://$"),
        ("//[secret:6379", InputError, r"_url has no scheme such as valkey:// or http://$"),
        ("//secret\uff1a:6379", InputError, r"_url has no scheme such as valkey:// or http://$"),
        ("unknown://secret", InputError, r"there is no [a-z ]+ unknown:; known are: .*good:"),
        ("away://secret", UnavailableError, "^nobody there$"),
        (
            "fails://secret",
            PluginError,
            rf"^fails-[a-z]+ {ORIGIN}: open(_sink)?\(\) raised ZeroDivisionError: division by zero at \*\*\*; at .+:\d+$",
        ),
        (
            "nothing://secret",
            PluginError,
            rf"^nothing-[a-z]+ {ORIGIN}: open(_sink)?\(\) answered NoneType, which lacks .*: expected a [A-Za-z]+Port$",
        ),
    ],
)
async def test_an_error_of_opening_does_not_show_the_url(
    registry: PluginRegistry, opener: Any, setting: str, url: str | None, error: type[Exception], message: str
) -> None:
    """No URL, a URL without a known scheme, and adapters that fail each raise an error of statcore."""
    with pytest.raises(error, match=message) as raised:
        async with opener(settings(**{setting: url}), registry):
            pass

    assert "secret" not in str(raised.value)


async def test_a_store_that_cannot_be_written_is_refused_as_a_sink(registry: PluginRegistry) -> None:
    """The store has no `open_sink`."""
    with pytest.raises(InputError, match="can only be read: readonly-store"):
        async with open_sink(Settings(statistics_url="readonly:"), registry):
            pass


async def test_the_runtime_holds_both_and_closes_both(registry: PluginRegistry) -> None:
    """The repository reads from the store that was opened."""
    async with open_runtime(Settings(statistics_url="good://s", metrics_url="good://m"), registry) as runtime:
        assert runtime.statistics is runtime.repository.source.store
        stores: list[Any] = [runtime.statistics, runtime.metrics]
        assert ["good://s", "good://m"] == [opened.url for opened in stores]

    assert [1, 1] == [opened.closed for opened in stores]


async def test_the_store_is_closed_when_the_backend_fails_to_open(registry: PluginRegistry) -> None:
    """The store, which was opened first, is closed."""
    from acme_all_all import opened  # type: ignore[import-not-found]  # noqa: PLC0415 - the plugin just installed

    with pytest.raises(UnavailableError, match="nobody there"):
        async with open_runtime(Settings(statistics_url="good:", metrics_url="away:"), registry):
            pass

    assert [1] == [store.closed for store in opened]


def test_settings_show_no_secrets() -> None:
    """The `repr` of a Settings value has neither URLs nor options."""
    settings = Settings(
        statistics_url="valkey://u:secret@h",
        metrics_url="http://u:secret@h",
        statistics_options={"password": "secret"},
        metrics_options={"token": "secret"},
    )

    assert "Settings(kernel_statistics='store')" == repr(settings)


@OPENERS
@pytest.mark.parametrize("text", ["fails://u:se%20cret@h:1", "se%20cret", "wrong: se cret!", "u:se%20cret"])
async def test_an_error_of_open_hides_the_password(
    registry: PluginRegistry, opener: Any, setting: str, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """It is hidden as it is written in the URL, and as it is meant."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    def fail(_: str) -> str:
        raise ValueError(text)

    monkeypatch.setattr(acme_all_all, "ZeroDivisionError", fail, raising=False)
    with pytest.raises(PluginError, match=r"raised ValueError: (wrong: )?\*\*\*!?; at") as raised:
        async with opener(settings(**{setting: "fails://u:se%20cret@h:1"}), registry):
            pass
    assert "cret" not in str(raised.value)


@OPENERS
async def test_later_errors_and_answers_hide_the_password(
    registry: PluginRegistry, opener: Any, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is hidden in errors of methods, and so is an option that is a secret; the answer of `open` is not shown."""
    import acme_all_all  # noqa: PLC0415 - the plugin just installed

    def fail(self: Any) -> None:
        raise ValueError(f"{self.url} refused {self.options['api_token']}")

    given: Any = {setting: "good://u:se%20cret@h:1", setting.replace("_url", "_options"): {"api_token": "t-secret"}}
    monkeypatch.setattr(acme_all_all.Everything, "aclose", fail)
    with pytest.raises(PluginError, match=r"aclose\(\) raised ValueError: \*\*\* refused \*\*\*; at"):
        async with opener(Settings(**given), registry):
            pass
    with pytest.raises(PluginError, match=r"open(_sink)?\(\) answered str instead of being async"):
        async with opener(Settings(**given | {setting: "sync://u:se%20cret@h:1"}), registry):
            pass
