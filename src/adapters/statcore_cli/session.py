"""What a running command works with: the settings of this call, the plugins, and what they open."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar, get_args

import attrs
import click

from statcore.errors import InputError
from statcore.plugins.presets import PresetCatalog
from statcore.plugins.registry import PluginRegistry
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.runtime import Settings, open_metrics, open_sink, open_statistics, url_scheme
from statcore_cli import standard_output
from statcore_cli.options import SettingName, flag, variable
from statcore_cli.settings import CliSettings, Setting, naming, read_file

_T = TypeVar("_T")
_REGISTRIES: Final = "statcore_cli.registries"


@attrs.frozen
class Session:
    """Settings, and the registry of the plugins that they leave enabled."""

    settings: CliSettings
    registry: PluginRegistry

    @classmethod
    def of(cls, ctx: click.Context, *, trial: bool = False) -> Session:
        """Read the settings from the options of this command and of those before it; plugins are discovered once.

        Args:
            ctx: of the command.
            trial: whether each kind is tried, as in `PluginRegistry.discover`.
        """
        settings = CliSettings.read(given_options(ctx), os.environ)
        registries: dict[frozenset[str], PluginRegistry] = ctx.meta.setdefault(_REGISTRIES, {})
        if settings.disabled not in registries:
            with standard_output.plugin_code():
                registry = PluginRegistry.discover(disabled=settings.disabled, around=standard_output.loading, trial=trial)
            standard_output.suspect_any(registry.reports)
            registries[settings.disabled] = registry
        return cls(settings, registries[settings.disabled])

    def statistics(self) -> AbstractAsyncContextManager[StatisticsPort]:
        """Open the configured store for reading.

        Raises:
            InputError: none is configured, or one that would always be empty.
        """
        return self._opened(open_statistics, _not_memory(self._statistics_url()), "statistics")

    def sink(self) -> AbstractAsyncContextManager[StatisticsSinkPort]:
        """Open the configured store for writing.

        Raises:
            InputError: none is configured.
        """
        return self._opened(open_sink, self._statistics_url(), "statistics")

    def metrics(self) -> AbstractAsyncContextManager[MetricQuerierPort]:
        """Open the configured metric backend; the errors are those of `statistics`."""
        url = _configured(self.settings.metrics_url, "metrics_url", "metric backend")
        return self._opened(open_metrics, _not_memory(url), "metrics")

    def presets(self) -> PresetCatalog:
        """Return the presets of the plugins and of the configured files; a bad one of a file is among its `faults`.

        Raises:
            InputError: a file cannot be read, or is none of presets.
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
            with naming(f"{url.origin} and [{table}] in {given.file}" if options else url.origin):
                scheme = url_scheme(url.value, setting=f"{table}_url")
                registry = self.registry
                origin = registry.statistics_store_origin if table == "statistics" else registry.metric_backend_origin
                standard_output.suspect(origin(scheme))
                opened = await stack.enter_async_context(opener(settings, self.registry))
            yield opened


def given_options(ctx: click.Context) -> dict[str, str]:
    """Return the settings given as options on the command line; the ones closer to the command win."""
    given = given_options(ctx.parent) if ctx.parent else {}
    return given | {name: ctx.params[name] for name in get_args(SettingName) if ctx.params.get(name) is not None}


def run(work: Coroutine[Any, Any, _T], *, doing: str) -> _T:
    """Run to the end, saying on a terminal that something goes on, and nothing in a pipe."""
    with _progress(doing), standard_output.plugin_code():
        return asyncio.run(work)


@contextmanager
def _progress(doing: str) -> Generator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only terminals need it
    from rich.live import Live  # noqa: PLC0415
    from rich.spinner import Spinner  # noqa: PLC0415

    # Not `Console.status`, which would take standard output away from whoever prints meanwhile.
    with Live(Spinner("dots", text=doing), console=Console(stderr=True), transient=True, redirect_stdout=False):
        yield


def _configured(setting: Setting | None, name: SettingName, what: str) -> Setting:
    if setting is None:
        raise InputError(f"no {what} is configured: give {flag(name)} URL or set {variable(name)}")
    return setting


def _not_memory(url: Setting) -> Setting:
    if url.value.lower().startswith("memory:"):
        raise InputError(
            f"{url.origin}: what memory: names lives inside one process, and would always be empty here;"
            " name a server, or see `statcore demo`"
        )
    return url
