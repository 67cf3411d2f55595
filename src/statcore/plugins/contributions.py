"""What a plugin's hooks return: frozen descriptions that open nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs

from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.queriers.interface import UtilizationMetricQuerier

Options: TypeAlias = Mapping[str, Any]
"""An adapter's own settings by name, beside the URL; the adapter checks them and names a bad one in an `InputError`."""


@attrs.frozen(kw_only=True)
class QuerierSpec:
    """A kind of querier.

    Args:
        name: what users type: `statcore query NAME`.
        summary: one line for listings.
        querier: the class; its keyword-only fields become options.
        series: the metric name in the backend, to list what exists.
        metric_label: the label of `series` that tells its metrics apart, or None where `series` is the only metric.
    """

    name: str
    summary: str
    querier: type[UtilizationMetricQuerier]
    series: str
    metric_label: str | None = None


@attrs.frozen(kw_only=True)
class StatisticsStoreSpec:
    """A kind of store of live statistics.

    Args:
        name: for listings.
        summary: one line for listings.
        schemes: the URL schemes that choose it.
        open: opens a reader of the store at a URL; raises `MissingExtraError` when its driver is not installed.
        open_sink: likewise a writer, or None where the store is read only.
        extra: the extra that installs its driver, or None.
    """

    name: str
    summary: str
    schemes: tuple[str, ...]
    open: Callable[[str, Options], Awaitable[StatisticsPort]]
    open_sink: Callable[[str, Options], Awaitable[StatisticsSinkPort]] | None = None
    extra: str | None = None


@attrs.frozen(kw_only=True)
class MetricBackendSpec:
    """A kind of metric backend; the arguments are those of `StatisticsStoreSpec`."""

    name: str
    summary: str
    schemes: tuple[str, ...]
    open: Callable[[str, Options], Awaitable[MetricQuerierPort]]
    extra: str | None = None
