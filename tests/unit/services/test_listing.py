"""Lists of objects with their owners and figures, over the inventory and the store in memory."""

from __future__ import annotations

import asyncio
import gc
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from typing import Any, cast
from uuid import UUID

import attrs
import pytest
from tests.support.lazy_entries import Lazy

from statcore.errors import InputError, LimitError, MalformedEntryError, UnavailableError
from statcore.model import StatisticsBatch
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord, SessionRecord
from statcore.model.statistics import Problem, ProblemKind
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.services.figures import Figures
from statcore.services.listing import (
    AGENTS,
    ENDPOINTS,
    KERNELS,
    SESSIONS,
    ListPage,
    ObjectKind,
    ObjectListing,
    WithoutValue,
)
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

GPU_ENTRY = {
    "cpu_util": {"current": "500", "capacity": "1000", "pct": "50"},
    "mem": {"current": "1024"},
    "cuda_util": {"current": "30", "capacity": "100", "pct": "30"},
    "cuda_mem": {"current": "4096"},
    "net_rx": {"current": "7"},
}


def id_of(number: int) -> str:
    """Return an id."""
    return str(UUID(int=number))


KERNEL_1, KERNEL_2, KERNEL_3, SESSION_1, SESSION_2, USER, PROJECT, ENDPOINT, REPLICA = map(id_of, range(1, 10))


@attrs.frozen
class Planted(MemoryStatistics):
    """A store with some entries, or with an error for each read."""

    entries: dict[str, Any] = attrs.field(factory=dict[str, Any])
    error: Exception | None = None
    problems: dict[str, str] = attrs.field(factory=dict[str, str])
    reads: list[int] = attrs.field(factory=list[int], init=False)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Return the planted entries."""
        self.reads.append(len(ids))
        if self.error is not None:
            raise self.error
        problems = {
            position: Problem(ProblemKind.UNAVAILABLE, message=self.problems[id_], key=id_)
            for position, id_ in enumerate(ids)
            if id_ in self.problems
        }
        entries = [self.entries.get(id_) for id_ in ids]
        return StatisticsBatch(entries, ages_s=dict.fromkeys(range(len(ids)), 2.5), problems=problems)

    fetch_agent_statistics = fetch_kernel_statistics


def listing_of(store: Planted | None = None) -> ObjectListing:
    """Return two sessions, of which one has two kernels, and an endpoint that has the other one."""
    inventory = MemoryInventory()
    for kernel, session, agent in (
        (KERNEL_1, SESSION_1, "i-1"),
        (KERNEL_2, SESSION_1, "i-2"),
        (KERNEL_3, SESSION_2, "i-1"),
    ):
        user = USER if session == SESSION_1 else None
        inventory.register_kernel(
            KernelRecord(kernel_id=kernel, session_id=session, agent_id=agent, user_id=user, project_id=PROJECT)
        )
    replica = ReplicaRecord(replica_id=REPLICA, session_id=SESSION_2)
    inventory.register_endpoint(EndpointRecord(endpoint_id=ENDPOINT, replicas=(replica,), user_id=USER))
    return ObjectListing(inventory, StatisticsRepository(StatisticsStatefulSource(store or Planted())))


def ids(page: ListPage[Any]) -> list[str]:
    """Return the ids of a page."""
    return [item.object_id for item in page.items]


async def test_a_session_has_its_owners_and_the_sum_of_its_kernels() -> None:
    """The figures of two kernels are added; accelerators are found by their suffix, and traffic has no percentage."""
    store = Planted({KERNEL_1: GPU_ENTRY, KERNEL_2: GPU_ENTRY})

    session, _ = (await listing_of(store).read(SESSIONS, figures=True)).items

    assert SESSION_1 == session.object_id
    assert {
        "kernel_id": [KERNEL_1, KERNEL_2],
        "session_id": [SESSION_1],
        "agent_id": ["i-1", "i-2"],
        "user_id": [USER],
        "project_id": [PROJECT],
    } == session.labels
    assert (
        Figures(
            cpu_pct=100,
            mem_bytes=2048,
            accelerator_pct=30,
            accelerator_mem_bytes=8192,
            rx_bytes_per_s=14,
            age_s=2.5,
        )
        == session.figures
    )


async def test_kernels_agents_and_endpoints_are_listed() -> None:
    """An agent has the figures of its node, and an endpoint those of the kernels of its replicas' sessions."""
    listing = listing_of(Planted({KERNEL_3: GPU_ENTRY, "i-1": {"node": {"mem": {"current": "5"}}}}))

    kernels = await listing.read(KERNELS, figures=True)
    agents = await listing.read(AGENTS, figures=True)
    endpoints = await listing.read(ENDPOINTS, figures=True)

    assert ([KERNEL_1, KERNEL_2, KERNEL_3], [None, None, 1024]) == (ids(kernels), memory_of(kernels))
    assert (["i-1", "i-2"], [5, None]) == (ids(agents), memory_of(agents))
    assert ([ENDPOINT], [1024]) == (ids(endpoints), memory_of(endpoints))
    assert {"kernel_id": [KERNEL_3], "user_id": [USER]}.items() <= endpoints.items[0].labels.items()


