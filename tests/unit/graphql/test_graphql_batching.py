"""The number of reads for a query."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from tests.support.graphql_host import (
    CountedMetrics,
    CountedStatistics,
    Host,
    endpoint_id,
    inventory_of,
    kernel_id,
    replica_id,
    session_id,
)

from statcore.errors import UnavailableError
from statcore.model import MatrixResult, MetricValue, QueryTimeRange
from statcore.queriers import UtilizationMetricQuerier
from statcore_graphql.schema import Query
from statcore_graphql.schema.loaded import statistics_field
from statcore_memory import MemoryStatistics

TIMES = 'start: "1795000000", end: "1795000060", step: "30s"'
UTILIZATION = f'utilization(metric_name: "mem", {TIMES}) {{ series {{ labels }} }}'
MEM = f'utilization(querier: "container", selector: {{metric_name: "mem", user_id: $user}}, {TIMES}) {{ partial }}'


def counted(sessions: int, *, query: type = Query, **options: Any) -> tuple[Host, list[tuple[str, int]]]:
    """Return a host, and the list of its reads."""
    store: Any = CountedStatistics(MemoryStatistics())
    return Host(statistics=store, inventory=inventory_of(sessions, **options), query=query), store.reads


@pytest.mark.parametrize("sessions", [1, 10, 100, 1_000])
async def test_one_read_per_kind_however_many_sessions(sessions: int) -> None:
    """Sessions and kernels are stored in the same way, and are read together under any alias."""
    host, reads = counted(sessions, kernels=2, endpoints=sessions)
    await host.execute(
        """query ($limit: Int!) {
            one: compute_session_list(limit: $limit) {
                items { inference_metrics live_stat kernels { live_stat again: live_stat } }
            }
            two: compute_session_list(limit: $limit) { items { inference_metrics kernels { kernel_id live_stat } } }
            endpoint_list(limit: $limit) { items { live_stat replicas { live_stat } } }
            agent_list(limit: $limit) { items { live_stat } }
        }""",
        limit=sessions,
    )
    expected = [
        ("agent_statistics", min(sessions, 3)),
        ("endpoint_statistics", sessions),
        ("inference_metrics", sessions),
        ("kernel_statistics", 3 * sessions),
        ("replica_statistics", sessions),
    ]
    assert expected == sorted(reads)


async def test_only_selected_fields_are_read() -> None:
    """Ids alone need no read, and a kind is not read for another kind."""
    host, reads = counted(5)
    await host.execute_cleanly("{ compute_session_list { items { session_id kernels { kernel_id } } } }")
    assert [] == reads
    await host.execute("{ compute_session_list { items { inference_metrics } } }")
    assert [("inference_metrics", 5)] == reads


async def test_beyond_a_chunk_only_the_chunks_are_read() -> None:
    """The chunk size of the repository applies."""
    store = CountedStatistics(MemoryStatistics())
    host = Host(statistics=store, inventory=inventory_of(1_000), chunk_size=300)
    await host.execute("{ compute_session_list(limit: 1000) { items { live_stat kernels { live_stat } } } }")
    assert [*[("kernel_statistics", 300)] * 6, ("kernel_statistics", 200)] == store.reads


async def test_every_object_gets_its_own_entry_of_a_shared_read() -> None:
    """Objects without an entry do not shift the others."""
    host, _ = counted(200, kernels=2, endpoints=200)
    store: Any = host.statistics
    for number in range(0, 200, 3):
        value = {"mem": MetricValue(current=f"{number}")}
        await store.store.store_kernel_statistics({session_id(number): value, kernel_id(number, 1): value})
        await store.store.store_session_activity(session_id(number), requests=number, last_response_ms=1)
        await store.store.store_endpoint_statistics({endpoint_id(number): {"n": {"current": f"{number}"}}})
        await store.store.store_replica_statistics(
            {(endpoint_id(number), replica_id(number)): {"r": {"current": f"{number}"}}}
        )
    answer = await host.execute(
        """{
            compute_session_list(limit: 200) { items { live_stat inference_metrics kernels { live_stat } } }
            endpoint_list(limit: 200) { items { live_stat replicas { live_stat } } }
        }"""
    )
    assert [] == answer.errors
    for number, (session, endpoint) in enumerate(
        zip(answer.data["compute_session_list"]["items"], answer.data["endpoint_list"]["items"], strict=True)
    ):
        there = number % 3 == 0
        mem = session["live_stat"] and session["live_stat"]["mem"]["current"]
        assert (str(number) if there else None) == mem
        assert [None, session["live_stat"]] == [kernel["live_stat"] for kernel in session["kernels"]]
        assert number * there == session["inference_metrics"]["requests"]
        assert ({"n": {"current": str(number)}} if there else None) == endpoint["live_stat"]
        assert [{"live_stat": {"r": {"current": str(number)}} if there else None}] == endpoint["replicas"]
    incomplete = {f"compute_session_list.items.{number}.inference_metrics" for number in range(200) if number % 3}
    assert incomplete == set(answer.problems)


@strawberry.type
class Branch:
    """A host's object with two more objects of its type below it."""

    number: int
    live_stat = statistics_field(
        "KernelStatistics.by_kernel", key=lambda branch: session_id(branch.number), description="the host's"
    )

    @strawberry.field
    def branches(self) -> list[Branch]:
        """Return two objects."""
        return [Branch(number=2 * self.number + 1), Branch(number=2 * self.number + 2)]


