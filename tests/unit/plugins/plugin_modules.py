"""The source of modules that are plugins, a registry of one plugin, and the report on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from statcore.plugins import PluginRegistry, PluginReport
from statcore.runtime import Settings, open_metrics, open_sink, open_statistics

ORIGIN: Final = r"\(plugin 'all' of acme-all 1.0\)"
"""The plugin of `registry_of`, as errors name it."""
OPENERS: Final = pytest.mark.parametrize(
    ("opener", "setting"),
    [(open_statistics, "statistics_url"), (open_sink, "statistics_url"), (open_metrics, "metrics_url")],
    ids=["statistics", "sink", "metrics"],
)
HEAD: Final = """
from statcore.plugins import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec, hookimpl
from statcore.queriers import ContainerMetricQuerier
STATCORE_PLUGIN_API = 1
async def nothing(url, options):
    raise AssertionError("nothing is opened here")
"""


def querier(name: str) -> str:
    """Return a module that offers one querier."""
    return f"""{HEAD}
@hookimpl
def statcore_queriers():
    return [QuerierSpec(name={name!r}, summary="s", querier=ContainerMetricQuerier, series="series_{name}")]
"""


def store(scheme: str) -> str:
    """Return a module that offers one store and one backend, both for one scheme."""
    return f"""{HEAD}
@hookimpl
def statcore_statistics_stores():
    return (StatisticsStoreSpec(name="store", summary="s", schemes=({scheme!r}, "both"), open=nothing),)
@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="backend", summary="s", schemes=({scheme!r},), open=nothing)]
"""


def presets(*names: str, template: str = "sum(up{${{ labels }}})") -> str:
    """Return a module that offers presets."""
    return f"""{HEAD}
from statcore.plugins import Preset
@hookimpl
def statcore_presets():
    more = {{"template": {template!r}, "filter_labels": ["job"]}}
    return [Preset(name=name, description="d of " + name, **more) for name in {names!r}]
"""


def registry_of(install: Callable[..., Path], source: str) -> PluginRegistry:
    """Install the plugin `all` of the distribution `acme-all`, and return a registry that has no other plugin."""
    install("acme-all", all=source)
    others = [report.name for report in PluginRegistry.discover().reports if report.name != "all"]
    return PluginRegistry.discover(disabled=others)


def settings(**values: Any) -> Settings:
    """Return settings from values by name, where the name is a parameter of the test."""
    return Settings(**values)


def report_of(registry: PluginRegistry, name: str) -> PluginReport:
    """Return the one report on a plugin."""
    (report,) = [report for report in registry.reports if report.name == name]
    return report
