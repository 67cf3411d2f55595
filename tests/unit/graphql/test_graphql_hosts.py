"""The same helpers in hosts of another framework, or of none."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import graphene
from aiodataloader import DataLoader
from tests.graphql_asking import CountedStatistics, session_id

from statcore.errors import MalformedEntryError
from statcore.model import ProblemKind
from statcore.statistics import StatisticsRepositories
from statcore_graphql import KernelStatistics, Outcomes
from statcore_memory import MemoryStatistics

WITHOUT_STRAWBERRY = """
import asyncio, sys
from types import SimpleNamespace

for name in ("strawberry", "graphql"):
    sys.modules[name] = None

import statcore_graphql
from statcore.errors import MissingExtraError
from statcore.model import MetricValue
from statcore.statistics import StatisticsRepositories
from statcore_memory import MemoryStatistics

async def main():
    store = MemoryStatistics()
    await store.store_kernel_statistics({IDS[1]: {"mem": MetricValue(current="5")}})
    ctx = SimpleNamespace(
        statistics_repository=StatisticsRepositories.create(store).repository,
        loaders=statcore_graphql.RequestLoaders(),
    )
    batch = await statcore_graphql.KernelStatistics.batch_load_by_kernel(ctx, IDS)
    print([entry and entry["mem"]["current"] for entry in batch])
    try:
        statcore_graphql.DataLoaderManager().get_loader(ctx, "KernelStatistics.by_kernel")
    except MissingExtraError as error:
        print("loader", error.extra)
    try:
        from statcore_graphql import schema
    except MissingExtraError as error:
        print("schema", error.extra)

asyncio.run(main())
"""


def test_the_helpers_need_no_framework() -> None:
    """With Strawberry and graphql-core away they load; its loaders and the schema name the extra that they need."""
    program = f"IDS = {[session_id(1), session_id(2)]}\n{WITHOUT_STRAWBERRY}"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ["[None, '5']", "loader graphql", "schema graphql"] == answer.stdout.splitlines(), answer.stderr


class ComputeSession(graphene.ObjectType):  # type: ignore[misc]
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


class ComputeSessionList(graphene.ObjectType):  # type: ignore[misc]
    """A host's type."""

    items = graphene.List(ComputeSession)


class Query(graphene.ObjectType):  # type: ignore[misc]
    """A host's query."""

    compute_session_list = graphene.Field(ComputeSessionList)

    def resolve_compute_session_list(self, info: Any) -> Any:
        """Answer the host's own sessions."""
        return ComputeSessionList(items=[ComputeSession(session_id=id_) for id_ in info.context.ids])


async def ask_graphene(store: CountedStatistics, query: str) -> Any:
    """Execute a query about twenty sessions in a graphene host."""
    ctx = SimpleNamespace(
        ids=[session_id(number) for number in range(20)],
        statistics_repository=StatisticsRepositories.create(store).repository,  # type: ignore[arg-type]
    )

    async def load_inference_metrics(ids: list[str]) -> Any:
        return await KernelStatistics.batch_load_inference_metrics_by_kernel(ctx, ids)  # type: ignore[arg-type]

    async def load_live_stat(ids: list[str]) -> Any:
        return Outcomes.of(await KernelStatistics.batch_load_by_kernel(ctx, ids)).values  # type: ignore[arg-type]

    ctx.inference_metrics = DataLoader(load_inference_metrics)
    ctx.live_stat = DataLoader(load_live_stat)
    return await graphene.Schema(query=Query, auto_camelcase=False).execute_async(query, context_value=ctx)


async def test_the_query_of_the_first_proposal_in_a_graphene_host() -> None:
    """One read of the store for all items; graphene's own JSON type quotes what it answers."""
    store = MemoryStatistics()
    for number in range(20):
        await store.store_session_activity(session_id(number), requests=number, last_response_ms=1)
    counted = CountedStatistics(store)
    result = await ask_graphene(counted, "query { compute_session_list { items { inference_metrics } } }")
    assert result.errors is None
    expected = [{"inference_metrics": f'{{"requests": {number}, "last_response_ms": 1}}'} for number in range(20)]
    assert expected == result.data["compute_session_list"]["items"]
    assert [("inference_metrics", 20)] == counted.reads


async def test_an_entry_that_cannot_be_read_is_an_error_of_its_own_there_too() -> None:
    """A host that wants errors rather than nulls takes the outcomes of the batch."""
    store = MemoryStatistics()
    store.plant(session_id(3), "not a map")
    store.plant(session_id(5), {"mem": {"current": "1"}})
    result = await ask_graphene(CountedStatistics(store), "{ compute_session_list { items { live_stat } } }")
    items = result.data["compute_session_list"]["items"]
    assert {5: '{"mem": {"current": "1"}}'} == {n: item["live_stat"] for n, item in enumerate(items) if item["live_stat"]}
    (error,) = result.errors
    assert ["compute_session_list", "items", 3, "live_stat"] == error.path
    assert isinstance(error.original_error, MalformedEntryError)
    assert error.message.startswith(ProblemKind.MALFORMED)
