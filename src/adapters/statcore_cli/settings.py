"""Settings, each with its origin: an option wins over the environment, which wins over the file."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

import attrs

from statcore.errors import InputError
from statcore.model.time import parse_duration
from statcore.model.validation import read_toml, shown, toml_table, toml_text
from statcore.promql.utilization import NORMALIZATION_INTERVAL_S, RATE_INTERVAL
from statcore.runtime import Settings
from statcore_cli.command_line import SettingName, flag, variable

MAX_FILE_LENGTH: Final = 1_000_000
"""The most characters that a file of settings or presets may have."""


@contextmanager
def errors_prefixed_with(origin: str) -> Generator[None]:
    """Raise an `InputError` of the block again, with the origin of the refused value in front of its message.

    Raises:
        InputError: the block raised one; the new message begins with the origin.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error


@attrs.frozen
class Setting:
    """A value, and its origin: an option, an environment variable, or a key of a file."""

    value: str = attrs.field(repr=False)
    origin: str


@attrs.frozen(kw_only=True)
class CliSettings:
    """The settings of one call of the program; None is a setting without a value.

    Args:
        disabled: the names of the plugins that are not loaded.
        presets: one setting per file of presets.
        token_file: the file of tokens.
        statistics_options: the options of the store, from the table `[statistics]`.
        metrics_options: the options of the metric backend, from the table `[metrics]`.
        serve: the settings of `statcore serve` alone, from the table `[serve]`.
        limits: the limits of its requests, from the table `[limits]`.
        file: the file of settings that was read.
    """

    statistics_url: Setting | None = None
    metrics_url: Setting | None = None
    rate_interval: Setting
    kernel_statistics: Setting
    disabled: frozenset[str] = frozenset()
    presets: tuple[Setting, ...] = ()
    token_file: Setting | None = None
    statistics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    metrics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    serve: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    limits: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    file: str | None = None

    @classmethod
    def read(cls, options: Mapping[str, str], environment: Mapping[str, str]) -> Self:
        """Read the settings from options by name, the environment, and the file that `config` names.

        Raises:
            InputError: a value cannot be used, or a file cannot be read; the message begins with the origin.
        """
        config = _first("config", options, environment)
        path = config.value if config else ""
        text = "" if config is None else read_file(config)
        with errors_prefixed_with(path):
            document, in_file = read_toml(text), Settings.from_toml(text)

        def find(name: SettingName) -> Setting | None:
            found = _first(name, options, environment)
            if found is None and name in document:
                return Setting(toml_text(document[name], f"{path}: {name}"), f"{name} in {path}")
            return found

        serve = toml_table(document.get("serve", {}), f"{path}: serve")
        rate_interval = find("rate_interval") or Setting(RATE_INTERVAL, "the default")
        try:
            parse_duration(rate_interval.value)
        except InputError:
            raise InputError(f"{rate_interval.origin}: expected a duration such as 5m, 1h30m or 500ms") from None
        kernel_statistics = find("kernel_statistics") or Setting(in_file.kernel_statistics, "the default")
        with errors_prefixed_with(kernel_statistics.origin):
            Settings(kernel_statistics=cast("Any", kernel_statistics.value))
        return cls(
            statistics_url=find("statistics_url"),
            metrics_url=find("metrics_url"),
            rate_interval=rate_interval,
            kernel_statistics=kernel_statistics,
            disabled=_disabled(_first("disable_plugins", options, environment), document, path),
            presets=_presets(_first("presets", options, environment), document, path),
            token_file=_first("token_file", options, environment) or _in_folder(serve, "token_file", path),
            statistics_options=in_file.statistics_options,
            metrics_options=in_file.metrics_options,
            serve={name: value for name, value in serve.items() if name != "token_file"},
            limits=toml_table(document.get("limits", {}), f"{path}: limits"),
            file=path or None,
        )

    @property
    def normalization_interval_s(self) -> float:
        """The backend's divisor of normalized rates, from the table `[metrics]`.

        Raises:
            InputError: the setting is not a number.
        """
        value = self.metrics_options.get("normalization_interval_s", NORMALIZATION_INTERVAL_S)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"normalization_interval_s in {self.file}: expected seconds, not {shown(value)}") from None


def _first(name: SettingName, options: Mapping[str, str], environment: Mapping[str, str]) -> Setting | None:
    if name in options:
        return Setting(options[name], flag(name))
    # An empty variable counts as not set: `NAME= statcore …` is how a shell removes one for a single command.
    value = environment.get(variable(name))
    return Setting(value, variable(name)) if value else None


def read_file(file: Setting) -> str:
    """Return the text of the file that a setting names.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or has more than `MAX_FILE_LENGTH` characters.
    """
    try:
        with Path(file.value).open(encoding="utf-8-sig") as opened:
            text = opened.read(MAX_FILE_LENGTH + 1)
    except OSError as error:
        raise InputError(f"{file.origin}: cannot read {address(file.value)}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file.origin}: {address(file.value)} is not TOML: {error}") from error
    if len(text) > MAX_FILE_LENGTH:
        raise InputError(f"{file.origin}: {address(file.value)} has more than {MAX_FILE_LENGTH} characters")
    return text


def _in_folder(table: Mapping[str, Any], name: str, path: str) -> Setting | None:
    """Return the path of a file in the table `[serve]`, relative to the file of settings."""
    if name not in table:
        return None
    return Setting(str(Path(path).parent / toml_text(table[name], f"{path}: serve.{name}")), f"{name} in [serve] of {path}")


def _disabled(given: Setting | None, document: Mapping[str, Any], path: str) -> frozenset[str]:
    return frozenset(_split(given) if given else _texts(document, "disable_plugins", path))


def _presets(given: Setting | None, document: Mapping[str, Any], path: str) -> tuple[Setting, ...]:
    if given is not None:
        return tuple(Setting(file, given.origin) for file in _split(given))
    files = (Path(path).parent / file for file in _texts(document, "presets", path))
    return tuple(Setting(str(file), f"presets in {path}") for file in files)


def _split(given: Setting) -> list[str]:
    return [name.strip() for name in given.value.split(",") if name.strip()]


def _texts(document: Mapping[str, Any], key: str, path: str) -> list[str]:
    names = document.get(key, [])
    if not isinstance(names, list):
        raise InputError(f"{path}: {key}: expected a list of names, not {type(names).__name__}")
    return [toml_text(name, f"{path}: {key}") for name in cast("list[object]", names)]


def address(url: str) -> str:
    """Return a URL without user, password, query and fragment, safe to show."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