def memory_of(page: ListPage[Any]) -> list[float | None]:
    """Return the memory of each object of a page."""
    return [None if item.figures is None else item.figures.mem_bytes for item in page.items]


@pytest.mark.parametrize(
    ("kind", "filters", "expected"),
    [
        (SESSIONS, [f"user_id={USER.upper()}"], [SESSION_1]),
        (SESSIONS, ["agent_id=i-1"], [SESSION_1, SESSION_2]),
        (SESSIONS, ["agent_id=i-1", f"kernel_id={KERNEL_3}"], [SESSION_2]),
        (SESSIONS, ["I-2"], [SESSION_1]),
        (SESSIONS, ["i-"], [SESSION_1, SESSION_2]),
        (KERNELS, [f"session_id={SESSION_2}"], [KERNEL_3]),
        (KERNELS, ["no such text"], []),
        (AGENTS, ["agent_id=i-2"], ["i-2"]),
        (AGENTS, [f"session_id={SESSION_1.upper()}"], ["i-1", "i-2"]),
        (AGENTS, [f"session_id={SESSION_2}", f"kernel_id={KERNEL_3}"], ["i-1"]),
        (AGENTS, [f"user_id={USER}"], []),
        (ENDPOINTS, [f"session_id={SESSION_2}"], [ENDPOINT]),
    ],
)
async def test_filters_select_by_owner_and_by_text(kind: ObjectKind[Any], filters: list[str], expected: list[str]) -> None:
    """All filters must match, and the total counts the selected objects."""
    page = await listing_of().read(kind, filters=filters)

    assert (expected, len(expected)) == (ids(page), page.total_count)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("id", [KERNEL_1, KERNEL_2, KERNEL_3]),
        ("-id", [KERNEL_3, KERNEL_2, KERNEL_1]),
        ("agent_id", [KERNEL_1, KERNEL_3, KERNEL_2]),
        ("mem_bytes", [KERNEL_3, KERNEL_1, KERNEL_2]),
        ("-mem_bytes", [KERNEL_1, KERNEL_3, KERNEL_2]),
        ("user_id", [KERNEL_1, KERNEL_2, KERNEL_3]),
        ("-user_id", [KERNEL_2, KERNEL_1, KERNEL_3]),
    ],
)
async def test_objects_without_a_value_come_last(sort: str, expected: list[str]) -> None:
    """This holds in both directions; equal values are in the order of the ids."""
    store = Planted({KERNEL_1: {"mem": {"current": "1000"}}, KERNEL_3: {"mem": {"current": "999"}}})

    assert expected == ids(await listing_of(store).read(KERNELS, sort=sort))


