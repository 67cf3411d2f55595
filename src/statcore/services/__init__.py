"""Services: what a manager asks, in the shape in which its callers want the answer."""

from statcore.services.available_metrics import available_metrics
from statcore.services.container_types import (
    ContainerMetricAction,
    ContainerMetricActionResult,
    ContainerMetricMetadataAction,
    ContainerMetricMetadataActionResult,
    ContainerMetricOptionalLabel,
    ContainerMetricResponseInfo,
    ContainerMetricResult,
    MetricResultValue,
)
from statcore.services.container_utilization import ContainerUtilizationMetricService
from statcore.services.health import HealthReport, check_health
from statcore.services.live_stat import KernelLiveStatService
from statcore.services.presets import MAX_RANGE, MIN_STEP, PresetService
from statcore.services.series_inventory import SeriesInventory

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
