"""Two projects on real servers: what each of them has, services over both or over a part, and what to query of them.

Nothing outside a scope may be seen through it. So the answer to a caller with the scope must be the answer to an operator
of servers that hold only the objects of the scope.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import attrs
from tests.support.graphql_queries import Values
from tests.support.planted_server import RUN_S
from tests.support.web_host import Client, TokenFile, serving

from statcore.model import MetricValue
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, ReplicaRecord
from statcore.plugins import PluginRegistry, Preset
from statcore.queriers import UtilizationMetricQuerier, resolve
from statcore.queriers.container import (
    CONTAINER_METRIC_LABEL,
    CONTAINER_SERIES,
    OWNER_LABELS,
    PROCESS_METRIC_LABEL,
    PROCESS_SERIES,
)
from statcore.runtime import Runtime, Settings, open_runtime
from statcore.services import AGENTS, KERNELS, SESSIONS, SORTS, ObjectKind, ObjectListing, SeriesInventory
from statcore.statistics import StatisticsRepositories
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server
from statcore_memory import MemoryInventory
from statcore_valkey import ValkeyStatisticsSink
from statcore_web import Tokens

Source = Literal["manager", "series"]
"""Where objects and statistics of kernels come from: a host's inventory and the store, or the series of the backend."""
NOW: Final = int(time.time()) // 60 * 60
OWNERS: Final = ("mine", "theirs", "nobody")
"""The owners in the order of their ids; `nobody` has no object."""
VALUES: Final = {"mine": 1_234_560, "theirs": 7_654_320}
NUMBERS: Final = range(4)
SHARED_AGENT: Final = "agent-of-all"
PRESET: Final = Preset(
    name="most",
    description="Bytes.",
    template=f"sum by (${{{{ group_by }}}})(max_over_time({CONTAINER_SERIES}{{${{{{ labels }}}}}}[${{{{ window }}}}]))",
    filter_labels=OWNER_LABELS,
    group_labels=(*OWNER_LABELS, CONTAINER_METRIC_LABEL),
)
KINDS: Final = ("project", "user", "session", "kernel", "endpoint", "replica")


def id_of(kind: str, owner: str, number: int = 0) -> str:
    """Return the id of an object; the ids of several owners alternate."""
    return str(UUID(int=(KINDS.index(kind) + 10) << 100 | number << 32 | (OWNERS.index(owner) + 1) << 8))


def marks_of(owner: str) -> set[str]:
    """Return what shows that something of an owner with objects is in an answer."""
    ids = {str(id_) for kernel in kernels_of(owner) for id_ in kernel.labels.values()}
    served = {id_of(kind, owner, number) for kind in ("endpoint", "replica") for number in range(2)}
    shared = {SHARED_AGENT, id_of("user", "mine")} if owner != "mine" else {SHARED_AGENT}
    values = {str(VALUES[owner] + number) for number in NUMBERS}
    return (ids | served | values | {f"metric_of_{owner}"}) - shared


def kernels_of(owner: str) -> list[KernelRecord]:
    """Return the kernels of an owner: two in a session on an agent of its own, two in others on a shared agent."""
    return [
        KernelRecord(
            kernel_id=id_of("kernel", owner, number),
            session_id=id_of("session", owner, max(number - 1, 0)),
            agent_id=f"agent-of-{owner}" if number < 2 else SHARED_AGENT,
            user_id=id_of("user", owner if number % 2 else "mine"),  # a user who has sessions in both projects
            project_id=id_of("project", owner),
            started_at=datetime.fromtimestamp(NOW + number, UTC),
        )
        for number in NUMBERS
    ]


@attrs.frozen(kw_only=True)
class Part:
    """A scope, and all that is in it."""

    scope: str
    kernels: Sequence[KernelRecord]
    endpoint_owners: Sequence[str]
    agents: Sequence[str]


EVERYTHING: Final = Part(
    scope='"everything"',
    kernels=[*kernels_of("mine"), *kernels_of("theirs")],
    endpoint_owners=["mine", "theirs"],
    agents=["agent-of-mine", "agent-of-theirs", SHARED_AGENT],
)
PROJECT: Final = Part(
    scope=f'{{ project_id = ["{id_of("project", "mine")}"] }}',
    kernels=kernels_of("mine"),
    endpoint_owners=["mine"],
    agents=["agent-of-mine"],
)
AGENT: Final = Part(
    scope='{ agent_id = ["agent-of-mine"] }', kernels=kernels_of("mine")[:2], endpoint_owners=[], agents=["agent-of-mine"]
)


