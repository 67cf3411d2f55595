"""A host on graphene, run where Strawberry is not installed: prints what it answers, as JSON.

A program of its own because no release of graphene takes the graphql-core that Strawberry needs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

import graphene
from aiodataloader import DataLoader

from statcore.statistics import StatisticsRepositories
from statcore_graphql import KernelStatistics, Outcomes
from statcore_memory import MemoryStatistics

IDS = [f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(20)]


class CountedStatistics:
    """A store that records the number of entries of each read."""

    def __init__(self, store: MemoryStatistics) -> None:
        """Stand before a store."""
        self._store = store
        self.reads: list[int] = []

    async def fetch_kernel_statistics(self, ids: Any) -> Any:
        """Fetch."""
        self.reads.append(len(ids))
        return await self._store.fetch_kernel_statistics(ids)

    async def fetch_inference_metrics(self, session_ids: Any) -> Any:
        """Fetch."""
        self.reads.append(len(session_ids))
        return await self._store.fetch_inference_metrics(session_ids)


class ComputeSession(graphene.ObjectType):
    """A host's type."""

    session_id = graphene.String()
    inference_metrics = graphene.JSONString()
    live_stat = graphene.JSONString()

    def resolve_inference_metrics(self, info: Any) -> Any:
        """Load."""
        return info.context.inference_metrics.load(self.session_id)

    def resolve_live_stat(self, info: Any) -> Any:
        """Load."""
        return info.context.live_stat.load(self.session_id)


class ComputeSessionList(graphene.ObjectType):
    """A host's type."""

    items = graphene.List(ComputeSession)


class Query(graphene.ObjectType):
    """A host's query."""

    compute_session_list = graphene.Field(ComputeSessionList)

    def resolve_compute_session_list(self, info: Any) -> Any:
        """Answer the host's own sessions."""
        del info
        return ComputeSessionList(items=[ComputeSession(session_id=id_) for id_ in IDS])


async def ask(filled: MemoryStatistics, query: str) -> dict[str, Any]:
    """Execute a query with the loaders of one request."""
    store = CountedStatistics(filled)
    ctx = SimpleNamespace(statistics_repository=StatisticsRepositories.create(store).repository)  # type: ignore[call-overload]

    async def load_inference_metrics(ids: list[str]) -> Any:
        return await KernelStatistics.batch_load_inference_metrics_by_kernel(ctx, ids)

    async def load_live_stat(ids: list[str]) -> Any:
        # This host wants errors rather than nulls for what cannot be read.
        return Outcomes.of(await KernelStatistics.batch_load_by_kernel(ctx, ids)).values

    ctx.inference_metrics, ctx.live_stat = DataLoader(load_inference_metrics), DataLoader(load_live_stat)
    result = await graphene.Schema(query=Query, auto_camelcase=False).execute_async(query, context_value=ctx)
    return {
        "items": result.data["compute_session_list"]["items"],
        "errors": [[error.path, type(error.original_error).__name__] for error in result.errors or ()],
        "reads": store.reads,
    }


async def main() -> None:
    """Ask twice."""
    served = MemoryStatistics()
    for number, id_ in enumerate(IDS):
        await served.store_session_activity(id_, requests=number, last_response_ms=1)
    damaged = MemoryStatistics()
    damaged.plant(IDS[3], "not a map")
    damaged.plant(IDS[5], {"mem": {"current": "1"}})
    answers = [
        await ask(served, "query { compute_session_list { items { inference_metrics } } }"),
        await ask(damaged, "query { compute_session_list { items { live_stat } } }"),
    ]
    answers.append({"strawberry": "strawberry" in sys.modules})
    print(json.dumps(answers))  # noqa: T201 - a program


asyncio.run(main())