@pytest.mark.parametrize("sort", ["cpu_pct", "-cpu_pct"])
async def test_a_page_tells_how_many_objects_have_no_value(sort: str) -> None:
    """Those that the page does not have are counted, too; a problem is the reason of some."""
    store = Planted({KERNEL_1: {"cpu_util": {"pct": "x"}}, KERNEL_3: GPU_ENTRY}, problems={KERNEL_2: "unavailable"})
    listing = listing_of(store)

    page = await listing.read(KERNELS, sort=sort, limit=1)
    rest = await listing.read(KERNELS, sort=sort, after=page.next_cursor)

    unreadable = "cpu_util.pct is 'x', not the text of a finite number"
    assert WithoutValue(count=2, problem_count=2, first_problem=unreadable) == page.without_value == rest.without_value


@pytest.mark.parametrize(
    ("kind", "sort", "expected"),
    [
        (KERNELS, "started_at", WithoutValue(count=3)),
        (KERNELS, "-user_id", WithoutValue(count=1)),
        (KERNELS, "id", WithoutValue()),
        (KERNELS, "-kernels", WithoutValue()),
        (KERNELS, "mem_bytes", WithoutValue(count=3, problem_count=1, first_problem="unavailable")),
        (
            SESSIONS,
            "mem_bytes",
            WithoutValue(
                count=2,
                problem_count=1,
                first_problem=f"kernel {KERNEL_1} has no statistics; kernel {KERNEL_2}: unavailable",
            ),
        ),
        (KERNELS, "age_s", WithoutValue()),
    ],
)
async def test_what_has_no_value_is_counted_for_every_sort(
    kind: ObjectKind[Any], sort: str, expected: WithoutValue
) -> None:
    """An object that lacks a value has no problem by that alone."""
    store = Planted(problems={KERNEL_2: "unavailable"})

    assert expected == (await listing_of(store).read(kind, sort=sort)).without_value


async def test_figures_that_are_not_needed_are_not_read() -> None:
    """A list in the order of the ids reads the statistics of one page, and only on request."""
    store = Planted()
    listing = listing_of(store)

    await listing.read(KERNELS, limit=2)
    assert [] == store.reads
    await listing.read(KERNELS, limit=2, figures=True)
    assert [2] == store.reads
    await listing.read(KERNELS, limit=2, figures=True, sort="cpu_pct")
    assert [2, 3] == store.reads


async def test_a_store_that_is_down_leaves_the_list() -> None:
    """The objects have a problem; a list that is sorted by a figure fails, because its order is not known."""
    listing = listing_of(Planted(error=UnavailableError("refused")))

    page = await listing.read(KERNELS, figures=True)

    assert [KERNEL_1, KERNEL_2, KERNEL_3] == ids(page)
    assert {"UnavailableError: refused"} == {item.figures and item.figures.problem for item in page.items}
    with pytest.raises(UnavailableError):
        await listing.read(KERNELS, sort="-cpu_pct")