@strawberry.type
class Tree(Query):
    """A host's query with such an object."""

    @strawberry.field
    def root(self) -> Branch:
        """Return the root object."""
        return Branch(number=0)


async def test_one_read_however_deep_the_objects_are() -> None:
    """All keys of an answer are requested before the first read."""
    host, reads = counted(0, query=Tree)
    selected = "live_stat"
    for _ in range(6):
        selected = f"live_stat branches {{ {selected} }}"
    await host.execute_cleanly(f"{{ root {{ {selected} }} }}")
    assert [("kernel_statistics", 2**7 - 1)] == reads


@pytest.mark.parametrize(("sessions", "requests"), [(1, 1), (256, 1), (257, 2), (600, 3)])
async def test_utilization_requests_grow_with_the_batches_of_ids(sessions: int, requests: int) -> None:
    """A request has 256 sessions of one metric."""
    backend = CountedMetrics()
    host = Host(metrics=backend, inventory=inventory_of(sessions))
    await host.execute_cleanly(f"{{ compute_session_list(limit: 600) {{ items {{ {UTILIZATION} }} }} }}")
    assert requests == len(backend.queries)
    second = UTILIZATION.replace('"mem"', '"cpu_util"')
    await host.execute_cleanly(f"{{ compute_session_list(limit: 600) {{ items {{ one: {UTILIZATION} two: {second} }} }} }}")
    assert 3 * requests == len(backend.queries)


async def test_coalesced_utilization_fields_share_a_request() -> None:
    """Aliases that differ in one label, or not at all, share it; another time range is another request."""
    backend = CountedMetrics()
    aliased = " ".join(f"a{number}: {MEM.replace('$user', f'$user{number}')}" for number in (1, 2))
    other = MEM.replace("30s", "15s").replace("$user", "$user1")
    await Host(metrics=backend).execute_cleanly(
        f"query ($user1: String!, $user2: String!) {{ {aliased} again: {MEM.replace('$user', '$user1')} other: {other} }}",
        user1=session_id(1),
        user2=session_id(2),
    )
    assert [2, 1] == [len(querier.positions) for querier in backend.queries]  # type: ignore[attr-defined]


class HalfDown(CountedMetrics):
    """A backend that fails for one metric."""

    async def query_utilization(
        self, querier: UtilizationMetricQuerier, time_range: QueryTimeRange, **options: Any
    ) -> MatrixResult:
        """Answer, or raise."""
        if querier.labels()["container_metric_name"] == "cpu_util":
            raise UnavailableError("down")
        return await super().query_utilization(querier, time_range, **options)


async def test_a_failed_request_is_an_error_of_its_fields_only() -> None:
    """The other metric of the same sessions is answered."""
    second = UTILIZATION.replace('"mem"', '"cpu_util"')
    answer = await Host(metrics=HalfDown(), inventory=inventory_of(3)).execute(
        f"{{ compute_session_list {{ items {{ one: {UTILIZATION} two: {second} }} }} }}"
    )
    assert [{"one": {"series": []}, "two": None}] * 3 == answer.data["compute_session_list"]["items"]
    expected = {f"compute_session_list.items.{number}.two": "UnavailableError" for number in range(3)}
    assert expected == answer.codes
