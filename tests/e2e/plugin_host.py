"""A host that runs where plugins are installed: it queries every kind of querier in Python and in GraphQL.

It prints the answers as JSON.
Usage: plugin_host.py METRICS_URL SELECTORS, where SELECTORS is a JSON object of a selector by kind of querier.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from statcore import MetricQuerierPort, QueryTimeRange, UtilizationMetricQuerier
from statcore.plugins import PluginRegistry
from statcore.plugins.querier_kinds import build_querier
from statcore.runtime import Settings, open_runtime
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import build_schema

QUERY = """
query ($querier: String!, $selector: JSON!, $start: String!, $end: String!) {
  utilization(querier: $querier, selector: $selector, start: $start, end: $end, step: "1s") { series { labels values } }
}
"""
WITHIN_S = 60


async def until_answered(metrics: MetricQuerierPort, querier: UtilizationMetricQuerier) -> list[list[float]]:
    """Query the last seconds until there is an answer: no server tells when its first scrapes are done."""
    until = time.monotonic() + WITHIN_S
    while not (answer := await metrics.query_utilization(querier, last_seconds(), rate_interval="10s")).series:
        assert time.monotonic() < until, f"no series of {querier}"
        await asyncio.sleep(0.5)
    return [list(series.values) for series in answer.series]


def last_seconds() -> QueryTimeRange:
    """Return a range that ends now."""
    now = datetime.now(UTC)
    return QueryTimeRange(start=now - timedelta(seconds=5), end=now, step="1s")


async def main(url: str, selectors: dict[str, dict[str, Any]]) -> None:
    """Print the kinds, and the answers in Python and in GraphQL."""
    registry = PluginRegistry.discover()
    settings = Settings(statistics_url="memory://", metrics_url=url)
    async with open_runtime(settings, registry) as runtime:
        manager = DataLoaderManager()
        schema = build_schema(manager)

        async def ask(query: str, **variables: Any) -> Any:
            context = GraphQueryContext(
                statistics_repository=runtime.repository,
                inventory=runtime.inventory,
                metrics=runtime.metrics,
                plugins=registry,
                dataloader_manager=manager,
                rate_interval="10s",
            )
            answer = await schema.execute(query, variable_values=variables, context_value=context)
            return {"data": answer.data, "errors": [error.message for error in answer.errors or ()]}

        python: dict[str, Any] = {}
        graphql: dict[str, Any] = {}
        for kind, selector in selectors.items():
            querier = build_querier(registry.querier(kind), selector)
            python[kind] = await until_answered(runtime.metrics, querier)
            time_range = last_seconds()
            times = {"start": time_range.start.isoformat(), "end": time_range.end.isoformat()}
            graphql[kind] = await ask(QUERY, querier=kind, selector=selector, **times)
        kinds = await ask("{ queriers { name summary fields { name type required choices help } } }")
        print(json.dumps({"queriers": kinds, "python": python, "graphql": graphql}))  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
