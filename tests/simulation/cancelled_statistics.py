"""The coroutines of stores, and of what reads from a store, with calls of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from tests.simulation.cancelled_cases import Call, Calls, Opening, Subject
from tests.simulation.cancelled_world import Ports, on_cluster, on_hosts_clients, on_memory, on_sentinels, on_servers
from tests.support.scoped_world import AGENTS, ENDPOINTS, KERNELS, SESSION_IDS, VALUES

from statcore.concurrency import Deadline
from statcore.model import MetricValue, StatisticsBatch
from statcore.plugins import PluginReport, PluginStatus
from statcore.plugins.checked_ports import Contributor, checked_sink, checked_statistics
from statcore.ports import StatisticsPort
from statcore.ports.promql import as_promql
from statcore.scopes import Scope, confine
from statcore.scopes.statistics import ConfinedKernelStatistics, ConfinedStatistics
from statcore.services import KernelLiveStatService
from statcore.statistics import ClientStatistics, SessionStatistics, StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryStatistics
from statcore_valkey import Address, Discovery, Keyspace, ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey.commands import ReadValues

KERNEL_IDS = [kernel.kernel_id for kernel in KERNELS]
ENDPOINT_IDS = [endpoint.endpoint_id for endpoint in ENDPOINTS]
REPLICAS = [(endpoint.endpoint_id, endpoint.replicas[0].replica_id) for endpoint in ENDPOINTS]
SCOPE = Scope.of(user_id=VALUES["user_id"])
AGENT_SCOPE = Scope.of(agent_id=AGENTS)
PLUGIN = PluginReport(name="store", distribution="foreign", version="1", status=PluginStatus.OK)
FIELDS = ["mem.current"]


def of_parts(method: str, ids: Sequence[Any], *arguments: object) -> Sequence[Call]:
    """Return calls of a method for parts of the ids."""
    parts = ids[2:] if len(ids) > 2 else ids, ids[:1], ids[1:3]

    async def of_part(part: Sequence[Any], client: object) -> object:
        return await getattr(client, method)(part, *arguments)

    return [partial(of_part, part) for part in parts]


def batches(form: str) -> Calls:
    """Return calls of the five batched reads, under their names of one class."""
    ids: Mapping[str, Sequence[Any]] = {
        "kernel_statistics": KERNEL_IDS,
        "inference_metrics": SESSION_IDS,
        "endpoint_statistics": ENDPOINT_IDS,
        "replica_statistics": REPLICAS,
        "agent_statistics": AGENTS,
    }
    return {form.format(name): of_parts(form.format(name), ids[name]) for name in ids}


def some(calls: Calls, *names: str) -> Calls:
    """Return some of the calls, where the others do the same with other keys."""
    return {name: calls[name] for name in names}


def value(number: int) -> dict[str, MetricValue]:
    """Return metrics with a number."""
    return {"mem": MetricValue(current=str(number))}


async def facts(store: Any) -> object:
    """Return the programs of the servers, without clocks."""
    return [known.program for known in await store.server_facts()]


async def topology(store: Any) -> object:
    """Return the addresses and roles of the servers."""
    found = await store.topology()
    return found and [(server.address, server.role) for server in found.servers]


async def fan_out(keyspace: Keyspace, keys: Sequence[str]) -> object:
    """Return the values of keys."""
    async with Deadline(5, waiting_for="values") as deadline:
        return await keyspace.fan_out(keys, ReadValues(keys, max_entry_bytes=1_000), deadline=deadline)


async def ping(keyspace: Keyspace) -> None:
    """Return when a server answers."""
    async with Deadline(5, waiting_for="a server") as deadline:
        await keyspace.ping(deadline=deadline)


async def read_sessions(sessions: SessionStatistics, numbers: range) -> object:
    """Read sessions, each with one kernel."""
    return await sessions.read({str(KERNELS[number].session_id): KERNEL_IDS[number : number + 1] for number in numbers})


@attrs.frozen
class HostsClient:
    """A manager's client, as `ClientStatistics` takes it."""

    get_session_statistics_batch: Call
    get_inference_app_statistics_batch: Call
    get_inference_replica_statistics_batch: Call
    get_agent_statistics_batch: Call


def over_clients(ports: Ports) -> ClientStatistics:
    """Return a store over two clients, which read from the ports."""
    store: Any = ports.statistics
    others = store.fetch_endpoint_statistics, store.fetch_replica_statistics, store.fetch_agent_statistics
    statistics: Any = HostsClient(store.fetch_kernel_statistics, *others)
    live: Any = HostsClient(store.fetch_inference_metrics, *others)
    return ClientStatistics(valkey_stat=statistics, valkey_live=live)


