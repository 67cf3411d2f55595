"""The composition root: opens what a `Settings` value names, and closes it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self, TypeVar, cast
from urllib.parse import unquote

import attrs

from statcore.errors import InputError
from statcore.model.validation import read_toml, toml_table, toml_text
from statcore.plugins.checked_ports import (
    Contributor,
    answer_of,
    checked_metrics,
    checked_sink,
    checked_statistics,
    closing,
)
from statcore.plugins.hooks import Options
from statcore.plugins.registry import PluginRegistry
from statcore.plugins.report import PluginReport
from statcore.ports.inventory import InventoryPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import as_promql
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.repository import StatisticsRepositories, StatisticsRepository
from statcore.statistics.series_inventory import SeriesInventory

_Port = TypeVar("_Port")
_KERNEL_STATISTICS: Final = ("store", "metrics")
_TEXTS: Final = ("statistics_url", "metrics_url", "kernel_statistics")
_TABLES: Final = {"statistics": "statistics_options", "metrics": "metrics_options"}
_COMMAND_LINE_ONLY: Final = ("rate_interval", "disable_plugins", "presets", "serve", "limits")
"""Keys and tables that only the command line reads, from the same file."""
VARIABLE_PREFIX: Final = "STATCORE_"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_SECRET: Final = re.compile("password|secret|token|credential")
"""A word in the name of an option with a secret value."""


def _check_kernel_statistics(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value not in _KERNEL_STATISTICS:
        raise InputError(f"{field.name} must be one of {', '.join(_KERNEL_STATISTICS)}")


@attrs.frozen(kw_only=True)
class Settings:
    """Which store and which metric backend to open; `repr` shows no URL and no options, which may hold secrets.

    Args:
        statistics_url: the store; its scheme chooses the adapter. A host that reads no live statistics leaves it out.
        metrics_url: the metric backend; its scheme chooses the adapter. A host that queries no metrics leaves it out.
        statistics_options: the options of the store's adapter, by name.
        metrics_options: the options of the backend's adapter, by name.
        kernel_statistics: where a runtime's repository reads the statistics of kernels: from the `store`, or from the
            samples of the `metrics` backend, which has kernels only and nothing under the id of a session. All other
            statistics come from the store.

    Raises:
        InputError: another value for `kernel_statistics`.
    """

    statistics_url: str | None = attrs.field(default=None, repr=False)
    metrics_url: str | None = attrs.field(default=None, repr=False)
    statistics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    metrics_options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)
    kernel_statistics: Literal["store", "metrics"] = attrs.field(default="store", validator=_check_kernel_statistics)

    @classmethod
    def from_mapping(cls, variables: Mapping[str, str]) -> Self:
        """Read environment variables, for example `os.environ`; the options of adapters have none.

        Args:
            variables: `STATCORE_STATISTICS_URL`, `STATCORE_METRICS_URL` and `STATCORE_KERNEL_STATISTICS` are read; one
                that is empty counts as not set. Other variables are not read.

        Raises:
            InputError: a value that cannot be used; the message names its variable.
        """
        given = {
            name: variables[variable] for name in _TEXTS if variables.get(variable := f"{VARIABLE_PREFIX}{name.upper()}")
        }
        try:
            return cls(**cast("dict[str, Any]", given))
        except InputError as error:
            raise InputError(f"{VARIABLE_PREFIX}KERNEL_STATISTICS: {error}") from error

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read the settings from the text of a TOML file, which the caller has read.

        Args:
            text: `statistics_url`, `metrics_url` and `kernel_statistics` as text, and the tables `[statistics]` and
                `[metrics]` with the options of the adapters. Keys that only the command line reads may be there too.

        Raises:
            InputError: the text is not TOML, a key is not known, or a value cannot be used; the message names the key.
        """
        document = read_toml(text)
        given: dict[str, Any] = {}
        for key, value in document.items():
            if key in _TEXTS:
                given[key] = toml_text(value, key)
            elif key in _TABLES:
                given[_TABLES[key]] = toml_table(value, key)
            elif key not in _COMMAND_LINE_ONLY:
                known = ", ".join((*_TEXTS, *_COMMAND_LINE_ONLY, *(f"[{table}]" for table in _TABLES)))
                raise InputError(f"{key}: no such setting; known are {known}")
        return cls(**given)


@attrs.frozen(kw_only=True)
class Runtime:
    """The open store, the repository over it, the open metric backend, and an inventory that is read from its series.

    A manager that knows which sessions, kernels and endpoints exist uses an `InventoryPort` of its own instead of
    `inventory`.
    """

    statistics: StatisticsPort
    repository: StatisticsRepository
    metrics: MetricQuerierPort
    inventory: InventoryPort


