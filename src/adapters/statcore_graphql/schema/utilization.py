"""The GraphQL types of utilization over a time range, and loading it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, Self

import strawberry
from strawberry.scalars import JSON

from statcore.model.results import MatrixResult, MetricResponse, Series
from statcore.model.time import QueryTimeRange
from statcore.plugins.querier_kinds import PreparedQuery
from statcore.ports.metrics import utilization_text_of
from statcore.promql import check_points
from statcore_graphql.context import GraphQueryContext

UTILIZATION_LOADER = "UtilizationMetrics.by_querier"
_logger: Final = logging.getLogger("statcore_graphql")
_WARNING: Final = "the metric backend warns of something; the server's log says more"


@strawberry.type(description="One series: its labels, and [unix seconds, number as text] pairs in order of time.")
class UtilizationSeries:
    """One series of an answer."""

    labels: JSON
    values: JSON

    @classmethod
    def of(cls, series: Series) -> Self:
        """Convert a series of a result."""
        values = MetricResponse(series.labels, series.timestamps, series.values).values
        return cls(labels=JSON(dict(series.labels)), values=JSON(values))


@strawberry.type(description="The series of a query, and the backend's warnings and infos about them.")
class Utilization:
    """An answer."""

    series: list[UtilizationSeries]
    warnings: list[str]
    infos: list[str]
    partial: bool = strawberry.field(description="Whether the backend could not read all of its data.")
    unit: str | None = strawberry.field(description="The unit of the values, such as `bytes`; null where it is not known.")
    text: strawberry.Private[Callable[[], str | None]]

    @strawberry.field(
        description="The query of the series, in the backend's language and with the matchers of what the caller may see;"
        " null where the backend does not show it. Similar queries of one request are sent together, as one query for the"
        " series of all."
    )
    def promql(self) -> str | None:
        """Write the text only where it is selected."""
        return self.text()

    @classmethod
    def of(
        cls, result: MatrixResult, context: GraphQueryContext, *, promql: Callable[[], str | None], unit: str = ""
    ) -> Self:
        """Convert a result; a caller who may see only a part gets no texts of warnings, which may have addresses.

        Args:
            result: what the backend answered.
            context: the request's context.
            promql: returns the text of the query.
            unit: the unit of the values, or "" if it is not known.
        """
        warnings = list(result.warnings)
        if warnings and context.is_confined:
            _logger.warning("the metric backend warns: %s", "; ".join(warnings))
            warnings = [_WARNING]
        return cls(
            text=promql,
            unit=unit or None,
            series=[UtilizationSeries.of(series) for series in result.series],
            warnings=warnings,
            infos=list(result.infos),
            partial=result.partial,
        )


async def load_utilization(
    context: GraphQueryContext, query: PreparedQuery, *, start: str, end: str, step: str
) -> Utilization:
    """Return the utilization that a query answers; the queries of one request are sent together, and coalesced.

    Args:
        context: the request's context.
        query: what to query.
        start: the start of the range, as RFC 3339 or unix seconds.
        end: the end of the range.
        step: a duration.

    Raises:
        InputError: a time or the step cannot be read.
        LimitError: the range has more points than the context allows.
        StatcoreError: the query fails.
    """
    time_range = QueryTimeRange(start=start, end=end, step=step)
    check_points(time_range, context.max_points, reason=f"GraphQL answers at most {context.max_points}")
    loader = context.dataloader_manager.get_loader(context, UTILIZATION_LOADER, time_range=time_range)
    result: MatrixResult = await loader.load(query.querier)
    promql = partial(utilization_text_of, context.metrics, query.querier, rate_interval=context.rate_interval)
    return Utilization.of(result, context, promql=promql, unit=query.unit)
