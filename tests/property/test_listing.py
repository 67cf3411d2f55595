"""Pages of lists while objects come and go, compared with a plain model."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import graphql_host

from statcore.errors import InputError
from statcore.model import StatisticsBatch
from statcore.model.inventory import KernelRecord
from statcore.services.figures import FIGURES
from statcore.services.listing import AGENTS, ENDPOINTS, KERNELS, SESSIONS, ObjectKind, ObjectListing
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryInventory, MemoryStatistics

AGENT_IDS = (None, "i-1", "i-2")
SORTS = ("id", "-id", "agent_id", "-agent_id", "mem_bytes", "-mem_bytes")
KernelsModel = dict[int, tuple[str | None, int | None]]
"""By number, the agent and the memory of a kernel."""

kernel_values = st.tuples(st.sampled_from(AGENT_IDS), st.none() | st.integers(0, 3))
kernels = st.dictionaries(st.integers(0, 15), kernel_values, max_size=16)
changes = st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=4)


def kernel_id(number: int) -> str:
    """Return the id of a kernel."""
    return str(UUID(int=number))


class Memory(MemoryStatistics):
    """A store with the memory of the kernels of a model."""

    model: KernelsModel

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Return an entry for each kernel whose memory is known."""
        found = [self.model[UUID(id_).int][1] for id_ in ids]
        return StatisticsBatch([None if size is None else {"mem": {"current": str(size)}} for size in found])


def sorted_ids(model: KernelsModel, sort: str) -> list[str]:
    """Return the ids in the order of a sort: objects without a value last, equal values by id."""

    def value(number: int) -> Any:
        agent, size = model[number]
        return {"id": kernel_id(number), "agent_id": agent, "mem_bytes": size}[sort.removeprefix("-")]

    descending = sort.startswith("-")
    known = sorted((number for number in model if value(number) is not None), key=lambda number: (value(number), number))
    unknown = sorted(number for number in model if value(number) is None)
    if descending:
        known, unknown = known[::-1], unknown[::-1]
    return list(map(kernel_id, known + unknown))


class World:
    """A model, and a listing over an inventory that has the same kernels."""

    def __init__(self, all_kernels: KernelsModel, present: set[int]) -> None:
        """Register the kernels that are present."""
        self.all, self.inventory = all_kernels, MemoryInventory()
        self.present: set[int] = set()
        store = Memory()
        object.__setattr__(store, "model", all_kernels)
        self.listing = ObjectListing(self.inventory, StatisticsRepository(StatisticsStatefulSource(store)))
        for number in present:
            self.add(number)

    def add(self, number: int) -> None:
        """Add a kernel."""
        self.present.add(number)
        record = KernelRecord(kernel_id=kernel_id(number), session_id=kernel_id(100), agent_id=self.all[number][0])
        self.inventory.register_kernel(record)

    def remove(self, number: int) -> None:
        """Remove a kernel."""
        self.present.discard(number)
        self.inventory.forget_kernel(kernel_id(number))

    def expected(self, sort: str) -> list[str]:
        """Return the ids that the list has now."""
        return sorted_ids({number: self.all[number] for number in self.present}, sort)


@given(all_kernels=kernels, sort=st.sampled_from(SORTS), limit=st.integers(1, 5), data=st.data())
async def test_pages_neither_repeat_nor_hide_objects(
    all_kernels: KernelsModel, sort: str, limit: int, data: st.DataObject
) -> None:
    """Kernels are added and removed between two pages.

    Each page has the first kernels after the place where the page before it ended. So no kernel is on two pages, and each
    kernel that exists all the time is on one.
    """
    numbers = sorted(all_kernels)
    present = data.draw(st.sets(st.sampled_from(numbers))) if numbers else set[int]()
    world = World(all_kernels, present)
    order = sorted_ids(all_kernels, sort)
    always, shown, cursor, passed = set(present), list[str](), None, -1

    while True:
        page = await world.listing.read(KERNELS, sort=sort, after=cursor, limit=limit)
        expected = [id_ for id_ in world.expected(sort) if order.index(id_) > passed]
        assert expected[:limit] == [item.object_id for item in page.items]
        assert len(world.present) == page.total_count
        assert (len(expected) > limit) == (page.next_cursor is not None)
        shown += expected[:limit]
        if page.next_cursor is None:
            break
        cursor, passed = page.next_cursor, order.index(shown[-1])
        for number, adds in data.draw(changes):
            if number in all_kernels:
                (world.add if adds else world.remove)(number)
                if not adds:
                    always.discard(number)

    assert len(set(shown)) == len(shown)
    assert {kernel_id(number) for number in always} <= set(shown)