def keyspace_of(ports: Ports) -> Keyspace:
    """Return the keyspace of the store."""
    store: Any = ports.statistics
    keyspace: Keyspace = store._databases.statistics
    return keyspace


def confined_store(ports: Ports) -> StatisticsPort:
    """Return the store of a scope with everything that has an owner."""
    return confine(ports, Scope.any_of([SCOPE, AGENT_SCOPE])).statistics


def confined_kernels(ports: Ports) -> ConfinedKernelStatistics:
    """Return the source of kernels of a scope with everything that has an owner."""
    confined: Any = confine(ports, SCOPE).statistics
    return ConfinedKernelStatistics(ports.statistics, confined.owners)


CONTRIBUTOR = Contributor("store", PLUGIN)
LIFE: Calls = {"ping": [lambda store: store.ping()] * 3, "aclose": [lambda store: store.aclose()]}
READS: Calls = {**batches("fetch_{}"), **LIFE}
WRITES: Calls = {
    "store_kernel_statistics": [
        lambda sink: sink.store_kernel_statistics({id_: value(100 + number) for number, id_ in enumerate(KERNEL_IDS[:9])}),
        lambda sink: sink.store_kernel_statistics({KERNEL_IDS[9]: value(109)}),
        lambda sink: sink.store_kernel_statistics({KERNEL_IDS[10]: value(110)}),
    ],
    "store_agent_statistics": [
        lambda sink: sink.store_agent_statistics(AGENTS[0], node=value(8), devices={}, interval_s=5),
        lambda sink: sink.store_agent_statistics(AGENTS[1], node=value(9), devices={}, interval_s=5),
    ],
    "store_container_count": [
        lambda sink: sink.store_container_count(AGENTS[0], 3),
        lambda sink: sink.store_container_count(AGENTS[1], 4),
    ],
    "store_endpoint_statistics": [
        lambda sink: sink.store_endpoint_statistics({ENDPOINT_IDS[0]: {"load": {"current": "5"}}}),
        lambda sink: sink.store_endpoint_statistics({ENDPOINT_IDS[1]: {"load": {"current": "6"}}}),
    ],
    "store_replica_statistics": [
        lambda sink: sink.store_replica_statistics({REPLICAS[0]: {"load": {"current": "5"}}}),
        lambda sink: sink.store_replica_statistics({REPLICAS[1]: {"load": {"current": "6"}}}),
    ],
    "store_session_activity": [
        lambda sink: sink.store_session_activity(SESSION_IDS[0], requests=70, last_response_ms=71),
        lambda sink: sink.store_session_activity(SESSION_IDS[1], requests=72, last_response_ms=73),
    ],
    "remove": of_parts("remove", KERNEL_IDS[7:12]),
    "aclose": [lambda sink: sink.aclose()],
}
ROWS = StatisticsBatch([{"mem": {"current": str(number)}} for number in range(1_000)])

VALKEY_READS: Calls = {
    **READS,
    "fetch_kernel_columns": of_parts("fetch_kernel_columns", KERNEL_IDS, FIELDS),
    "server_facts": [facts],
}
SEARCH: Calls = {"topology": [topology]}


def of_topology(note: str, ports: Opening) -> list[Subject]:
    """Return the subjects that find the servers by themselves."""
    return [
        Subject(
            home=ValkeyStatistics,
            ports=ports,
            of=lambda ports: ports.statistics,
            calls=VALKEY_READS,
            leaves_tasks="new",
            is_client=True,
            note=note,
        ),
        Subject(
            home=ValkeyStatistics,
            ports=ports,
            of=lambda ports: ports.statistics,
            calls=SEARCH,
            leaves_tasks="always",
            is_client=True,
            note=note,
        ),
        Subject(
            home=ValkeyStatisticsSink,
            ports=ports,
            of=lambda ports: ports.sink,
            calls=WRITES,
            leaves_tasks="new",
            is_client=True,
            note=note,
        ),
        Subject(
            home=Discovery,
            ports=ports,
            of=lambda ports: keyspace_of(ports).discovery,
            calls={
                "current": [lambda discovery: discovery.current()],
                "refresh": [lambda discovery: discovery.refresh()],
                "confirms": [lambda discovery: discovery.confirms(Address("nowhere", 6379))],
                "aclose": [lambda discovery: discovery.aclose()],
            },
            leaves_tasks="always",
            is_client=True,
            note=note,
        ),
    ]


