"""Figures, owners, times, devices and processes of objects: in lists, in sorted lists, and by id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.graphql_host import CountedStatistics, Host, endpoint_id, inventory_of, kernel_id, numbered, session_id
from tests.support.lazy_entries import Lazy

from statcore.model import StatisticsBatch
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, ReplicaRecord
from statcore.model.results import VectorResult
from statcore.queriers import UtilizationMetricQuerier
from statcore.queriers.container import PROCESS_METRIC_LABEL, PROCESS_SERIES
from statcore.services import AGENTS, ENDPOINTS, KERNELS, SESSIONS, ObjectKind, ObjectListing
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

FIGURES: Final = "figures { cpu_pct mem_bytes accelerator_pct accelerator_mem_bytes rx_bytes_per_s tx_bytes_per_s }"
LISTS: Final[dict[str, ObjectKind[Any]]] = {
    "compute_session_list": SESSIONS,
    "kernel_list": KERNELS,
    "endpoint_list": ENDPOINTS,
    "agent_list": AGENTS,
}
ENTRY: Final = {
    "cpu_util": {"current": "500", "capacity": "1000", "pct": "50"},
    "mem": {"current": "1024"},
    "cuda_util": {"current": "30", "capacity": "100", "pct": "30"},
    "cuda_mem": {"current": "4096"},
    "net_rx": {"current": "7", "capacity": "1", "pct": "700"},
    "net_tx": {"current": "8"},
}
SHOWN: Final = {
    "cpu_pct": 50.0,
    "mem_bytes": 1024.0,
    "accelerator_pct": 30.0,
    "accelerator_mem_bytes": 4096.0,
    "rx_bytes_per_s": 7.0,
    "tx_bytes_per_s": 8.0,
}
START: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
OWNERS: Final = [numbered(200, number) for number in range(3)]

texts = st.sampled_from(["0", "1.5", "700", "nan", "inf", "", "x"]) | st.none()
entries = st.none() | st.dictionaries(
    st.sampled_from(list(ENTRY)), st.fixed_dictionaries({"current": texts, "capacity": texts, "pct": texts})
)


def counted() -> CountedStatistics:
    """Return a store that counts its reads."""
    return CountedStatistics(MemoryStatistics())


@given(stored=st.lists(entries, min_size=6, max_size=6))
@pytest.mark.parametrize("name", LISTS)
async def test_figures_are_those_of_the_command_lines_lists(name: str, stored: Sequence[Any]) -> None:
    """Each number is the same, in a list as it is and in a list that is sorted by a figure."""
    store = MemoryStatistics()
    for number, entry in enumerate(stored):
        if entry is not None:
            store.plant(kernel_id(number // 2, number % 2), entry)
            store.plant(f"i-{number // 2}", {"node": entry, "devices": {}})
    host = Host(statistics=store, inventory=inventory_of(3, kernels=2, endpoints=2))
    query = f'{{ plain: {name} {{ items {{ {FIGURES} }} }} sorted: {name}(sort: "cpu_pct") {{ items {{ {FIGURES} }} }} }}'

    answer = await host.execute(query)

    listing = ObjectListing(host.inventory, StatisticsRepository(StatisticsStatefulSource(store)))
    for field, sort in {"plain": "id", "sorted": "cpu_pct"}.items():
        page = await listing.read(LISTS[name], sort=sort, figures=True)
        expected: list[Any] = []
        for item in page.items:
            numbers = {figure: getattr(item.figures, figure) for figure in SHOWN}
            expected.append({"figures": numbers if any(value is not None for value in numbers.values()) else None})
        assert expected == answer.data[field]["items"]


@pytest.mark.parametrize("encoded", [False, True])
async def test_a_page_of_figures_is_one_read(encoded: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Figures and statistics of a thousand sessions and of their kernels share it."""
    store = counted()
    host = Host(statistics=store, inventory=inventory_of(1_000), limits={"encoded": encoded})
    fields = f"{FIGURES} live_stat user_id kernels {{ {FIGURES} }}"
    result = await host.schema.execute(
        f"{{ compute_session_list(limit: 1000) {{ items {{ {fields} }} }} }}", context_value=host.context()
    )
    assert not result.errors
    assert [("kernel_statistics", 2_000)] == store.reads