@pytest.mark.parametrize(
    "arguments",
    [
        {"sort": "--id"},
        {"sort": "cpu"},
        {"filters": [""]},
        {"filters": ["owner=me"]},
        {"filters": ["user_id="]},
        {"after": "?"},
        {"after": "bnVsbA=="},
        {"after": "WzEsMiwzXQ=="},
        {"after": urlsafe_b64encode(b'["id", false, false, 5, "x"]').decode()},
        {"limit": -1},
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_read(arguments: dict[str, Any]) -> None:
    """The inventory is not called."""
    with pytest.raises(InputError):
        await attrs.evolve(listing_of(), inventory=cast("Any", None)).read(SESSIONS, **arguments)


@pytest.mark.parametrize("sort", ["age_s", "-age_s"])
async def test_a_list_sorted_by_age_has_one_page(sort: str) -> None:
    """All ages grow between two pages, so a cursor would lead to the same objects again and again."""
    listing = listing_of()

    page = await listing.read(KERNELS, sort=sort, limit=1)
    assert (3, None) == (page.total_count, page.next_cursor)
    cursor = urlsafe_b64encode(json.dumps(["age_s", sort != "age_s", False, 2.5, KERNEL_1]).encode()).decode()
    with pytest.raises(InputError):
        await listing.read(KERNELS, sort=sort, limit=1, after=cursor)


async def test_a_cursor_of_another_sort_is_refused() -> None:
    """Its place means nothing in this list."""
    cursor = (await listing_of().read(KERNELS, limit=1)).next_cursor

    assert cursor is not None
    with pytest.raises(InputError, match="another sort"):
        await listing_of().read(KERNELS, sort="-id", after=cursor)


class CountedReads(dict[str, Any]):
    """An entry that counts how often a metric is read."""

    reads: list[int]
    """By turn of the event loop."""

    def get(self, metric: str, default: Any = None) -> Any:
        """Count, and return the metric."""
        self.reads[-1] += 1
        return super().get(metric, default)


@pytest.fixture
def many() -> Iterator[tuple[ObjectListing, list[int]]]:
    """Return a listing of ten thousand sessions, and the list that counts, by turn, how often a metric is read."""
    inventory = MemoryInventory()
    reads = [0]
    entries: dict[str, Any] = {}
    for number in range(10_000):
        inventory.register_kernel(KernelRecord(kernel_id=id_of(number), session_id=id_of(20_000 + number), user_id=USER))
        entries[id_of(number)] = CountedReads(GPU_ENTRY, mem={"current": str(number % 97)})
        entries[id_of(number)].reads = reads
    gc.collect()
    gc.freeze()  # as the service does: what exists before a request is not looked through
    gc.disable()
    yield ObjectListing(inventory, StatisticsRepository(StatisticsStatefulSource(Planted(entries)))), reads
    gc.enable()
    gc.unfreeze()


async def test_ten_thousand_sessions_do_not_hold_the_event_loop(many: tuple[ObjectListing, list[int]]) -> None:
    """Of each session only the metric is read that the list is sorted by, and of few in one turn.

    At no time are there so many objects that garbage collection, which looks through all of them in one turn, takes long.
    """
    listing, reads = many
    tracked: list[int] = []

    async def count_turns() -> None:
        while True:
            await asyncio.sleep(0)
            reads.append(0)
            tracked.append(len(gc.get_objects()))

    counting = asyncio.create_task(count_turns())
    page = await listing.read(SESSIONS, sort="-mem_bytes", filters=[USER], limit=100, figures=True)
    counting.cancel()

    assert (100, 10_000, [96.0] * 100) == (len(page.items), page.total_count, memory_of(page))
    assert 10_000 + 100 * 6 == sum(reads)  # and all six figures of the page
    assert max(reads) <= 256
    assert max(tracked) <= 30_000


async def test_a_sort_by_a_figure_reads_nothing_but_this_figure(many: tuple[ObjectListing, list[int]]) -> None:
    """A program that skips almost all sessions pays for no figures of them."""
    listing, reads = many

    page = await listing.read(SESSIONS, sort="-mem_bytes", limit=9_900)

    assert (9_900, {None}) == (len(page.items), {item.figures for item in page.items})
    assert 10_000 == sum(reads)
    last = await listing.read(SESSIONS, sort="-mem_bytes", after=page.next_cursor, figures=True)
    assert (100, [0.0] * 100) == (len(last.items), memory_of(last))


class Plain:
    """An `InventoryPort` that has no methods of other ports, over another inventory."""

    def __init__(self, inventory: MemoryInventory) -> None:
        """Wrap the inventory."""
        self._inventory = inventory

    def __getattr__(self, name: str) -> Any:
        """Return a method of `InventoryPort`."""
        if name in {"find_agents", "find_kernels", "list_kernels"}:
            raise AttributeError(name)
        return getattr(self._inventory, name)


def plain(inventory: Any) -> Any:
    """Return the inventory without the methods of other ports."""
    return Plain(inventory)


class TwoPlaces(MemoryInventory):
    """An inventory of a kernel that has moved, and is in two sessions for a while."""

    async def list_sessions(self, **_: Any) -> Any:
        """Return both sessions."""
        sessions = [
            SessionRecord(session_id=id_, kernels=(KernelRecord(kernel_id=KERNEL_1, session_id=id_),))
            for id_ in (SESSION_1, SESSION_2)
        ]
        return attrs.evolve(await super().list_sessions(), items=sessions, total_count=2)


async def test_a_kernel_in_two_sessions_is_listed_once() -> None:
    """Otherwise a page could end between its two places."""
    page = await attrs.evolve(listing_of(), inventory=plain(TwoPlaces())).read(KERNELS)

    assert ([KERNEL_1], 1) == (ids(page), page.total_count)


async def test_a_confined_list_has_and_counts_only_its_scope() -> None:
    """No filter, sort or cursor leads out of it."""
    listing = listing_of(Planted({KERNEL_1: GPU_ENTRY, KERNEL_3: GPU_ENTRY}))
    runtime = Runtime(
        statistics=Planted(), repository=listing.repository, metrics=MemoryMetrics(), inventory=listing.inventory
    )
    confined = confine(runtime, Scope.of(user_id=USER))
    mine = ObjectListing(confined.inventory, confined.repository)
    cursor = (await listing.read(KERNELS, sort="-mem_bytes", limit=2)).next_cursor
    alone = KernelRecord(kernel_id=REPLICA, user_id=USER)
    for record in (alone, KernelRecord(kernel_id=id_of(20), user_id=id_of(21))):
        cast("MemoryInventory", listing.inventory).register_kernel(record)

    expectations: list[tuple[ObjectKind[Any], list[str]]] = [
        (SESSIONS, [SESSION_1]),
        (KERNELS, [KERNEL_1, KERNEL_2, REPLICA]),
        (ENDPOINTS, [ENDPOINT]),
    ]
    for kind, expected in expectations:
        page = await mine.read(kind, figures=True)
        assert (expected, len(expected)) == (ids(page), page.total_count)
    assert [] == ids(await mine.read(KERNELS, filters=[f"kernel_id={KERNEL_3}"]))
    assert [REPLICA, KERNEL_2] == ids(await mine.read(KERNELS, sort="-mem_bytes", after=cursor))
    (endpoint,) = (await mine.read(ENDPOINTS, figures=True)).items
    unknown = f"session {SESSION_2} of a replica is not known"
    assert (Figures(problem=unknown), ()) == (endpoint.figures, endpoint.kernel_ids)


async def test_what_cannot_be_read_is_not_known() -> None:
    """A bad metric is a problem beside the other figures; an entry that cannot be read at all has no figures."""
    store = Planted(
        {
            KERNEL_1: Lazy({"bad_util": 1, "mem": {"current": "5"}}),
            KERNEL_2: Lazy({"nothing": 1}),
            "i-1": Lazy({"bad": 1, "node": MalformedEntryError("the node is garbage", key="k")}),
        }
    )

    kernels = await listing_of(store).read(KERNELS, figures=True)
    agents = await listing_of(store).read(AGENTS, figures=True)

    assert [
        Figures(mem_bytes=5, age_s=2.5, problem="bad_util holds garbage"),
        Figures(age_s=2.5, problem="nothing can be read"),
        Figures(age_s=2.5),
    ] == [item.figures for item in kernels.items]
    assert [Figures(age_s=2.5, problem="the node is garbage"), Figures(age_s=2.5)] == [
        item.figures for item in agents.items
    ]


@pytest.mark.parametrize(
    ("entry", "faults"),
    [
        ({"cpu_util": {"pct": "x"}, "mem": 5}, {"cpu_util.pct": "x", "mem.current": 5}),
        ({"mem": {"current": "nan"}, "cuda_util": {"pct": []}}, {"mem.current": "nan", "cuda_util.pct": []}),
        ({"mem": {"current": None}, "net_rx": {}, "disk": 5}, {}),
    ],
)
async def test_an_unreadable_number_differs_from_a_missing_one(entry: dict[str, Any], faults: dict[str, Any]) -> None:
    """Only the first is a problem, beside the problem of the whole entry."""
    messages = [f"{field} is {value!r}, not the text of a finite number" for field, value in faults.items()]
    assert Figures(problem="; ".join(messages) or None) == Figures.of_entry(entry)
    assert Figures(problem="; ".join(["it is old", *messages])) == Figures.of_entry(entry, problem="it is old")


async def test_a_sum_without_a_replica_is_a_problem() -> None:
    """An endpoint has the figures of the sessions that the inventory knows."""
    listing = listing_of(Planted({KERNEL_3: {"mem": {"current": "7"}}}))
    inventory = cast("MemoryInventory", listing.inventory)
    replicas = tuple(ReplicaRecord(replica_id=id_, session_id=id_) for id_ in (SESSION_2, REPLICA))
    inventory.register_endpoint(EndpointRecord(endpoint_id=ENDPOINT, replicas=replicas))
    (endpoint,) = (await listing.read(ENDPOINTS, figures=True)).items
    assert Figures(mem_bytes=7, age_s=2.5, problem=f"session {REPLICA} of a replica is not known") == endpoint.figures


async def test_agents_without_known_owners_are_listed() -> None:
    """An inventory need not find agents by id."""
    listing = listing_of()

    page = await attrs.evolve(listing, inventory=plain(listing.inventory)).read(AGENTS)

    assert [
        ("i-1", {"agent_id": ["i-1"], "kernel_id": [KERNEL_1, KERNEL_3]}),
        ("i-2", {"agent_id": ["i-2"], "kernel_id": [KERNEL_2]}),
    ] == [(item.object_id, item.labels) for item in page.items]


async def test_a_kernel_without_a_session_is_listed() -> None:
    """It has no session, and is selected by its owners."""
    listing = listing_of()
    alone = KernelRecord(kernel_id=REPLICA, agent_id="i-3", project_id=PROJECT)
    cast("MemoryInventory", listing.inventory).register_kernel(alone)

    page = await listing.read(KERNELS, filters=["agent_id=i-3"])

    assert ([alone], 1) == ([item.record for item in page.items], page.total_count)
    assert {"kernel_id": [REPLICA], "agent_id": ["i-3"], "project_id": [PROJECT]} == page.items[0].labels
    assert 4 == (await listing.read(KERNELS)).total_count


async def test_an_agent_has_its_devices() -> None:
    """They are known by their metrics; garbage in their place is no device."""
    devices: dict[str, object] = {"cpu_util": {"1": {}, "0": {}}, "cuda_util": {"GPU-7": {}}, "odd": 5}
    store = Planted({"i-1": {"node": {}, "devices": devices}, "i-2": {"devices": 7}})

    first, second = (await listing_of(store).read(AGENTS, figures=True)).items

    assert Figures(age_s=2.5, devices={"cpu_util": ["0", "1"], "cuda_util": ["GPU-7"]}) == first.figures
    assert Figures(age_s=2.5) == second.figures


@pytest.mark.parametrize(("kind", "expected"), [(SESSIONS, 5), (KERNELS, 3), (AGENTS, 2), (ENDPOINTS, 2)])
async def test_statistics_are_counted_before_they_are_read(kind: ObjectKind[Any], expected: int) -> None:
    """A session or endpoint counts with its kernels; what the count raises ends the read, and nothing is read."""
    counts: list[int] = []

    def refuse(count: int) -> None:
        counts.append(count)
        raise LimitError("too many", limit="ids")

    store = Planted()
    listing = attrs.evolve(listing_of(store), count=refuse)

    await listing.read(kind)
    for options in ({"sort": "mem_bytes"}, {"figures": True}):
        with pytest.raises(LimitError):
            await listing.read(kind, **cast("Any", options))
    assert ([expected] * 2, []) == (counts, store.reads)