SUBJECTS = [
    Subject(
        home=ValkeyStatistics,
        ports=on_servers,
        of=lambda ports: ports.statistics,
        calls={**VALKEY_READS, **SEARCH},
        is_client=True,
    ),
    Subject(home=ValkeyStatisticsSink, ports=on_servers, of=lambda ports: ports.sink, calls=WRITES, is_client=True),
    Subject(
        home=ValkeyStatistics,
        ports=on_servers,
        of=lambda ports: checked_statistics(ports.statistics, CONTRIBUTOR),
        calls=some(READS, "fetch_kernel_statistics", "ping", "aclose"),
        note="checked",
    ),
    Subject(
        home=ValkeyStatisticsSink,
        ports=on_servers,
        of=lambda ports: checked_sink(ports.sink, CONTRIBUTOR),
        calls=some(WRITES, "remove", "aclose"),
        note="checked",
    ),
    Subject(
        home=ValkeyStatistics,
        ports=on_hosts_clients,
        of=lambda ports: ports.statistics,
        calls=some(READS, "fetch_kernel_statistics", "ping"),
        is_client=True,
        note="host's client",
    ),
    Subject(
        home=ValkeyStatisticsSink,
        ports=on_hosts_clients,
        of=lambda ports: ports.sink,
        calls=some(WRITES, "store_kernel_statistics", "remove"),
        is_client=True,
        note="host's client",
    ),
    *of_topology("cluster", on_cluster),
    *of_topology("sentinels", on_sentinels),
    Subject(
        home=Keyspace,
        ports=on_servers,
        of=keyspace_of,
        calls={
            "fan_out": [
                lambda keyspace: fan_out(keyspace, KERNEL_IDS[:1]),
                lambda keyspace: fan_out(keyspace, KERNEL_IDS[1:3]),
                lambda keyspace: fan_out(keyspace, KERNEL_IDS[3:]),
            ],
            "ping": [ping] * 3,
            "keep": [lambda keyspace: keyspace.keep(keyspace.discovery.map)],
            "aclose": [lambda keyspace: keyspace.aclose()],
        },
    ),
    Subject(home=MemoryStatistics, ports=on_memory, of=lambda ports: ports.sink, calls={**READS, **WRITES}),
    Subject(home=ClientStatistics, ports=on_servers, of=over_clients, calls=READS),
    Subject(home=ConfinedStatistics, ports=on_servers, of=confined_store, calls=READS),
    Subject(
        home=ConfinedKernelStatistics,
        ports=on_servers,
        of=confined_kernels,
        calls={"fetch_kernel_statistics": READS["fetch_kernel_statistics"]},
    ),
    Subject(
        home=KernelLiveStatService,
        ports=on_servers,
        of=lambda ports: KernelLiveStatService(as_promql(ports.metrics, reason="of live statistics")),
        calls={"fetch_kernel_statistics": READS["fetch_kernel_statistics"]},
    ),
    Subject(
        home=StatisticsRepository,
        ports=on_servers,
        of=lambda ports: ports.repository,
        calls={
            **batches("get_{}_batch"),
            "get_kernel_statistics_columns": of_parts("get_kernel_statistics_columns", KERNEL_IDS, FIELDS),
        },
    ),
    Subject(
        home=StatisticsStatefulSource,
        ports=on_servers,
        of=lambda ports: StatisticsStatefulSource(ports.statistics, chunk_size=2),
        calls={
            **batches("read_{}_batch"),
            "read_kernel_statistics_columns": of_parts("read_kernel_statistics_columns", KERNEL_IDS, FIELDS),
        },
    ),
    Subject(
        home=SessionStatistics,
        ports=on_servers,
        of=lambda ports: SessionStatistics(ports.repository, ports.inventory),
        calls={
            "get_session_statistics_batch": of_parts("get_session_statistics_batch", SESSION_IDS),
            "read": [
                lambda sessions: read_sessions(sessions, range(1)),
                lambda sessions: read_sessions(sessions, range(2, 5)),
                lambda sessions: read_sessions(sessions, range(5, 16)),
            ],
        },
    ),
    Subject(
        home=StatisticsBatch,
        ports=on_memory,
        of=lambda _: ROWS,
        calls={
            "columns": [lambda rows: rows.columns("mem.current")],
            "shown_columns": [lambda rows: rows.shown_columns("mem.current")],
            "encode_json": [lambda rows: rows.encode_json()],
        },
    ),
]