def value_of(kernel: KernelRecord) -> int:
    """Return the value of every metric of a kernel."""
    number = next(number for number in NUMBERS for owner in VALUES if kernel.kernel_id == id_of("kernel", owner, number))
    return VALUES[_owner(kernel)] + number


def _owner(kernel: KernelRecord) -> str:
    return next(owner for owner in VALUES if kernel.project_id == id_of("project", owner))


def labels_of(kernel: KernelRecord) -> dict[str, str]:
    """Return the labels of the owners of a kernel, all of which are known."""
    return {label: str(id_) for label, id_ in kernel.labels.items()}


def planted(part: Part) -> Iterator[PlantedSeries]:
    """Yield the series of the kernels of a part, which do not change from a quarter of an hour before now on."""
    for kernel in part.kernels:
        samples = [(float(at), float(value_of(kernel))) for at in range(NOW - 900, NOW + RUN_S, 60)]
        for metric in ("mem", f"metric_of_{_owner(kernel)}"):
            for value_type in ("current", "capacity"):
                own = {CONTAINER_METRIC_LABEL: metric, "value_type": value_type}
                yield PlantedSeries(CONTAINER_SERIES, {**labels_of(kernel), **own}, samples)
        for metric in ("cpu_util", "mem"):
            process = {PROCESS_METRIC_LABEL: metric, "value_type": "current", "pid": "7"}
            yield PlantedSeries(PROCESS_SERIES, {**labels_of(kernel), **process}, samples)


