"""What the loader of presets' answers calls: queries as text, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from statcore.errors import StatcoreError, TimedOutError, UnavailableError
from statcore.model.matrix import MatrixResult
from statcore.model.time_range import QueryTimeRange
from statcore.ports.promql import as_promql
from statcore.statistics.side_by_side import run_together
from statcore_graphql.utilization import HasMetrics

_AT_ONCE: Final = 4


class PresetMetrics:
    """What presets answer over a time range."""

    @classmethod
    async def batch_load_by_query(
        cls, ctx: HasMetrics, queries: Sequence[tuple[str, QueryTimeRange]]
    ) -> Sequence[MatrixResult | StatcoreError]:
        """Return the answer to each PromQL text over its range, in order, or why there is none.

        Once the backend does not answer in time, or not at all, nothing more is asked.
        """
        promql = as_promql(ctx.metrics, wanted_by="this is a preset")
        outcomes: dict[int, MatrixResult | StatcoreError] = {}
        pending = iter(enumerate(queries))
        away: list[StatcoreError] = []

        async def work() -> None:
            for position, (text, time_range) in pending:
                try:
                    outcomes[position] = away[0] if away else await promql.query_range(text, time_range)
                except StatcoreError as error:
                    outcomes[position] = error
                    if isinstance(error, UnavailableError | TimedOutError):
                        away.append(error)

        await run_together(work() for _ in range(_AT_ONCE))
        return [outcomes[position] for position in range(len(queries))]
