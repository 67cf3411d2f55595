"""The batch functions of the loaders that read series, and the key by which equal queries of utilization are recognized."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import timedelta
from typing import Protocol

from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore.ports.metrics import MetricQuerierPort
from statcore.queriers import UtilizationMetricQuerier, resolve, strategy_key
from statcore.queriers.matcher import as_matcher
from statcore.statistics import UtilizationSource
from statcore.statistics.processes import ProcessList, read_processes
from statcore_graphql.request_loaders import HasLoaders


class HasMetrics(HasLoaders, Protocol):
    """The part of a request's context that series are queried from."""

    @property
    def metrics(self) -> MetricQuerierPort:
        """The metric backend."""
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
        """Return the utilization of each querier, or the error of its query, in order. Requests are coalesced."""
        source = UtilizationSource(ctx.metrics)
        return await source.read_utilization_batch(queriers, time_range, rate_interval=ctx.rate_interval)


class KernelProcesses:
    """The processes of kernels."""

    @classmethod
    async def batch_load_by_kernel(cls, ctx: HasMetrics, kernel_ids: Sequence[str]) -> Sequence[ProcessList]:
        """Return the processes of each kernel, in order, with two queries for some hundred kernels.

        Raises:
            LimitError: the processes are more objects than the request may list.
            StatcoreError: the backend failed, as `MetricQuerierPort` says.
        """
        lists = await read_processes(ctx.metrics, kernel_ids, rate_interval=ctx.rate_interval)
        ctx.loaders.count(sum(len(of_kernel.processes) for of_kernel in lists))
        return lists


def querier_key(querier: UtilizationMetricQuerier) -> Hashable:
    """Return a value that is equal for two queriers with the same query; their classes need not be hashable.

    Raises:
        PluginError: the querier breaks its contract.
    """
    query = resolve(querier)
    matchers = tuple([(label, as_matcher(matcher)) for label, matcher in query.matchers])
    return query.name, matchers, query.group_by, strategy_key(query.strategy)
