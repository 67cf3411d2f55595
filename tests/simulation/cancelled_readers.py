"""The coroutines of inventories, lists, the health check and auto-scaling, with calls of each."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from tests.simulation.cancelled_cases import Calls, Subject
from tests.simulation.cancelled_statistics import AGENT_SCOPE, ENDPOINT_IDS, KERNEL_IDS, SCOPE, of_parts
from tests.simulation.cancelled_world import NOW, Ports, on_memory, on_servers, querier
from tests.support.scoped_world import AGENTS, PRESETS, SESSION_IDS

from statcore.consumers import (
    Deployment,
    DeploymentRepository,
    MetricSource,
    PresetQuery,
    ScalingRule,
    ScheduleRepository,
    ThresholdRule,
)
from statcore.errors import UnsupportedError
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.scopes.inventory import ConfinedInventory
from statcore.services import KERNELS as KERNEL_LIST
from statcore.services import SESSIONS as SESSION_LIST
from statcore.services import ObjectListing, SeriesInventory, health
from statcore.statistics import StatisticsStatefulSource
from statcore_memory import MemoryInventory

FIND: Calls = {
    "find_sessions": of_parts("find_sessions", SESSION_IDS),
    "find_kernels": of_parts("find_kernels", KERNEL_IDS),
    "find_endpoints": of_parts("find_endpoints", ENDPOINT_IDS),
    "find_agents": of_parts("find_agents", AGENTS),
}
LIST: Calls = {
    "list_sessions": [lambda inventory: inventory.list_sessions(), lambda inventory: inventory.list_sessions(limit=2)],
    "list_kernels": [lambda inventory: inventory.list_kernels(), lambda inventory: inventory.list_kernels(limit=3)],
    "list_endpoints": [lambda inventory: inventory.list_endpoints(), lambda inventory: inventory.list_endpoints(limit=1)],
    "list_agents": [lambda inventory: inventory.list_agents(), lambda inventory: inventory.list_agents(limit=1)],
}


WITHOUT_ENDPOINTS: Calls = {name: calls for name, calls in {**FIND, **LIST}.items() if "endpoints" not in name}


async def refused(call: Awaitable[object]) -> object:
    """Return why a call is refused."""
    try:
        return await call
    except UnsupportedError as error:
        return str(error)


def over_series(ports: Ports) -> SeriesInventory:
    """Return the inventory of what has series."""
    return SeriesInventory(ports.metrics, clock=lambda: NOW)


def confined_over_series(ports: Ports) -> Any:
    """Return the inventory of a scope, of what has series."""
    runtime = Runtime(
        statistics=ports.statistics, repository=ports.repository, metrics=ports.metrics, inventory=over_series(ports)
    )
    return confine(runtime, AGENT_SCOPE).inventory


def rules(number: int) -> Sequence[ScalingRule]:
    """Return rules that look at every kind of data."""
    labels = {"kernel_id": KERNEL_IDS[number]}
    bounds: dict[str, Any] = {"upper_threshold": number, "lower_threshold": 0}
    return [
        ThresholdRule(name=f"framework {number}", source=MetricSource.INFERENCE_FRAMEWORK, metric_name="load", **bounds),
        ThresholdRule(name=f"kernel {number}", source=MetricSource.KERNEL, metric_name="mem", **bounds),
        ThresholdRule(name=f"query {number}", source=MetricSource.PROMETHEUS, querier=querier(number), **bounds),
        ThresholdRule(
            name=f"preset {number}", source=MetricSource.PRESET, preset=PresetQuery("most", labels=labels), **bounds
        ),
    ]


def scaler(kind: Any, ports: Ports) -> Any:
    """Return a scaler over the ports."""
    source = StatisticsStatefulSource(ports.statistics)
    return kind(source, ports.inventory, metrics=ports.metrics, presets=PRESETS)


async def decide(scaler: DeploymentRepository, number: int) -> object:
    """Return the decisions for all endpoints."""
    deployments = [Deployment(endpoint_id=id_, replicas=number, rules=rules(number)) for id_ in ENDPOINT_IDS]
    return [str(decision) for decision in await scaler.decide_replicas(deployments, now=NOW)]


async def autoscale(scaler: ScheduleRepository, number: int) -> object:
    """Return the decisions for all endpoints."""
    return [str(found) for found in (await scaler.autoscale(dict.fromkeys(ENDPOINT_IDS, rules(number)), now=NOW)).values()]


async def check_health(ports: Ports) -> object:
    """Return the report on both ports."""
    return (await health.check_health({"store": ports.statistics, "metrics": ports.metrics})).to_json()


SUBJECTS = [
    Subject(home=MemoryInventory, ports=on_memory, of=lambda ports: ports.inventory, calls={**FIND, **LIST}),
    Subject(
        home=SeriesInventory,
        ports=on_servers,
        of=over_series,
        calls={
            **WITHOUT_ENDPOINTS,
            "find_endpoints": [lambda inventory: refused(inventory.find_endpoints(ENDPOINT_IDS))],
            "list_endpoints": [lambda inventory: refused(inventory.list_endpoints())],
        },
    ),
    Subject(home=ConfinedInventory, ports=on_servers, of=confined_over_series, calls=WITHOUT_ENDPOINTS, note="over series"),
    Subject(
        home=ConfinedInventory,
        ports=on_memory,
        of=lambda ports: confine(ports, Scope.any_of([SCOPE, AGENT_SCOPE])).inventory,
        calls={**FIND, **LIST},
    ),
    Subject(
        home=ObjectListing,
        ports=on_servers,
        of=lambda ports: ObjectListing(ports.inventory, ports.repository),
        calls={
            "read": [
                lambda listing: listing.read(KERNEL_LIST, sort="-mem_bytes", figures=True),
                lambda listing: listing.read(SESSION_LIST, sort="mem_bytes", figures=True),
                lambda listing: listing.read(KERNEL_LIST, sort="mem_bytes", limit=3),
            ]
        },
    ),
    Subject(home=health, ports=on_servers, calls={"check_health": [check_health]}),
    Subject(
        home=DeploymentRepository,
        ports=on_servers,
        of=lambda ports: scaler(DeploymentRepository, ports),
        calls={
            "decide_replicas": [
                lambda scaler: decide(scaler, 2),
                lambda scaler: decide(scaler, 5),
                lambda scaler: decide(scaler, 9),
            ]
        },
    ),
    Subject(
        home=ScheduleRepository,
        ports=on_servers,
        of=lambda ports: scaler(ScheduleRepository, ports),
        calls={"autoscale": [lambda scaler: autoscale(scaler, 2), lambda scaler: autoscale(scaler, 5)]},
    ),
]
