"""What the loader of utilization calls: many queriers, few requests."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import timedelta
from typing import Protocol

from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore.ports.metrics import MetricQuerierPort
from statcore.queriers import UtilizationMetricQuerier, resolve, strategy_key
from statcore.statistics import UtilizationSource


class HasMetrics(Protocol):
    """The part of a request's context that is needed here."""

    @property
    def metrics(self) -> MetricQuerierPort:
        """The backend that is queried."""
        ...

    @property
    def rate_interval(self) -> timedelta | str:
        """The window that rates are taken over."""
        ...


class UtilizationMetrics:
    """Utilization over a time range."""

    @classmethod
    async def batch_load_by_querier(
        cls, ctx: HasMetrics, queriers: Sequence[UtilizationMetricQuerier], *, time_range: QueryTimeRange
    ) -> Sequence[MatrixResult | StatcoreError]:
        """Return the utilization of each querier, in order, or why it failed; alike queriers share requests."""
        source = UtilizationSource(ctx.metrics)
        return await source.read_utilization_batch(queriers, time_range, rate_interval=ctx.rate_interval)


def querier_key(querier: UtilizationMetricQuerier) -> Hashable:
    """Return what makes two queriers the same query, whether or not their class can be hashed.

    Raises:
        PluginError: the querier breaks its contract.
    """
    asked = resolve(querier)
    return asked.name, tuple(asked.labels.items()), asked.group_by, strategy_key(asked.strategy)
