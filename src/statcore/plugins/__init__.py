"""How queriers, stores and backends come in from outside; the only package that imports pluggy."""

from statcore.imports import requires_extra
from statcore.plugins.contributions import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.preset_catalog import PresetCatalog
from statcore.plugins.registry import PluginRegistry
from statcore.plugins.report import PluginReport, PluginStatus
from statcore.plugins.spec import API_VERSION, hookimpl
from statcore.promql.preset import Preset

__all__ = [
    "API_VERSION",
    "MetricBackendSpec",
    "PluginRegistry",
    "PluginReport",
    "PluginStatus",
    "Preset",
    "PresetCatalog",
    "QuerierSpec",
    "StatisticsStoreSpec",
    "hookimpl",
    "requires_extra",
]
