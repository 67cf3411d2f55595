"""A host's GraphQL endpoint: the schema, the context of a request, loaders by name, and the helpers on their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from outside_batteries import BatteryMetricQuerier

from statcore import InputError, MetricValue, Problem, ProblemKind, QueryTimeRange, StatisticsBatch, StatisticsRepositories
from statcore.model import EndpointRecord, KernelRecord
from statcore.plugins import PluginRegistry
from statcore_graphql import (
    AgentStatistics,
    DataLoaderManager,
    EndpointStatistics,
    GraphQueryContext,
    KernelStatistics,
    Loader,
    Outcomes,
    PresetMetrics,
    ReplicaStatistics,
    UtilizationMetrics,
)
from statcore_graphql.schema import build_schema
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

SESSION, KERNEL, ENDPOINT, BATTERY = (str(UUID(int=number)) for number in range(1, 5))
NOW: Final = datetime.now(UTC).replace(microsecond=0)
RANGE: Final = QueryTimeRange(start=NOW, end=NOW, step="1m")
SESSIONS: Final = """{
  compute_session_list(limit: 5) { total_count items { session_id inference_metrics kernels { kernel_id live_stat } } }
}"""
UTILIZATION: Final = f"""{{
  queriers {{ name fields {{ name required choices }} }}
  utilization(querier: "battery", selector: {{battery_id: "{BATTERY}"}}, start: "{NOW.isoformat()}",
              end: "{NOW.isoformat()}", step: "1m") {{ series {{ labels values }} partial }}
  preset_result_at(name: "battery-charge", time: "{NOW.isoformat()}", group_labels: ["maker"]) {{ series {{ labels }} }}
}}"""


async def double(ctx: GraphQueryContext, keys: Sequence[int], *, times: int = 2) -> list[int]:
    """Load the doubles of numbers: a loader of the host's own."""
    assert ctx.loaders is not None
    return [key * times for key in keys]


async def context(store: MemoryStatistics) -> GraphQueryContext:
    """Return the context of one request."""
    inventory, metrics = MemoryInventory(), MemoryMetrics()
    inventory.register_kernel(KernelRecord(kernel_id=KERNEL, session_id=SESSION, agent_id="i-1"))
    inventory.register_endpoint(EndpointRecord(endpoint_id=ENDPOINT))
    metrics.append_scrape([("battery_charge", {"battery_id": BATTERY, "maker": "m"}, 80.0)], target="t", time=NOW)
    await store.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="1", capacity="2", pct="50.00")}})
    await store.store_session_activity(SESSION, requests=3, last_response_ms=7)
    return GraphQueryContext(
        statistics_repository=StatisticsRepositories.create(store).repository,
        inventory=inventory,
        metrics=metrics,
        plugins=PluginRegistry.discover(),
        dataloader_manager=DataLoaderManager().adding("Host.double", Loader(double)),
        rate_interval="1m",
    )


def ask(query: str) -> Any:
    """Execute a query in a context of its own."""

    async def run() -> Any:
        ctx = await context(MemoryStatistics())
        return await build_schema(ctx.dataloader_manager).execute(query, context_value=ctx)

    return asyncio.run(run())


def test_the_query_of_the_proposal() -> None:
    """A list of sessions with their inference metrics, and their kernels' live statistics."""
    answer = ask(SESSIONS)
    assert None is answer.errors
    (session,) = answer.data["compute_session_list"]["items"]
    assert (SESSION, {"requests": 3, "last_response_ms": 7}) == (session["session_id"], session["inference_metrics"])
    assert [(KERNEL, "1")] == [
        (kernel["kernel_id"], kernel["live_stat"]["mem"]["current"]) for kernel in session["kernels"]
    ]


def test_our_querier_and_preset_answer_through_graphql() -> None:
    """Both are found by name, their fields are listed, and values are pairs of time and text."""
    answer = ask(UTILIZATION)
    assert None is answer.errors
    (fields,) = [kind["fields"] for kind in answer.data["queriers"] if kind["name"] == "battery-pack"]
    assert [("site", True, []), ("metric", False, ["load", "cycles"]), ("other_than", False, [])] == [
        (field["name"], field["required"], field["choices"]) for field in fields
    ]
    expected = [{"labels": {"battery_id": BATTERY}, "values": [(NOW.timestamp(), "80")]}]
    assert (expected, False) == (answer.data["utilization"]["series"], answer.data["utilization"]["partial"])
    assert [{"labels": {"maker": "m"}}] == answer.data["preset_result_at"]["series"]


def test_loaders_by_name() -> None:
    """Loaders of statcore and one of the host; the error for an unknown name lists the known names."""

    async def run() -> None:
        ctx = await context(MemoryStatistics())
        manager = ctx.dataloader_manager
        loader = manager.get_loader(ctx, "KernelStatistics.inference_metrics_by_kernel")
        assert {"requests": 3, "last_response_ms": 7} == await loader.load(SESSION)
        assert loader is manager.get_loader(ctx, "KernelStatistics.inference_metrics_by_kernel")
        assert [2, 9] == [
            await manager.get_loader(ctx, "Host.double").load(1),
            await manager.get_loader(ctx, "Host.double", times=3).load(3),
        ]
        manager.check(["AgentStatistics.by_agent", "EndpointStatistics.by_endpoint", "ReplicaStatistics.by_replica"])
        manager.check(["KernelStatistics.by_kernel", "KernelStatistics.by_session"])
        with pytest.raises(InputError, match=r"KernelStatistics\.by_kernel"):
            manager.get_loader(ctx, "KernelStatistics.unknown")

    asyncio.run(run())


def test_the_helpers_on_their_own() -> None:
    """For a host with another framework: each is a coroutine of the context and the keys."""

    async def run() -> None:
        ctx = await context(MemoryStatistics())
        loads = [
            KernelStatistics.batch_load_by_kernel(ctx, [KERNEL]),
            KernelStatistics.batch_load_by_session(ctx, session_ids=[SESSION]),
            KernelStatistics.batch_load_inference_metrics_by_kernel(ctx, session_ids=[SESSION]),
            UtilizationMetrics.batch_load_by_querier(ctx, [BatteryMetricQuerier()], time_range=RANGE),
            PresetMetrics.batch_load_by_query(ctx, [("battery_charge", RANGE)]),
        ]
        assert all([(await load)[0] for load in loads])
        empty = [
            EndpointStatistics.batch_load_by_endpoint(ctx, endpoint_ids=[ENDPOINT]),
            ReplicaStatistics.batch_load_by_replica(ctx, [(ENDPOINT, SESSION)]),
            AgentStatistics.batch_load_by_agent(ctx, ["i-2"]),
        ]
        assert [[None]] * 3 == [list(await load) for load in empty]

    asyncio.run(run())


def test_outcomes_put_errors_in_the_place_of_entries() -> None:
    """An entry that could not be read is an exception; a doubtful one stays and has a remark."""
    bad, stale = Problem(ProblemKind.MALFORMED, message="m"), Problem(ProblemKind.STALE, message="s")
    outcomes = Outcomes.of(StatisticsBatch([None, {"mem": {}}, None], problems={0: bad, 1: stale}))
    assert isinstance(outcomes.values[0], Exception)
    assert ([{"mem": {}}, None], {1: stale}) == (list(outcomes.values[1:]), dict(outcomes.remarks))
