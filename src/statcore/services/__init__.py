"""Services for managers: utilization of containers, presets, live statistics and inventory from series, health."""

from statcore.services.container_utilization import (
    ContainerMetricAction,
    ContainerMetricActionResult,
    ContainerMetricMetadataAction,
    ContainerMetricMetadataActionResult,
    ContainerMetricOptionalLabel,
    ContainerMetricResponseInfo,
    ContainerMetricResult,
    ContainerUtilizationMetricService,
    MetricResultValue,
)
from statcore.services.health import HealthReport, check_health
from statcore.services.presets import MAX_RANGE, MIN_STEP, PresetService
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.utilization import available_metrics

__all__ = [
    "MAX_RANGE",
    "MIN_STEP",
    "ContainerMetricAction",
    "ContainerMetricActionResult",
    "ContainerMetricMetadataAction",
    "ContainerMetricMetadataActionResult",
    "ContainerMetricOptionalLabel",
    "ContainerMetricResponseInfo",
    "ContainerMetricResult",
    "ContainerUtilizationMetricService",
    "HealthReport",
    "KernelLiveStatService",
    "MetricResultValue",
    "PresetService",
    "SeriesInventory",
    "available_metrics",
    "check_health",
]