@attrs.frozen
class ManagerInventory(MemoryInventory):
    """An inventory of some agents, which knows their owners; nobody owns the shared agent."""

    agents: Sequence[str]

    async def list_agents(self, *, limit: int | None = None, offset: int = 0) -> Page[str]:
        """Return a page of the agents."""
        return Page.cut(self.agents, limit=limit, offset=offset)

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return the agents with their owners."""
        return [_agent(id_) if id_ in self.agents else None for id_ in agent_ids]


def _agent(agent_id: str) -> AgentRecord:
    owner = agent_id.removeprefix("agent-of-")
    if agent_id == SHARED_AGENT:
        return AgentRecord(agent_id=agent_id)
    owners = {f"{kind}_id": id_of(kind, owner) for kind in ("user", "project")}
    return AgentRecord(agent_id=agent_id, started_at=datetime.fromtimestamp(NOW, UTC), **owners)


def inventory_of(part: Part) -> MemoryInventory:
    """Return an inventory that has a part and nothing else."""
    inventory = ManagerInventory(part.agents)
    for kernel in part.kernels:
        inventory.register_kernel(kernel)
    for owner in part.endpoint_owners:
        for number in range(2):
            replica = ReplicaRecord(
                replica_id=id_of("replica", owner, number), session_id=id_of("session", owner, number), active=not number
            )
            inventory.register_endpoint(
                EndpointRecord(
                    endpoint_id=id_of("endpoint", owner, number),
                    replicas=(replica,),
                    user_id=id_of("user", owner),
                    project_id=id_of("project", owner),
                    started_at=datetime.fromtimestamp(NOW, UTC),
                )
            )
    return inventory


async def fill(valkey: Server, part: Part) -> None:
    """Write the statistics of a part."""
    sink = ValkeyStatisticsSink.from_url(valkey.url)
    for kernel in part.kernels:
        metric = MetricValue(current=str(value_of(kernel)), capacity=str(value_of(kernel) * 2), pct="50.00")
        names = (f"metric_of_{_owner(kernel)}", "mem", "cpu_util", "cuda_util", "cuda_mem", "net_rx", "net_tx")
        await sink.store_kernel_statistics({kernel.kernel_id: dict.fromkeys(names, metric)})
        session_id = str(kernel.session_id)
        await sink.store_session_activity(session_id, requests=value_of(kernel), last_response_ms=value_of(kernel))
        if session_id == id_of("session", _owner(kernel), 2):
            await sink.store_kernel_statistics({session_id: {f"metric_of_{_owner(kernel)}": metric}})
    for owner in part.endpoint_owners:
        for number in range(2):
            entry = {f"metric_of_{owner}": {"current": str(VALUES[owner] + number)}}
            place = id_of("endpoint", owner, number), id_of("replica", owner, number)
            await sink.store_endpoint_statistics({place[0]: entry})
            await sink.store_replica_statistics({place: entry})
    for agent_id in part.agents:
        total = sum(value_of(kernel) for kernel in part.kernels if kernel.agent_id == agent_id)
        metric = MetricValue(current=str(total), capacity=str(total * 2), pct="50.00")
        devices = {"cuda_mem": {f"gpu of {agent_id}": metric}}
        await sink.store_agent_statistics(agent_id, node={"mem": metric}, devices=devices, interval_s=600)
    await sink.aclose()


@attrs.frozen(eq=False)
class Recorder:
    """A port that records the calls of its methods, without times."""

    port: Any
    calls: list[tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        """Return a method that records its arguments."""
        method = getattr(self.port, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            first = arguments[:1]
            recorded = [resolve(item) if isinstance(item, UtilizationMetricQuerier) else item for item in first]
            self.calls.append((name, f"{recorded} {options.get('match')}"))
            return method(*arguments, **options)

        return call


def recorded(runtime: Runtime, calls: list[tuple[str, str]]) -> Runtime:
    """Return a runtime that records the calls of its ports."""
    store, metrics, inventory = Recorder(runtime.statistics, calls), Recorder(runtime.metrics, calls), runtime.inventory
    kernels = runtime.repository.source.kernels
    return Runtime(
        statistics=store,
        repository=StatisticsRepositories.create(
            store,
            kernels=attrs.evolve(kernels, promql=metrics) if isinstance(kernels, KernelLiveStatService) else kernels,
        ).repository,
        metrics=metrics,
        inventory=(
            attrs.evolve(inventory, metrics=metrics)
            if isinstance(inventory, SeriesInventory)
            else Recorder(inventory, calls)
        ),
    )


@attrs.frozen(kw_only=True)
class Service:
    """A running service over a part, with a token for everything and one for a scope.

    Args:
        client: sends requests.
        runtime: the ports of the service.
        operator: the secret of the token for everything.
        scoped: the secret of the token for the scope.
        calls: the calls of ports so far.
    """

    client: Client
    runtime: Runtime
    operator: str
    scoped: str
    calls: list[tuple[str, str]]


@asynccontextmanager
async def running(
    part: Part, valkey: Server, prometheus: Server, folder: Path, *, scope: str, source: Source, **presets: Preset
) -> AsyncGenerator[Service]:
    """Serve a part from its servers within the block, after its statistics are written."""
    await fill(valkey, part)
    file = TokenFile(folder / f"tokens-{valkey.port}.toml")
    secrets = file.write(scoped=f"scope = {scope}", operator='scope = "everything"')
    settings = Settings(
        statistics_url=valkey.url,
        metrics_url=prometheus.url,
        kernel_statistics="metrics" if source == "series" else "store",
    )
    plugins, calls = PluginRegistry.discover(), list[tuple[str, str]]()
    options: dict[str, Any] = {"tokens": Tokens(str(file.path)), "presets": {"most": PRESET, **presets}}
    async with open_runtime(settings, plugins) as opened:
        runtime = opened if source == "series" else attrs.evolve(opened, inventory=inventory_of(part))
        runtime = recorded(runtime, calls)
        async with serving(runtime, plugins=plugins, **options) as client:
            yield Service(client=client, runtime=runtime, calls=calls, **secrets)


def without_owner(text: str, owner: str) -> str:
    """Return a text in which each mark of an owner says only what it is."""
    for kind in KINDS:
        for number in NUMBERS:
            text = text.replace(id_of(kind, owner, number), f"{kind}-{number}")
    return re.sub(rf"(agent-of|metric_of)(.){owner}", r"\1\2X", text)


async def cursors(runtime: Runtime) -> list[dict[str, Any]]:
    """Return the arguments of the second pages of an operator's lists, in many orders."""
    listing, found = ObjectListing(runtime.inventory, runtime.repository), list[dict[str, Any]]()
    kinds: Sequence[ObjectKind[Any]] = (SESSIONS, KERNELS, AGENTS)
    for kind in kinds:
        for sort in ("id", "-id", "-mem_bytes", "user_id", "kernels"):
            page = await listing.read(kind, sort=sort, limit=2)
            found.append({"sort": sort, "after": page.next_cursor, "limit": 2})
    return found


