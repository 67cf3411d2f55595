"""The loaders in a host without a framework, and the contexts; a host on graphene is in tests/meta."""

from __future__ import annotations

import subprocess
import sys

import pytest
from attrs.exceptions import FrozenAttributeError
from tests.support.graphql_host import Host, session_id

from statcore_graphql import GraphQueryContext
from statcore_graphql.fastapi import FastAPIQueryContext

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
    loader = statcore_graphql.DataLoaderManager().get_loader(ctx, "KernelStatistics.by_kernel")
    print((await loader.load(IDS[1]))["mem"]["current"])
    try:
        from statcore_graphql import schema
    except MissingExtraError as error:
        print("schema", error.extra)

asyncio.run(main())
"""


def test_the_batch_functions_need_no_framework() -> None:
    """They and `get_loader` load without Strawberry and graphql-core; the schema names the missing extra."""
    program = f"IDS = {[session_id(1), session_id(2)]}\n{WITHOUT_STRAWBERRY}"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ["[None, '5']", "5", "schema graphql"] == answer.stdout.splitlines(), answer.stderr


@pytest.mark.parametrize("kind", [GraphQueryContext, FastAPIQueryContext])
async def test_both_contexts_work_with_plain_strawberry(kind: type[GraphQueryContext]) -> None:
    """Their fields are frozen; the FastAPI router sets `request` besides."""
    host = Host()
    made = host.context()
    context = kind(
        statistics_repository=made.statistics_repository,
        inventory=made.inventory,
        metrics=made.metrics,
        plugins=made.plugins,
    )
    answer = await host.execute("{ compute_session_list { total_count } }", context=context)
    assert {"compute_session_list": {"total_count": 0}} == answer.data
    with pytest.raises(FrozenAttributeError):
        context.inventory = made.inventory
    if isinstance(context, FastAPIQueryContext):
        assert None is context.request