def url_scheme(url: str | None, *, setting: str) -> str:
    """Return the scheme of a URL in lower case.

    Raises:
        InputError: there is no URL, or it has no scheme; the message names the setting and never shows the URL.
    """
    if not url:
        raise InputError(f"{setting} is not set; expected a URL such as valkey://127.0.0.1:6379 or http://127.0.0.1:9090")
    scheme, colon, _ = url.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise InputError(f"{setting} has no scheme such as valkey:// or http://")
    return scheme.lower()


@asynccontextmanager
async def open_statistics(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[StatisticsPort]:
    """Open the store that `settings.statistics_url` names for reading.

    Raises:
        InputError: the URL is not set, or there is no adapter for its scheme.
        MissingExtraError: the driver of the adapter is not installed.
        PluginError: the adapter breaks its contract. If another distribution than statcore contributes it, the methods of
            the opened object raise this error, too.
    """
    url, options = settings.statistics_url, settings.statistics_options
    scheme = url_scheme(url, setting="statistics_url")
    spec, plugin = registry.statistics_store(scheme), registry.statistics_store_origin(scheme)
    async with _open(spec.open, url, options, name=spec.name, plugin=plugin, checked=checked_statistics) as store:
        yield store


@asynccontextmanager
async def open_sink(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[StatisticsSinkPort]:
    """Open the store that `settings.statistics_url` names for writing.

    Raises:
        InputError: the URL is not set, there is no adapter for its scheme, or the store is read only.
        MissingExtraError: the driver of the adapter is not installed.
        PluginError: the adapter breaks its contract. If another distribution than statcore contributes it, the methods of
            the opened object raise this error, too.
    """
    url, options = settings.statistics_url, settings.statistics_options
    scheme = url_scheme(url, setting="statistics_url")
    spec, plugin = registry.statistics_store(scheme), registry.statistics_store_origin(scheme)
    if (factory := spec.open_sink) is None:
        raise InputError(f"statistics_url names a store that can only be read: {spec.name}")
    async with _open(
        factory, url, options, name=spec.name, plugin=plugin, checked=checked_sink, method="open_sink"
    ) as sink:
        yield sink


@asynccontextmanager
async def open_metrics(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[MetricQuerierPort]:
    """Open the backend that `settings.metrics_url` names.

    Raises:
        InputError: the URL is not set, or there is no adapter for its scheme.
        MissingExtraError: the driver of the adapter is not installed.
        PluginError: the adapter breaks its contract. If another distribution than statcore contributes it, the methods of
            the opened object raise this error, too.
    """
    url, options = settings.metrics_url, settings.metrics_options
    scheme = url_scheme(url, setting="metrics_url")
    spec, plugin = registry.metric_backend(scheme), registry.metric_backend_origin(scheme)
    async with _open(spec.open, url, options, name=spec.name, plugin=plugin, checked=checked_metrics) as backend:
        yield backend


@asynccontextmanager
async def open_runtime(settings: Settings, registry: PluginRegistry) -> AsyncGenerator[Runtime]:
    """Open everything that a manager reads with.

    Raises:
        InputError: a URL is not set, or there is no adapter for its scheme.
        MissingExtraError: the driver of an adapter is not installed.
        PluginError: an adapter breaks its contract.
        UnsupportedError: `settings.kernel_statistics` is `metrics`, and the backend evaluates no PromQL.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_statistics(settings, registry))
        metrics = await stack.enter_async_context(open_metrics(settings, registry))
        kernels = None
        if settings.kernel_statistics == "metrics":
            kernels = KernelLiveStatService(as_promql(metrics, reason="kernel_statistics is metrics"))
        repository = StatisticsRepositories.create(store, kernels=kernels).repository
        inventory = SeriesInventory(metrics, clock=lambda: datetime.now(UTC))
        yield Runtime(statistics=store, repository=repository, metrics=metrics, inventory=inventory)


@asynccontextmanager
async def _open(
    factory: Callable[[str, Options], Awaitable[_Port]],
    url: str | None,
    options: Options,
    *,
    name: str,
    plugin: PluginReport,
    checked: Callable[[object, Contributor], _Port],
    method: str = "open",
) -> AsyncGenerator[_Port]:
    """Open a store or a backend and close it afterwards; the adapter of another distribution is checked."""
    contributor = Contributor(name, plugin, _secrets(url, options))
    with contributor.blamed_for(method):
        opened = await answer_of(factory(url or "", options))
    async with closing(opened, contributor):
        yield cast("_Port", opened) if plugin.is_ours else checked(opened, contributor)


def _secrets(url: str | None, options: Options) -> list[str]:
    """Return the texts of a URL and of options that no message may show, the longest first."""
    credentials, at, _ = (url or "").partition("://")[2].rpartition("@")
    password = credentials.partition(":")[2] if at else ""
    named = [value for name, value in options.items() if _SECRET.search(name) and isinstance(value, str)]
    return sorted(filter(None, {url, credentials, password, unquote(password), *named}), key=len, reverse=True)
