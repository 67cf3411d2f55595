"""A small cluster of several owners, scopes of it, and what would be left of it if nothing else existed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import NAMESPACE_OID, uuid5

from hypothesis import strategies as st

from statcore.model import MetricValue, QueryTimeRange
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.ports.sink import ScrapeSample, StatisticsSinkPort
from statcore.promql.templates import Preset
from statcore.queriers import LabelMatcher, PercentOfCapacity, QueryStrategy
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, OWNER_LABELS, UNKNOWN_OWNER
from statcore.queriers.interface import Strategy
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.statistics import StatisticsRepositories
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

Pairs: TypeAlias = list[tuple[str, str | LabelMatcher]]

START: Final = datetime(2024, 1, 1, tzinfo=UTC)
RANGE: Final = QueryTimeRange(start=START, end=START + timedelta(minutes=3), step="1m")
STRATEGIES: Final[Sequence[Strategy]] = (QueryStrategy.GAUGE, QueryStrategy.RATE, PercentOfCapacity())
AGENTS: Final = ("i-1", "i-2")
PRESETS: Final = {
    "most": Preset(
        name="most",
        description="Bytes.",
        template=f"sum by (${{{{ group_by }}}})({CONTAINER_SERIES}{{${{{{ labels }}}}}})",
        filter_labels=OWNER_LABELS,
        group_labels=OWNER_LABELS,
    )
}


def id_of(kind: str, number: int) -> str:
    """Return the id of an object, always the same."""
    return str(uuid5(NAMESPACE_OID, f"{kind} {number}"))


KERNELS: Final = [
    KernelRecord(
        kernel_id=id_of("kernel", number),
        session_id=id_of("session", number // 2),
        agent_id=AGENTS[number % 2] if number % 5 else None,
        user_id=id_of("user", number // 4 % 3),
        project_id=id_of("project", number // 2 % 2) if number % 7 else None,
    )
    for number in range(16)
]
SESSION_IDS: Final = sorted({kernel.session_id or "" for kernel in KERNELS})
ENDPOINTS: Final = [
    EndpointRecord(
        endpoint_id=id_of("endpoint", number),
        replicas=(ReplicaRecord(replica_id=id_of("replica", number)),),
        user_id=id_of("user", number % 3),
        project_id=id_of("project", number % 2) if number else None,
    )
    for number in range(4)
]
VALUES: Final[dict[str, Sequence[str]]] = {
    "kernel_id": [kernel.kernel_id for kernel in KERNELS[:4]],
    "session_id": SESSION_IDS[:3],
    "agent_id": AGENTS,
    "user_id": [id_of("user", number) for number in range(4)],
    "project_id": [id_of("project", number) for number in range(3)],
}


async def world(kernels: Iterable[KernelRecord], endpoints: Iterable[EndpointRecord], agents: Iterable[str]) -> Runtime:
    """Return the ports of a cluster that has these objects and no others."""
    store, metrics, inventory = MemoryStatistics(), MemoryMetrics(), MemoryInventory()
    kernels, endpoints = list(kernels), list(endpoints)
    for kernel in KERNELS:
        if kernel in kernels:
            inventory.register_kernel(kernel)
    for endpoint in endpoints:
        inventory.register_endpoint(endpoint)
    await fill(store, kernels, endpoints, agents)
    for minute in range(4):
        metrics.append_scrape(samples(kernels, minute), target="agents", time=START + timedelta(minutes=minute))
    repository = StatisticsRepositories.create(store).repository
    return Runtime(statistics=store, repository=repository, metrics=metrics, inventory=inventory)


async def fill(
    sink: StatisticsSinkPort, kernels: Iterable[KernelRecord], endpoints: Iterable[EndpointRecord], agents: Iterable[str]
) -> None:
    """Store the statistics of these objects."""
    kernels = list(kernels)
    for number, kernel in enumerate(KERNELS):
        if kernel in kernels:
            await sink.store_kernel_statistics({kernel.kernel_id: {"mem": MetricValue(current=str(number))}})
    for session_id in sorted({kernel.session_id or "" for kernel in kernels}):
        count = SESSION_IDS.index(session_id)
        await sink.store_session_activity(session_id, requests=count, last_response_ms=count)
    for endpoint in endpoints:
        await sink.store_endpoint_statistics({endpoint.endpoint_id: {"load": {"current": endpoint.endpoint_id}}})
        for replica in endpoint.replicas:
            place = endpoint.endpoint_id, replica.replica_id
            await sink.store_replica_statistics({place: {"load": {"current": replica.replica_id}}})
    for agent_id in agents:
        await sink.store_agent_statistics(agent_id, node={"mem": MetricValue(current=agent_id)}, devices={}, interval_s=5)


def samples(kernels: Iterable[KernelRecord], minute: int) -> list[ScrapeSample]:
    """Return what agents export for kernels, a number of minutes after the start."""
    kernels = list(kernels)
    return [
        (CONTAINER_SERIES, labels(kernel, value_type), float(number * minute + (value_type == "capacity")))
        for number, kernel in enumerate(KERNELS)
        if kernel in kernels
        for value_type in ("current", "capacity")
    ]


def labels(kernel: KernelRecord, value_type: str) -> dict[str, str]:
    """Return the labels that an agent exports for a kernel."""
    owners = {label: owner or UNKNOWN_OWNER for label, owner in kernel.labels.items()}
    return {CONTAINER_METRIC_LABEL: "mem", "value_type": value_type, **owners}


@st.composite
def scopes(draw: st.DrawFn, *, alternatives: int = 3) -> Scope:
    """Draw a scope of some alternatives, each with some labels and values."""
    parts: list[Scope] = []
    for _ in range(draw(st.integers(1, alternatives))):
        names = draw(st.lists(st.sampled_from(OWNER_LABELS), min_size=1, max_size=2, unique=True))
        chosen = {name: draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=2)) for name in names}
        parts.append(Scope.of(**chosen))
    return Scope.any_of(parts)


@st.composite
def matchers(draw: st.DrawFn) -> Pairs:
    """Draw what a caller filters by, also by owners outside the scope."""
    pairs: Pairs = []
    for name in draw(st.lists(st.sampled_from(OWNER_LABELS), max_size=2, unique=True)):
        values = draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=2))
        every: Sequence[str | LabelMatcher] = (
            *(values[0], LabelMatcher.one_of(values)),
            *(LabelMatcher.not_equal(values[0]), LabelMatcher.regex(".*")),
        )
        pairs.append((name, draw(st.sampled_from(every))))
    return pairs


def allowed(scope: Scope, kernel: KernelRecord) -> bool:
    """Return whether a kernel fulfils all conditions of an alternative."""
    owners: dict[str, Any] = kernel.labels
    return any(all(owners[label] in values for label, values in conditions) for conditions in scope.alternatives)


async def worlds(scope: Scope) -> tuple[Runtime, Runtime]:
    """Return the whole cluster confined to a scope, and a cluster that has only the objects of the scope."""
    everything = await world(KERNELS, ENDPOINTS, AGENTS)
    kernels = [kernel for kernel in KERNELS if allowed(scope, kernel)]
    endpoints = [e for e in ENDPOINTS if scope.includes(user_id=e.user_id, project_id=e.project_id)]
    agents = [id_ for id_ in AGENTS if scope.includes(agent_id=id_)]
    return confine(everything, scope), await world(kernels, endpoints, agents)
