"""The hooks: few, plural, typed. A plugin is a module, named by an entry point of the group `statcore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pluggy

from statcore.plugins.contributions import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec
from statcore.promql.preset import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

GROUP: Final = "statcore"
"""The entry-point group, and the prefix of every hook."""
API_VERSION: Final = 1
"""A plugin module sets `STATCORE_PLUGIN_API = 1`: the version of these hooks that it was written for."""

hookspec: Final = pluggy.HookspecMarker(GROUP)
hookimpl: Final = pluggy.HookimplMarker(GROUP)


@hookspec
def statcore_queriers() -> Sequence[QuerierSpec | type[UtilizationMetricQuerier]]:
    """Contribute kinds of querier: classes, or specs where more is to be said."""
    return ()


@hookspec
def statcore_statistics_stores() -> Sequence[StatisticsStoreSpec]:
    """Contribute kinds of store for live statistics."""
    return ()


@hookspec
def statcore_metric_backends() -> Sequence[MetricBackendSpec]:
    """Contribute kinds of metric backend."""
    return ()


@hookspec
def statcore_presets() -> Sequence[Preset]:
    """Contribute named queries that users fill in; what contributes them depends on `statcore[presets]`."""
    return ()