@pytest.mark.parametrize(("name", "reads"), {"compute_session_list": 6, "endpoint_list": 4, "agent_list": 3}.items())
async def test_a_list_that_is_sorted_by_a_figure_has_been_read(name: str, reads: int) -> None:
    """The figures are not read again."""
    store = counted()
    for number in range(3):
        store.store.plant(kernel_id(number), ENTRY)
        store.store.plant(f"i-{number}", {"node": ENTRY, "devices": {}})
    host = Host(statistics=store, inventory=inventory_of(3, endpoints=2))
    data = await host.execute_cleanly(f'{{ {name}(sort: "-mem_bytes") {{ items {{ {FIGURES} }} }} }}')
    assert [{"figures": SHOWN}] * (2 if name == "endpoint_list" else 3) == data[name]["items"]
    assert [reads] == [count for _, count in store.reads]


@pytest.mark.parametrize("sort", ["id", "-mem_bytes"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_list_may_be_skipped_without_its_items(name: str, sort: str) -> None:
    """The cursor is the same with items, without them, and with items in a fragment."""
    store = counted()
    for number in range(6):
        store.store.plant(kernel_id(number), {"mem": {"current": str(number // 2)}})
    host = Host(statistics=store, inventory=inventory_of(6, endpoints=6))
    arguments = f'(sort: "{sort}", limit: 2)'
    items = "items { figures { mem_bytes } }"
    plain, skipped, fragment = [
        (await host.execute_cleanly(f"{{ {name}{arguments} {{ next_cursor {fields} }} }}"))[name]
        for fields in (items, "", f"... {{ {items} }}")
    ]
    assert plain == fragment == {**skipped, "items": plain["items"]}
    assert len(plain["items"]) in {0, 2}


class Unreadable(MemoryStatistics):
    """A store in which the entry of one kernel cannot be read."""

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Return the planted entries, and one that fails when it is read."""
        batch = await super().fetch_kernel_statistics(ids)
        bad = Lazy({"nothing": 0})
        return attrs.evolve(
            batch, entries=[bad if id_ == kernel_id(2) else entry for id_, entry in zip(ids, batch, strict=True)]
        )


@pytest.mark.parametrize("arguments", ["", '(sort: "id")', '(sort: "-mem_bytes")'])
async def test_problems_of_statistics_are_problems_of_figures(arguments: str) -> None:
    """A kernel without an entry leaves a session incomplete; an entry that cannot be read is an error, also when sorted."""
    store = Unreadable()
    store.plant(kernel_id(0), ENTRY)
    store.plant(kernel_id(1), 5)
    inventory = inventory_of(4)
    inventory.register_kernel(KernelRecord(kernel_id=kernel_id(9), session_id=session_id(0)))
    host = Host(statistics=store, inventory=inventory)

    answer = await host.execute(f"{{ compute_session_list{arguments} {{ items {{ session_id {FIGURES} }} }} }}")

    items = answer.data["compute_session_list"]["items"]
    position = {item["session_id"]: number for number, item in enumerate(items)}
    path = "compute_session_list.items.{}.figures"
    assert {session_id(0): SHOWN, **dict.fromkeys(map(session_id, range(1, 4)))} == {
        item["session_id"]: item["figures"] for item in items
    }
    assert {path.format(position[session_id(0)]): "incomplete", path.format(position[session_id(2)]): "malformed"} == (
        answer.problems
    )
    assert {path.format(position[session_id(1)]): "MalformedEntryError"} == answer.codes


@pytest.mark.parametrize("arguments", ["", '(sort: "-mem_bytes")'])
async def test_each_problem_of_figures_is_shown(arguments: str) -> None:
    """A number that is not text of a number is malformed, also where the entry is incomplete."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), {"mem": {"current": "1"}, "cpu_util": {"current": "5", "pct": "x"}})
    inventory = inventory_of(1)
    inventory.register_kernel(KernelRecord(kernel_id=kernel_id(9), session_id=session_id(0)))
    answer = await Host(statistics=store, inventory=inventory).execute(
        f"{{ compute_session_list{arguments} {{ items {{ figures {{ cpu_pct mem_bytes }} }} }} }}"
    )
    assert [{"figures": {"cpu_pct": None, "mem_bytes": 1.0}}] == answer.data["compute_session_list"]["items"]
    problems = [(problem["kind"], problem["path"][-1]) for problem in answer.extensions["problems"]]
    assert [("incomplete", "figures"), ("malformed", "figures")] == problems


@pytest.mark.parametrize("arguments", ["", '(sort: "-mem_bytes")'])
async def test_figures_of_an_endpoint_without_a_replica_are_incomplete(arguments: str) -> None:
    """The session of a replica may be unknown; if all are, there are no figures, and the reason is the same."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), ENTRY)
    inventory = inventory_of(1)
    for number, sessions in enumerate([(0, 7), (7,)]):
        replicas = [
            ReplicaRecord(replica_id=numbered(101, session), session_id=session_id(session)) for session in sessions
        ]
        inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint_id(number), replicas=tuple(replicas)))
    answer = await Host(statistics=store, inventory=inventory).execute(
        f"{{ endpoint_list{arguments} {{ items {{ {FIGURES} }} }} }}"
    )
    assert [{"figures": SHOWN}, {"figures": None}] == answer.data["endpoint_list"]["items"]
    incomplete = {f"endpoint_list.items.{position}.figures": "incomplete" for position in (0, 1)}
    assert (incomplete, {}) == (answer.problems, answer.codes)
    assert [f"session {session_id(7)} of a replica is not known"] * 2 == [
        problem["message"] for problem in answer.extensions["problems"]
    ]


async def test_kernels_of_endpoints_count_for_the_limit_of_ids() -> None:
    """An endpoint with many kernels is not one id."""
    inventory = inventory_of(1, kernels=20, endpoints=1)
    query = f"{{ endpoint_list {{ items {{ {FIGURES} }} }} }}"
    answer = await Host(inventory=inventory, limits={"max_ids": 20}).execute(query)
    assert {"endpoint_list.items.0.figures": "LimitError"} == answer.codes
    assert {} == (await Host(inventory=inventory, limits={"max_ids": 22}).execute(query)).codes


def owned() -> MemoryInventory:
    """Return a session whose kernels have one project and two users, and an endpoint."""
    inventory = MemoryInventory()
    for number in range(3):
        inventory.register_kernel(
            KernelRecord(
                kernel_id=kernel_id(number),
                session_id=session_id(0),
                agent_id="i-0",
                user_id=OWNERS[number % 2],
                project_id=OWNERS[2] if number else None,
                started_at=START - timedelta(minutes=number) if number < 2 else None,
            )
        )
    replica = ReplicaRecord(replica_id=numbered(101, 0), session_id=session_id(0))
    inventory.register_endpoint(
        EndpointRecord(endpoint_id=endpoint_id(0), replicas=(replica,), user_id=OWNERS[0], started_at=START)
    )
    return inventory


WHOSE: Final = "user_id project_id started_at"


async def test_owners_and_times() -> None:
    """A session whose kernels have several users has no user. It started with its first kernel."""
    data = await Host(inventory=owned()).execute_cleanly(
        f"{{ compute_session_list {{ items {{ {WHOSE} kernels {{ {WHOSE} }} }} }}"
        f" endpoint_list {{ items {{ {WHOSE} }} }} }}"
    )
    (session,), (endpoint,) = (data[name]["items"] for name in ("compute_session_list", "endpoint_list"))
    times = ["2026-11-01T12:00:00.000Z", "2026-11-01T11:59:00.000Z", None]
    kernels = [
        {"user_id": OWNERS[number % 2], "project_id": OWNERS[2] if number else None, "started_at": times[number]}
        for number in range(3)
    ]
    assert {"user_id": None, "project_id": OWNERS[2], "started_at": times[1], "kernels": kernels} == session
    assert {"user_id": OWNERS[0], "project_id": None, "started_at": times[0]} == endpoint


@attrs.frozen
class AgentInventory(MemoryInventory):
    """An inventory that knows the owners of agents, and counts what it is read for."""

    reads: list[int] = attrs.field(factory=list[int], init=False)

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return the record of each."""
        self.reads.append(len(agent_ids))
        return [AgentRecord(agent_id=id_, project_id=OWNERS[2], started_at=START) for id_ in agent_ids]


@pytest.mark.parametrize("arguments", ["(limit: 200)", '(limit: 200, sort: "-id")'])
async def test_owners_of_agents_are_found_at_once(arguments: str) -> None:
    """The pages of an inventory have ids alone; a sorted list has found the agents before."""
    inventory = AgentInventory()
    for number in range(200):
        inventory.register_kernel(KernelRecord(kernel_id=kernel_id(number), agent_id=f"i-{number}"))
    data = await Host(inventory=inventory).execute_cleanly(f"{{ agent_list{arguments} {{ items {{ {WHOSE} }} }} }}")
    expected = {"user_id": None, "project_id": OWNERS[2], "started_at": "2026-11-01T12:00:00.000Z"}
    assert [expected] * 200 == data["agent_list"]["items"]
    assert [200] == inventory.reads


async def test_a_list_is_sorted_by_time() -> None:
    """An object whose start is not known comes last."""
    host = Host(inventory=owned())
    for sort, numbers in {"started_at": [1, 0, 2], "-started_at": [0, 1, 2]}.items():
        data = await host.execute_cleanly(f'{{ kernel_list(sort: "{sort}") {{ items {{ kernel_id }} }} }}')
        assert [kernel_id(number) for number in numbers] == [item["kernel_id"] for item in data["kernel_list"]["items"]]


async def test_objects_are_found_by_id() -> None:
    """They have the fields of the lists; an unknown id is null without an error."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), ENTRY)
    store.plant("i-0", {"node": ENTRY, "devices": {}})
    host = Host(statistics=store, inventory=inventory_of(1, endpoints=1))
    query = f"""query ($kernel: String!, $endpoint: String!, $agent: String!) {{
        kernel(kernel_id: $kernel) {{ kernel_id session_id {FIGURES} }}
        endpoint(endpoint_id: $endpoint) {{ endpoint_id {FIGURES} replicas {{ active }} }}
        agent(agent_id: $agent) {{ agent_id {FIGURES} {WHOSE} }}
    }}"""
    found = await host.execute_cleanly(query, kernel=kernel_id(0).upper(), endpoint=endpoint_id(0), agent="i-0")
    assert {
        "kernel": {"kernel_id": kernel_id(0), "session_id": session_id(0), "figures": SHOWN},
        "endpoint": {"endpoint_id": endpoint_id(0), "figures": SHOWN, "replicas": [{"active": True}]},
        "agent": {"agent_id": "i-0", "figures": SHOWN, **dict.fromkeys(WHOSE.split())},
    } == found
    unknown = await host.execute_cleanly(query, kernel=kernel_id(7), endpoint=endpoint_id(7), agent="i-7")
    assert {"kernel": None, "endpoint": None, "agent": None} == unknown


@attrs.frozen
class PlainInventory:
    """An inventory that finds neither kernels nor agents by id."""

    inventory: MemoryInventory

    async def list_agents(self, **page: Any) -> Any:
        """Return the agents."""
        return await self.inventory.list_agents(**page)


async def test_an_inventory_may_not_find_kernels_and_agents() -> None:
    """Then they have no field of their own, and the owners of agents are not known."""
    inventory: Any = PlainInventory(inventory_of(1))
    answer = await Host(inventory=inventory).execute(
        f'{{ kernel(kernel_id: "{kernel_id(0)}") {{ kernel_id }} agent(agent_id: "i-0") {{ agent_id }}'
        f" agent_list {{ items {{ {WHOSE} }} }} }}"
    )
    assert {"kernel": "UnsupportedError", "agent": "UnsupportedError"} == answer.codes
    assert [dict.fromkeys(WHOSE.split())] == answer.data["agent_list"]["items"]


async def test_devices_of_an_agent() -> None:
    """Each metric of each device is an item; numbers that mean nothing are null, and what cannot be read is a problem."""
    store = MemoryStatistics()
    gpu = {"current": "5", "capacity": "10", "pct": "50.00", "unit_hint": "bytes"}
    traffic = {"current": "nan", "capacity": "1", "pct": "700", "unit_hint": "bps"}
    devices = {"net_rx": {"eth0": traffic}, "cuda_mem": {"1": gpu, "0": gpu}, "odd": 5, "none": {"0": 5}, "absent": None}
    store.plant("i-0", {"node": {}, "devices": devices})
    store.plant("i-1", {"node": {}})
    host = Host(statistics=store, inventory=inventory_of(3))
    fields = "{ metric device_id current capacity pct unit }"
    answer = await host.execute(f"{{ agent_list {{ items {{ devices {fields} }} }} }}")
    names = ("metric", "device_id", "current", "capacity", "pct", "unit")
    shown = [
        ("cuda_mem", "0", 5.0, 10.0, 50.0, "bytes"),
        ("cuda_mem", "1", 5.0, 10.0, 50.0, "bytes"),
        ("net_rx", "eth0", None, None, None, "bytes/s"),
    ]
    expected = [[dict(zip(names, device, strict=True)) for device in shown], [], None]
    assert expected == [item["devices"] for item in answer.data["agent_list"]["items"]]
    faults = [
        "net_rx.current of device eth0 is 'nan', not the text of a finite number",
        "none of device 0 is a int, not an object",
        "odd is a int, not an object of devices",
    ]
    assert faults == sorted(problem["message"] for problem in answer.extensions["problems"])
    assert {"agent_list.items.0.devices": "malformed"} == answer.problems


@attrs.frozen(kw_only=True)
class CountedNow(MemoryMetrics):
    """A backend that counts its queries at an instant."""

    queries: list[UtilizationMetricQuerier] = attrs.field(factory=list[UtilizationMetricQuerier], init=False)

    async def query_utilization_now(self, querier: UtilizationMetricQuerier, **options: Any) -> VectorResult:
        """Count the query."""
        self.queries.append(querier)
        return await super().query_utilization_now(querier, **options)


async def test_processes_of_kernels_are_read_with_two_queries() -> None:
    """CPU is a rate in percent of one core; a kernel without such series has no processes."""
    backend = CountedNow(clock=lambda: 60.0)
    for time in (30, 60):
        backend.append_scrape(
            [
                (PROCESS_SERIES, {PROCESS_METRIC_LABEL: metric, "value_type": "current", "pid": pid, **labels}, value)
                for labels in [{"kernel_id": kernel_id(0)}]
                for pid, metric, value in (
                    ("12", "cpu_util", 250.0 * time),
                    ("12", "mem", 4096.0),
                    ("7", "mem", 1.0),
                    ("odd", "mem", 1.0),
                )
            ],
            target="t",
            time=float(time),
        )
    host = Host(metrics=backend, inventory=inventory_of(100), limits={"rate_interval": "1m"})
    data = await host.execute_cleanly("{ kernel_list { items { processes { pid cpu_pct mem_bytes } } } }")
    first, *others = (item["processes"] for item in data["kernel_list"]["items"])
    busy = {"pid": 12, "cpu_pct": pytest.approx(25.0), "mem_bytes": 4096.0}
    assert [{"pid": 7, "cpu_pct": None, "mem_bytes": 1.0}, busy] == first
    assert [[]] * 99 == others
    assert 2 == len(backend.queries)


@pytest.mark.parametrize("max_ids", [209, 210])
async def test_processes_count_for_the_limit_of_ids(max_ids: int) -> None:
    """A kernel with many processes is not one object: the kernel is listed and loaded, and its processes are listed."""
    backend = MemoryMetrics(clock=lambda: 60.0)
    labels = {PROCESS_METRIC_LABEL: "mem", "value_type": "current", "kernel_id": kernel_id(0)}
    backend.append_scrape(((PROCESS_SERIES, {**labels, "pid": str(pid)}, 1.0) for pid in range(208)), target="t", time=60.0)
    host = Host(metrics=backend, inventory=inventory_of(1), limits={"max_ids": max_ids})
    answer = await host.execute("{ kernel_list { items { processes { pid } } } }")
    assert ({} if max_ids == 210 else {"kernel_list.items.0.processes": "LimitError"}) == answer.codes


async def test_processes_may_be_incomplete() -> None:
    """The problem of a partial answer is at the processes, and has no text of the backend."""

    class Partial(MemoryMetrics):
        async def query_utilization_now(self, querier: UtilizationMetricQuerier, **options: Any) -> VectorResult:
            answer = await super().query_utilization_now(querier, **options)
            return attrs.evolve(answer, partial=True, warnings=("http://10.0.0.1 is away",))

    answer = await Host(metrics=Partial(), inventory=inventory_of(1)).execute(
        "{ kernel_list { items { processes { pid } } } }"
    )
    assert [{"processes": []}] == answer.data["kernel_list"]["items"]
    assert {"kernel_list.items.0.processes": "incomplete"} == answer.problems
    assert "10.0.0.1" not in str(answer.extensions)