@given(
    all_kernels=kernels,
    sort=st.sampled_from(SORTS),
    limit=st.integers(1, 5),
    steps=st.lists(st.dictionaries(st.integers(0, 15), st.none() | kernel_values, max_size=4), max_size=20),
)
async def test_pages_have_each_lasting_object_once_while_others_change(
    all_kernels: KernelsModel, sort: str, limit: int, steps: list[dict[int, tuple[str | None, int | None] | None]]
) -> None:
    """Between two pages kernels come, end, and change their agent and their memory.

    A kernel that is there all the time, and whose place in the list stays the same, is on one page. The place in the order
    of ids always stays the same; in another order it does as long as the value that the list is sorted by does.
    """
    world = World(dict(all_kernels), set(all_kernels))
    by = sort.removeprefix("-")
    lasting, shown, cursor, remaining = set(all_kernels), list[str](), None, list(steps)
    while True:
        page = await world.listing.read(KERNELS, sort=sort, after=cursor, limit=limit)
        shown += [item.object_id for item in page.items]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        for number, values in (remaining.pop() if remaining else {}).items():
            before = world.all.get(number) if number in world.present else None
            if before is not None:
                world.remove(number)
            if values is not None:
                world.all[number] = values
                world.add(number)
            column = {"id": None, "agent_id": 0, "mem_bytes": 1}[by]
            if before is None or values is None or (column is not None and before[column] != values[column]):
                lasting.discard(number)

    assert [kernel_id(number) for number in sorted(lasting)] == sorted(id_ for id_ in shown if UUID(id_).int in lasting)


@given(all_kernels=kernels, sort=st.sampled_from(SORTS), text=st.text(max_size=30))
async def test_any_text_as_a_cursor_is_refused(all_kernels: KernelsModel, sort: str, text: str) -> None:
    """It is an error for the caller, and never a crash or the first page."""
    world = World(all_kernels, set(all_kernels))
    with pytest.raises(InputError):
        await world.listing.read(KERNELS, sort=sort, after=text)


texts = st.sampled_from(["0", "1.5", "30", "700", "nan", "", "9223372036854775807"]) | st.none()
entries = st.none() | st.dictionaries(
    st.sampled_from(["cpu_util", "mem", "cuda_util", "rocm_util", "cuda_mem", "net_rx"]),
    st.fixed_dictionaries({"current": texts, "capacity": texts, "pct": texts}),
)


@given(stored=st.lists(entries, min_size=12, max_size=12), sort=st.sampled_from(FIGURES), sign=st.sampled_from(["", "-"]))
@pytest.mark.parametrize("kind", [SESSIONS, KERNELS, AGENTS, ENDPOINTS], ids=lambda kind: kind.name)
async def test_the_order_is_that_of_the_figures(kind: ObjectKind[Any], stored: list[Any], sort: str, sign: str) -> None:
    """Of most objects only the figure is computed that the list is sorted by; it is the figure that the page shows.

    A session has two kernels or its own statistics, and an endpoint the kernels of its session.
    """
    store = MemoryStatistics()
    for number, entry in enumerate(stored):
        if entry is not None:
            session = graphql_host.session_id(number // 2)
            store.plant(session if number >= 10 else graphql_host.kernel_id(number // 2, number % 2), entry)
            store.plant(f"i-{number // 2}", {"node": entry})
    inventory = graphql_host.inventory_of(6, kernels=2, endpoints=3)
    listing = ObjectListing(inventory, StatisticsRepository(StatisticsStatefulSource(store)))

    page = await listing.read(kind, sort=sign + sort, figures=True)
    limited = await listing.read(kind, sort=sign + sort, figures=True, limit=1)
    without_figures = await listing.read(kind, sort=sign + sort)
    by_id = await listing.read(kind, figures=True)

    values = [item.value(sort) for item in page.items]
    known = [value for value in values if value is not None]
    assert sorted(known, reverse=bool(sign)) + [None] * (len(values) - len(known)) == values
    assert page.items[:1] == limited.items
    assert [attrs.evolve(item, figures=None) for item in page.items] == without_figures.items
    assert {item.object_id: item for item in by_id.items} == {item.object_id: item for item in page.items}
