"""Utilization over a time range, as GraphQL answers it."""

from __future__ import annotations

from typing import Self

import strawberry
from strawberry.scalars import JSON

from statcore.model.results import MatrixResult, MetricResponse, Series
from statcore.model.time import QueryTimeRange
from statcore.promql import MAX_POINTS, check_points
from statcore.queriers import UtilizationMetricQuerier, resolve
from statcore.queriers.interface import PreparedQuerier
from statcore_graphql.context import GraphQueryContext

UTILIZATION_LOADER = "UtilizationMetrics.by_querier"


@strawberry.type(description="One series: its labels, and [unix seconds, number as text] pairs in order of time.")
class UtilizationSeries:
    """One series of an answer."""

    labels: JSON
    values: JSON

    @classmethod
    def of(cls, series: Series) -> Self:
        """Read a series of a result."""
        values = MetricResponse(series.labels, series.timestamps, series.values).values
        return cls(labels=JSON(dict(series.labels)), values=JSON(values))


@strawberry.type(description="The series of a query, and what the backend remarked about them.")
class Utilization:
    """An answer."""

    series: list[UtilizationSeries]
    warnings: list[str]
    infos: list[str]
    partial: bool = strawberry.field(description="Whether the backend could not read all of its data.")

    @classmethod
    def of(cls, result: MatrixResult) -> Self:
        """Read a result."""
        return cls(
            series=[UtilizationSeries.of(series) for series in result.series],
            warnings=list(result.warnings),
            infos=list(result.infos),
            partial=result.partial,
        )


async def load_utilization(
    context: GraphQueryContext, querier: UtilizationMetricQuerier, *, start: str, end: str, step: str
) -> Utilization:
    """Return a querier's utilization; what the request asks of alike queriers is asked of the backend at once.

    Raises:
        InputError: times or a step that cannot be read, or more points than one request to a server gives.
    """
    time_range = QueryTimeRange(start=start, end=end, step=step)
    check_points(time_range, MAX_POINTS, reason=f"GraphQL answers at most {MAX_POINTS}")
    loader = context.dataloader_manager.get_loader(context, UTILIZATION_LOADER, time_range=time_range)
    result: MatrixResult = await loader.load(PreparedQuerier(resolve(querier)))
    return Utilization.of(result)
