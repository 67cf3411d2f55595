"""The four hooks."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from outside_batteries.backend import DIFFERENCES, open_backend
from outside_batteries.queriers import BatteryMetricQuerier, PackMetricQuerier, PhaseMetricQuerier
from outside_batteries.store import open_store
from statcore import UtilizationMetricQuerier
from statcore.plugins import MetricBackendSpec, Preset, QuerierSpec, StatisticsStoreSpec, hookimpl

STATCORE_PLUGIN_API = 1

PACK_SPEC = QuerierSpec(
    name="battery-pack",
    summary="Packs of a site",
    querier=PackMetricQuerier,
    series="pack_measurement",
    metric_label="metric",
    example={"site": "north"},
)
PHASE_SPEC = attrs.evolve(QuerierSpec.of(PhaseMetricQuerier), series="battery_current")
BACKEND_SPEC = MetricBackendSpec(
    name="battery-metrics",
    summary="what the options list",
    schemes=("battery-metrics",),
    open=open_backend,
    extra="presets",
    differences=DIFFERENCES,
)
STORE_SPEC = StatisticsStoreSpec(
    name="battery-store",
    summary="entries in the process",
    schemes=("battery-store",),
    open=open_store,
    open_sink=open_store,
)


@hookimpl
def statcore_queriers() -> Sequence[QuerierSpec | type[UtilizationMetricQuerier]]:
    """Contribute a class alone and two specs."""
    return [BatteryMetricQuerier, PACK_SPEC, PHASE_SPEC]


@hookimpl
def statcore_statistics_stores() -> list[StatisticsStoreSpec]:
    """Contribute the store."""
    return [STORE_SPEC]


@hookimpl
def statcore_metric_backends() -> list[MetricBackendSpec]:
    """Contribute the backend."""
    return [BACKEND_SPEC]


@hookimpl
def statcore_presets() -> list[Preset]:
    """Contribute a preset."""
    return [
        Preset(
            name="battery-charge",
            description="Charge of batteries, in percent",
            template="avg by (${{ group_by }})(avg_over_time(battery_charge{${{ labels }}}[${{ window }}]))",
            filter_labels=["battery_id", "maker"],
            group_labels=["maker"],
            window="5m",
        )
    ]
