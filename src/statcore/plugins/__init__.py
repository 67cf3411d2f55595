"""Plugins that contribute queriers, stores, backends and presets; the only package that imports pluggy."""

from statcore.imports import requires_extra
from statcore.plugins.hooks import API_VERSION, MetricBackendSpec, QuerierSpec, StatisticsStoreSpec, hookimpl
from statcore.plugins.presets import PresetCatalog
from statcore.plugins.registry import PluginRegistry
from statcore.plugins.report import PluginReport, PluginStatus
from statcore.promql.templates import Preset

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
