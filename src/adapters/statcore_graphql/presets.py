"""The batch function of the loader that answers presets."""

from __future__ import annotations

from collections.abc import Sequence

from statcore.concurrency import map_keeping_errors
from statcore.errors import StatcoreError
from statcore.model.results import MatrixResult
from statcore.model.time import QueryTimeRange
from statcore.ports.promql import as_promql
from statcore_graphql.utilization import HasMetrics


class PresetMetrics:
    """The answers of presets over a time range."""

    @classmethod
    async def batch_load_by_query(
        cls, ctx: HasMetrics, queries: Sequence[tuple[str, QueryTimeRange]]
    ) -> Sequence[MatrixResult | StatcoreError]:
        """Return the answer to each PromQL text over its time range, or the error of its query, in order.

        Raises:
            UnsupportedError: the backend evaluates no PromQL.
        """
        promql = as_promql(ctx.metrics, reason="this is a preset")

        async def query_range(query: tuple[str, QueryTimeRange]) -> MatrixResult:
            return await promql.query_range(*query)

        return await map_keeping_errors(queries, query_range)
