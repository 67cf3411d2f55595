"""Discovery, conflicts and look-up of plugins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from statcore.plugins.contributions import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.plugins.report import PluginReport


class PluginRegistry:
    """STUB: replaced by the registry slice."""

    reports: tuple[PluginReport, ...]

    @classmethod
    def discover(cls, *, disabled: Collection[str] = ()) -> Self:
        """Load every installed plugin that is not disabled."""
        raise NotImplementedError

    @property
    def queriers(self) -> Mapping[str, QuerierSpec]:
        """All kinds of querier by name."""
        raise NotImplementedError

    def querier(self, name: str) -> QuerierSpec:
        """Return one kind of querier."""
        raise NotImplementedError

    def statistics_store(self, scheme: str) -> StatisticsStoreSpec:
        """Return the kind of store that a URL scheme names."""
        raise NotImplementedError

    def metric_backend(self, scheme: str) -> MetricBackendSpec:
        """Return the kind of backend that a URL scheme names."""
        raise NotImplementedError
