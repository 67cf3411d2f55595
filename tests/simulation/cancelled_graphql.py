"""The coroutines of GraphQL: requests, loaders and their batch functions, with calls of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from tests.simulation.cancelled_cases import Call, Subject
from tests.simulation.cancelled_metrics import promql
from tests.simulation.cancelled_statistics import ENDPOINT_IDS, KERNEL_IDS, REPLICAS
from tests.simulation.cancelled_world import RANGE, Ports, on_servers, querier
from tests.support.scoped_world import AGENTS, PRESETS, SESSION_IDS

from statcore.plugins import PluginRegistry
from statcore_graphql import (
    AgentStatistics,
    BatchLoader,
    DataLoaderManager,
    EndpointStatistics,
    GraphQueryContext,
    KernelStatistics,
    PresetMetrics,
    ReplicaStatistics,
    UtilizationMetrics,
)
from statcore_graphql.schema import Query, build_schema

MANAGER = DataLoaderManager()
SCHEMA = build_schema(MANAGER)
TIMES = f'start: "{RANGE.start.isoformat()}", end: "{RANGE.end.isoformat()}", step: "1m"'
OBJECT = "figures { mem_bytes } live_stat"
SESSION = (
    f"session_id kernels {{ kernel_id {OBJECT} processes {{ pid }} }} inference_metrics {OBJECT} "
    f'utilization(metric_name: "mem", {TIMES}) {{ series {{ values }} }}'
)
ENDPOINT = f"endpoint_id replicas {{ live_stat }} {OBJECT}"
AGENT = f"agent_id devices {{ metric }} {OBJECT}"
SERIES = "series { labels values } promql"


@cache
def plugins() -> PluginRegistry:
    """Return the plugins."""
    return PluginRegistry.discover()


def context(ports: Ports) -> GraphQueryContext:
    """Return the context of a request."""
    return GraphQueryContext(
        statistics_repository=ports.repository,
        inventory=ports.inventory,
        metrics=ports.metrics,
        plugins=plugins(),
        dataloader_manager=MANAGER,
        presets=PRESETS,
    )


def query(*fields: str) -> Sequence[Call]:
    """Return requests, one for each field."""

    async def execute(field: str, ports: Ports) -> object:
        result = await SCHEMA.execute(f"{{ {field} }}", context_value=context(ports))
        return result.data, [error.formatted for error in result.errors or []], result.extensions

    return [partial(execute, field) for field in fields]


def of_keys(load: Callable[..., Any], keys: Sequence[Any], **parameters: Any) -> Sequence[Call]:
    """Return calls of a batch function for parts of the keys."""
    parts = keys[2:], keys[:1], keys[:2]

    async def call(part: Sequence[Any], request: GraphQueryContext) -> object:
        return await load(request, part, **parameters)

    return [partial(call, part) for part in parts]


async def load_again(loader: BatchLoader[str], keys: Sequence[str]) -> object:
    """Load keys that may be loaded already."""
    loader.clear_all()
    return [entry and dict(entry) for entry in await loader.load_many(keys)]


async def load_together(loader: BatchLoader[str]) -> object:
    """Load keys for several waiters, which share the read."""
    loader.clear_all()
    futures = loader.load(KERNEL_IDS[0]), loader.load(KERNEL_IDS[1])
    loaded = await asyncio.gather(*futures, loader.load_many(KERNEL_IDS[2:4]), loader.load_many(KERNEL_IDS[3:]))
    return repr(loaded)


SUBJECTS = [
    Subject(
        home=Query,
        ports=on_servers,
        is_client=True,
        calls={
            "compute_session_list": query(
                f"compute_session_list {{ items {{ {SESSION} }} }}",
                'compute_session_list(sort: "-mem_bytes", limit: 2) { items { session_id live_stat } next_cursor }',
                'compute_session_list { columns(fields: ["mem.current"]) { values } }',
            ),
            "compute_session": query(*(f'compute_session(session_id: "{id_}") {{ {SESSION} }}' for id_ in SESSION_IDS[:3])),
            "kernel": query(*(f'kernel(kernel_id: "{id_}") {{ {OBJECT} }}' for id_ in KERNEL_IDS[7:10])),
            "kernel_list": query(
                f"kernel_list {{ items {{ {OBJECT} }} }}", f"kernel_list(limit: 3) {{ items {{ {OBJECT} }} }}"
            ),
            "endpoint": query(*(f'endpoint(endpoint_id: "{id_}") {{ {ENDPOINT} }}' for id_ in ENDPOINT_IDS[:3])),
            "endpoint_list": query(f"endpoint_list {{ items {{ {ENDPOINT} }} }}"),
            "agent": query(*(f'agent(agent_id: "{id_}") {{ {AGENT} }}' for id_ in AGENTS)),
            "agent_list": query(f"agent_list {{ items {{ {AGENT} }} }}"),
            "available_metrics": query('available_metrics(querier: "container")'),
            "utilization": query(
                *(
                    f'utilization(querier: "container", selector: {{metric_name: "mem", value_type: "current", '
                    f'kernel_id: "{id_}"}}, {TIMES}) {{ {SERIES} }}'
                    for id_ in KERNEL_IDS[2:4]
                )
            ),
            "preset_result": query(
                *(
                    f'preset_result(name: "most", labels: {{kernel_id: "{id_}"}}, {TIMES}) {{ {SERIES} }}'
                    for id_ in KERNEL_IDS[2:4]
                )
            ),
            "preset_result_at": query(
                *(
                    f'preset_result_at(name: "most", labels: {{kernel_id: "{id_}"}}, time: "{RANGE.end.isoformat()}") '
                    f"{{ {SERIES} }}"
                    for id_ in KERNEL_IDS[2:4]
                )
            ),
            "health": query("health { healthy }"),
        },
    ),
    Subject(
        home=BatchLoader,
        ports=on_servers,
        of=lambda ports: MANAGER.get_loader(context(ports), "KernelStatistics.by_kernel"),
        calls={"load_many": [lambda loader: load_again(loader, KERNEL_IDS)]},
    ),
    Subject(
        home=BatchLoader,
        ports=on_servers,
        of=lambda ports: MANAGER.get_loader(context(ports), "KernelStatistics.by_kernel"),
        calls={"load_many": [load_together]},
        is_client=True,
        note="shared",
    ),
    Subject(
        home=KernelStatistics,
        ports=on_servers,
        of=context,
        calls={
            "batch_load_by_kernel": of_keys(KernelStatistics.batch_load_by_kernel, KERNEL_IDS),
            "batch_load_by_session": of_keys(KernelStatistics.batch_load_by_session, SESSION_IDS),
            "batch_load_inference_metrics_by_kernel": of_keys(
                KernelStatistics.batch_load_inference_metrics_by_kernel, SESSION_IDS
            ),
        },
    ),
    Subject(
        home=EndpointStatistics,
        ports=on_servers,
        of=context,
        calls={
            "batch_load_by_endpoint": of_keys(EndpointStatistics.batch_load_by_endpoint, ENDPOINT_IDS),
            "batch_load_kernels_by_endpoint": of_keys(
                EndpointStatistics.batch_load_kernels_by_endpoint,
                [(id_, (session_id,)) for id_, session_id in zip(ENDPOINT_IDS, SESSION_IDS, strict=False)],
            ),
        },
    ),
    Subject(
        home=ReplicaStatistics,
        ports=on_servers,
        of=context,
        calls={"batch_load_by_replica": of_keys(ReplicaStatistics.batch_load_by_replica, REPLICAS)},
    ),
    Subject(
        home=AgentStatistics,
        ports=on_servers,
        of=context,
        calls={"batch_load_by_agent": of_keys(AgentStatistics.batch_load_by_agent, [*AGENTS, "i-3"])},
    ),
    Subject(
        home=UtilizationMetrics,
        ports=on_servers,
        of=context,
        calls={
            "batch_load_by_querier": of_keys(
                UtilizationMetrics.batch_load_by_querier, [*map(querier, range(2, 7))], time_range=RANGE
            )
        },
    ),
    Subject(
        home=PresetMetrics,
        ports=on_servers,
        of=context,
        calls={
            "batch_load_by_query": of_keys(
                PresetMetrics.batch_load_by_query, [(promql(number), RANGE) for number in range(2, 7)]
            )
        },
    ),
]