def values_of(owner: str, pages: Sequence[dict[str, Any]] = ()) -> Values:
    """Return what to try for each argument, with the ids and names of an owner."""
    (kernel, *_, last) = kernels_of(owner)
    ids = labels_of(kernel)
    metrics, own_metric = ("mem", f"metric_of_{owner}"), f"metric_of_{owner}"
    theirs_and_mine = [id_of("project", "mine"), id_of("project", owner)]
    hostile = (".*", '"} or vector(1) #', "")
    return {
        "session_id": [{"session_id": id_} for id_ in (kernel.session_id, last.session_id, kernel.kernel_id, "x", "")],
        "kernel_id": [{"kernel_id": id_} for id_ in (kernel.kernel_id, last.kernel_id, kernel.session_id, "x", "")],
        "agent_id": [{"agent_id": id_} for id_ in (kernel.agent_id, SHARED_AGENT, ".*", "")],
        "endpoint_id": [{"endpoint_id": id_of("endpoint", owner, number)} for number in range(3)],
        "metric_name": [{"metric_name": name} for name in (*metrics, ".*", "")],
        "value_type": [{"value_type": type_} for type_ in ("current", "capacity", "pct", "")],
        "querier": [{"querier": "container"}, {"querier": "nothing"}],
        "selector": [
            {"selector": {"metric_name": own_metric}},
            *({"selector": {"metric_name": metric, label: id_}} for metric in metrics for label, id_ in ids.items()),
            {"selector": {"metric_name": "mem", "value_type": "pct", "user_id": ids["user_id"]}},
            {"selector": {"metric_name": "mem", **ids}},
            *({"selector": {"metric_name": text}} for text in hostile),
            {"selector": {"metric_name": "mem", "agent_id": ".*"}},
            {"selector": {"no_such_field": own_metric}},
        ],
        "name": [{"name": "most"}, {"name": own_metric}],
        "labels": [
            *({"labels": {label: id_}, "group_labels": list(PRESET.group_labels)} for label, id_ in ids.items()),
            {"labels": {"project_id": theirs_and_mine}, "group_labels": ["project_id"]},
            *({"labels": {"project_id": text}} for text in hostile),
            {"labels": {"__name__": own_metric}},
            {"labels": {"project_id": []}},
        ],
        "group_labels": [{"group_labels": [label]} for label in (*PRESET.group_labels, "value_type", own_metric)],
        "window": [{"window": text} for text in ("2m", "1h", "0s", "x")],
        "filter": [
            *({"filter": [f"{label}={id_}"]} for label, id_ in ids.items()),
            *({"filter": [id_]} for id_ in ids.values()),
            {"filter": [f"project_id={ids['project_id']}"], "sort": "-mem_bytes"},
            {"filter": [f"user_id={id_of('user', owner)}", "-"], "sort": "kernels"},
            {"filter": [f"metric={own_metric}"]},
        ],
        "sort": [{"sort": sort, "limit": 2} for sort in (*SORTS, "-id", "-mem_bytes", own_metric)],
        "after": [*pages, {"after": own_metric}, {"after": "", "sort": "kernels"}],
        "limit": [{"limit": 100}, {"limit": 1}, {"limit": 0}, {"limit": -1}, {"limit": 10_001}],
        "offset": [{"offset": 0}, {"offset": 1}, {"offset": 3}, {"offset": -1}],
        "fields": [{"fields": [f"{name}.current"]} for name in metrics] + [{"fields": ["mem"]}],
        "start": [{"start": str(NOW - 600)}, {"start": "x"}],
        "end": [{"end": str(NOW)}, {"end": str(NOW + 60)}],
        "step": [{"step": "1m"}, {"step": "1ms"}],
        "time": [{"time": str(NOW)}, {"time": "now"}],
    }
