"""Services for managers: utilization of containers, presets, lists, live statistics and inventory from series, health."""

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
from statcore.services.figures import Figures
from statcore.services.health import HealthReport, check_health
from statcore.services.listing import (
    AGENTS,
    ENDPOINTS,
    KERNELS,
    SESSIONS,
    SORTS,
    ListedObject,
    ListPage,
    ObjectKind,
    ObjectListing,
)
from statcore.services.presets import MAX_RANGE, MIN_STEP, PresetService
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.series_inventory import SeriesInventory
from statcore.statistics.utilization import available_metrics

__all__ = [
    "AGENTS",
    "ENDPOINTS",
    "KERNELS",
    "MAX_RANGE",
    "MIN_STEP",
    "SESSIONS",
    "SORTS",
    "ContainerMetricAction",
    "ContainerMetricActionResult",
    "ContainerMetricMetadataAction",
    "ContainerMetricMetadataActionResult",
    "ContainerMetricOptionalLabel",
    "ContainerMetricResponseInfo",
    "ContainerMetricResult",
    "ContainerUtilizationMetricService",
    "Figures",
    "HealthReport",
    "KernelLiveStatService",
    "ListPage",
    "ListedObject",
    "MetricResultValue",
    "ObjectKind",
    "ObjectListing",
    "PresetService",
    "SeriesInventory",
    "available_metrics",
    "check_health",
]
