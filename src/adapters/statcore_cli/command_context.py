"""The context of a command: its settings, the plugins, and opening the store and the backend that they name."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar, get_args

import attrs
import click

from statcore.errors import InputError
from statcore.plugins.presets import PresetCatalog
from statcore.plugins.registry import PluginRegistry
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import as_promql
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort, reader_with_ages
from statcore.runtime import Runtime, Settings, open_metrics, open_sink, open_statistics, url_scheme
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.repository import StatisticsRepositories, StatisticsRepository
from statcore.statistics.series_inventory import SeriesInventory
from statcore_cli import standard_output
from statcore_cli.command_line import SettingName, flag, variable
from statcore_cli.settings import CliSettings, Setting, errors_prefixed_with, read_file

_T = TypeVar("_T")
_REGISTRIES: Final = "statcore_cli.registries"


@attrs.frozen
class CommandContext:
    """The settings of one command, and the registry of the plugins that they leave enabled."""

    settings: CliSettings
    registry: PluginRegistry

    @classmethod
    def of(cls, ctx: click.Context, *, trial: bool = False) -> CommandContext:
        """Read the settings and discover the plugins; discovery runs once per call of the program.

        Args:
            ctx: click's context of the command; its parents' options count as well.
            trial: whether every kind of querier is tried, as in `PluginRegistry.discover`.

        Raises:
            InputError: a setting cannot be used.
        """
        settings = CliSettings.read(given_options(ctx), os.environ)
        registries: dict[frozenset[str], PluginRegistry] = ctx.meta.setdefault(_REGISTRIES, {})
        if settings.disabled not in registries:
            registries[settings.disabled] = cls.discover(settings, trial=trial).registry
        return cls(settings, registries[settings.disabled])

    @classmethod
    def discover(cls, settings: CliSettings, *, trial: bool = False) -> CommandContext:
        """Discover the plugins that settings leave enabled.

        Args:
            settings: the settings.
            trial: whether every kind of querier is tried, as in `PluginRegistry.discover`.
        """
        with standard_output.plugin_code():
            registry = PluginRegistry.discover(disabled=settings.disabled, around=standard_output.loading, trial=trial)
        standard_output.blame_any_of(registry.reports)
        return cls(settings, registry)

    def statistics(self) -> AbstractAsyncContextManager[StatisticsPort]:
        """Open the configured store for reading.

        Raises:
            InputError: no store is configured, or a `memory:` store, which would always be empty.
        """
        return self._opened(open_statistics, _not_memory(self._statistics_url()), "statistics")

    def sink(self) -> AbstractAsyncContextManager[StatisticsSinkPort]:
        """Open the configured store for writing.

        Raises:
            InputError: no store is configured.
        """
        return self._opened(open_sink, self._statistics_url(), "statistics")

    def metrics(self) -> AbstractAsyncContextManager[MetricQuerierPort]:
        """Open the configured metric backend.

        Raises:
            InputError: no backend is configured, or a `memory:` backend, which would always be empty.
        """
        url = _configured(self.settings.metrics_url, "metrics_url", "metric backend")
        return self._opened(open_metrics, _not_memory(url), "metrics")

    def repository(self, store: StatisticsPort, metrics: MetricQuerierPort) -> StatisticsRepository:
        """Return the repository over an open store and backend; statistics of kernels have ages if the store knows them.

        Raises:
            UnsupportedError: the setting `kernel_statistics` is `metrics`, and the backend evaluates no PromQL.
        """
        source: KernelStatisticsPort | None = reader_with_ages(store)
        if self.settings.kernel_statistics.value == "metrics":
            source = KernelLiveStatService(as_promql(metrics, reason="kernel_statistics is metrics"))
        return StatisticsRepositories.create(store, kernels=source).repository

    @asynccontextmanager
    async def runtime(self) -> AsyncGenerator[Runtime]:
        """Open the configured store and metric backend, with an inventory of the series of the backend.

        Raises:
            InputError: one of them is not configured, or is a `memory:` one.
            UnsupportedError: as in `repository`.
        """
        async with self.statistics() as store, self.metrics() as metrics:
            inventory = SeriesInventory(metrics, clock=lambda: datetime.now(UTC))
            yield Runtime(
                statistics=store, repository=self.repository(store, metrics), metrics=metrics, inventory=inventory
            )

    def presets(self) -> PresetCatalog:
        """Return the presets of the plugins and of the configured files; `faults` holds the errors of bad presets.

        Raises:
            InputError: a file cannot be read, or does not have the form of a file of presets.
            MissingExtraError: the PromQL parser is not installed.
        """
        files = {file.value: read_file(file) for file in self.settings.presets}
        return PresetCatalog.read(self.registry, files, strict=False)

    def _statistics_url(self) -> Setting:
        return _configured(self.settings.statistics_url, "statistics_url", "store of live statistics")

    @asynccontextmanager
    async def _opened(
        self, opener: Callable[[Settings, PluginRegistry], AbstractAsyncContextManager[_T]], url: Setting, table: str
    ) -> AsyncGenerator[_T]:
        given = self.settings
        settings = Settings(
            statistics_url=given.statistics_url.value if given.statistics_url else None,
            metrics_url=given.metrics_url.value if given.metrics_url else None,
            statistics_options=given.statistics_options,
            metrics_options=given.metrics_options,
        )
        options = given.statistics_options if table == "statistics" else given.metrics_options
        async with AsyncExitStack() as stack:
            with errors_prefixed_with(f"{url.origin} and [{table}] in {given.file}" if options else url.origin):
                scheme = url_scheme(url.value, setting=f"{table}_url")
                registry = self.registry
                origin = registry.statistics_store_origin if table == "statistics" else registry.metric_backend_origin
                standard_output.blame(origin(scheme))
                opened = await stack.enter_async_context(opener(settings, self.registry))
                standard_output.take_back()
            yield opened


def given_options(ctx: click.Context) -> dict[str, str]:
    """Return the settings given as options; an option of the command wins over the same option before the command."""
    given = given_options(ctx.parent) if ctx.parent else {}
    return given | {name: ctx.params[name] for name in get_args(SettingName) if ctx.params.get(name) is not None}


def _configured(setting: Setting | None, name: SettingName, what: str) -> Setting:
    if setting is None:
        raise InputError(f"no {what} is configured: give {flag(name)} URL or set {variable(name)}")
    return setting


def _not_memory(url: Setting) -> Setting:
    if url.value.lower().startswith("memory:"):
        raise InputError(
            f"{url.origin}: a memory: store or backend exists in one process only, and would always be empty here;"
            " give the URL of a server, or try `statcore demo`"
        )
    return url
