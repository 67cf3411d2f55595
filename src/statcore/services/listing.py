"""Lists of what exists: sessions, kernels, agents and endpoints with their owners and main figures, sorted and paged."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Self, TypeAlias, TypeVar

import attrs

from statcore.concurrency import give_way, in_turns, map_concurrently, map_keeping_errors
from statcore.errors import InputError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, SessionRecord
from statcore.model.statistics import Entry, Problem, ProblemKind
from statcore.model.text import describe
from statcore.ports.inventory import InventoryPort, find_records, list_agent_records, list_kernels
from statcore.queriers.container import OWNER_LABELS
from statcore.services.figures import FIGURES, SOURCES, Figures, join_problems, node_of
from statcore.statistics.repository import StatisticsRepository
from statcore.statistics.sessions import position_of_entry, session_entry

_OBJECTS_PER_READ: Final = 300
"""How many objects one read of statistics is for: few enough that what is done at once with a batch takes under 1 ms."""
_KEYS_PER_TURN: Final = 500
_ENTRIES_PER_TURN: Final = 64
"""The values of how many entries are read in one turn of the event loop."""
_SUMMED_PER_TURN: Final = 16
"""How many entries, of which every metric is summed, are read in one turn of the event loop."""
_AGE: Final = "age_s"
_NO_OWN: Final[Mapping[str, str | None]] = MappingProxyType({})
_UNREADABLE: Final = "the cursor cannot be read; take the next_cursor of the previous page"

_Record = TypeVar("_Record")
_Key: TypeAlias = tuple[bool, float | str, str]
"""The place of an object in a list: whether it comes last for want of a value, its value, and its id."""
_Objects: TypeAlias = "list[ListedObject[_Record]]"


SORTS: Final = ("id", *OWNER_LABELS[1:], "kernels", "started_at", *FIGURES)
"""By what a list can be sorted; `-` in front of a name sorts in descending order."""


@attrs.frozen(kw_only=True)
class ListedObject(Generic[_Record]):
    """An object of a list.

    Args:
        object_id: its id.
        record: its record in the inventory.
        kernels: the kernels that it has, each once; a kernel has itself.
        own: by label of `OWNER_LABELS`, the id that the object itself has in place of the ids of its kernels, or None.
        figures: its main numbers, or None if they were not requested.
        problem: what is not known of its kernels, so that figures lack it, or None.
    """

    object_id: str
    record: _Record
    kernels: Sequence[KernelRecord]
    own: Mapping[str, str | None] = _NO_OWN
    figures: Figures | None = None
    problem: str | None = None

    @property
    def kernel_ids(self) -> Sequence[str]:
        """The ids of its kernels."""
        return tuple([kernel.kernel_id for kernel in self.kernels])

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """By label of `OWNER_LABELS`, the known ids of its owners and of the kernels that it has, sorted.

        An object has its own id under its own label. Of the labels without an id, there is `kernel_id` only.
        """
        return {label: ids for label in OWNER_LABELS if (ids := self.ids(label)) or label == "kernel_id"}

    def ids(self, label: str) -> Sequence[str]:
        """Return the known ids under a label of `OWNER_LABELS`, sorted."""
        if label in self.own:
            own = self.own[label]
            return () if own is None else [own]
        ids: set[Any] = {getattr(kernel, label) for kernel in self.kernels}
        ids.discard(None)
        return sorted(ids)

    def value(self, sort: str) -> float | str | None:
        """Return the value that the object is sorted by, None if it is not known."""
        if sort == "id":
            return self.object_id
        if sort == "started_at":
            started_at: datetime | None = getattr(self.record, "started_at", None)
            return None if started_at is None else started_at.timestamp()
        if sort == "kernels":
            return float(len(self.kernels))
        if sort in OWNER_LABELS:
            return ", ".join(self.ids(sort)) or None
        return None if self.figures is None else getattr(self.figures, sort)


@attrs.frozen(kw_only=True)
class WithoutValue:
    """The selected objects that have no value to be sorted by, and so come last, on all pages together.

    Args:
        count: how many they are.
        problem_count: of how many the value is not known because of a problem.
        first_problem: the problem of the one with the smallest id, or None.
    """

    count: int = 0
    problem_count: int = 0
    first_problem: str | None = None


@attrs.frozen(kw_only=True)
class ListPage(Generic[_Record]):
    """A page of a list.

    Args:
        items: the objects, in the order of the list.
        total_count: how many objects the filters select, on all pages together.
        next_cursor: the cursor of the next page, or None on the last page and in a list sorted by age.
        without_value: which of the selected objects have no value to be sorted by.
    """

    items: Sequence[ListedObject[_Record]]
    total_count: int
    next_cursor: str | None
    without_value: WithoutValue = WithoutValue()


@attrs.frozen
class ObjectKind(Generic[_Record]):
    """A kind of object that can be listed: `SESSIONS`, `KERNELS`, `AGENTS` or `ENDPOINTS`.

    Args:
        name: the plural of its name.
        read: reads all objects of an inventory.
        fetch: reads the entries of ids of such objects, in order.
        figures: returns the figures of an entry of an object.
        metrics: returns the metrics of an entry, by name, of which the figures are.
        sums_kernels: whether the entry of an object is the sum of the entries of its kernels.
    """

    name: str
    read: Callable[[InventoryPort], Awaitable[_Objects[_Record]]] = attrs.field(repr=False)
    fetch: Callable[[StatisticsRepository, Sequence[str]], Awaitable[StatisticsBatch]] = attrs.field(repr=False)
    figures: Callable[..., Figures] = attrs.field(default=Figures.of_entry, repr=False)
    metrics: Callable[[Entry], Entry] = attrs.field(default=lambda entry: entry, repr=False)
    sums_kernels: bool = attrs.field(default=False, kw_only=True, repr=False)

    def statistics_count(self, object_: ListedObject[Any]) -> int:
        """Return how many ids the statistics of an object are read for."""
        return 1 + (len(object_.kernels) if self.sums_kernels else 0)

    def statistics_ids(self, object_: ListedObject[Any]) -> Sequence[str]:
        """Return the ids that the statistics of an object are read for: its own, and those of its kernels if they count."""
        return (object_.object_id, *object_.kernel_ids) if self.sums_kernels else (object_.object_id,)

    def figure(
        self, name: str, object_: ListedObject[Any], batch: StatisticsBatch, ids: slice
    ) -> tuple[float | None, str | None]:
        """Return one figure of an object, None if it is not known, and the problem; of kernels, nothing else is summed.

        Args:
            name: a name of `FIGURES`.
            object_: the object.
            batch: the entries of several objects.
            ids: where in the batch those of `statistics_ids` are.
        """
        source = SOURCES.get(name)
        position = position_of_entry(batch, ids) if self.sums_kernels else ids.start
        if position is None:
            is_summed = source.is_of if source else _is_nothing
            batch, position = session_entry(object_.kernel_ids, batch[ids], is_summed=is_summed), 0
        entry, found = batch.entries[position], batch.problems.get(position)
        problem = join_problems(object_.problem, found.message if found else None)
        if source is None:  # an age is not in the entry
            return batch.ages_s.get(position), problem
        faults: list[str] = []
        try:
            number = None if entry is None else source.number(self.metrics(entry), faults)
        except StatcoreError as error:  # an entry may decode itself only now
            return None, join_problems(problem, str(error))
        return number, join_problems(problem, *faults)

    def all_figures(self, object_: ListedObject[Any], batch: StatisticsBatch) -> Figures:
        """Return all figures of an object from the entries of its `statistics_ids`."""
        if self.sums_kernels:
            batch = session_entry(object_.kernel_ids, batch)
        entry, found, age_s = batch[0], batch.problems.get(0), batch.ages_s.get(0)
        problem = join_problems(object_.problem, found.message if found else None)
        if entry is None:
            return Figures(age_s=age_s, problem=problem)
        return self.figures(entry, age_s=age_s, problem=problem)


@attrs.frozen
class ObjectListing:
    """Lists the objects of an inventory with the main figures of their statistics.

    Confined ports give a confined list: an object outside the scope is neither listed nor counted.

    Args:
        inventory: which objects exist: series, the collector's inventory, or that of a host.
        repository: their live statistics; read only for figures.
        count: called with the number of ids before their statistics are read; what it raises ends the read.
    """

    inventory: InventoryPort
    repository: StatisticsRepository
    count: Callable[[int], object] = attrs.field(default=lambda _: None, kw_only=True, repr=False)

    async def read(
        self,
        kind: ObjectKind[_Record],
        *,
        sort: str = "id",
        filters: Sequence[str] = (),
        after: str | None = None,
        limit: int | None = None,
        figures: bool = False,
    ) -> ListPage[_Record]:
        """Return a page of the objects of a kind.

        A page begins after the place where the previous page ended, and not after a number of objects. So an object that
        appears, vanishes or changes between two pages neither repeats nor hides another. In a list sorted by a figure or an
        owner, only the object that changes itself may be on two pages or on none. Every age grows between two pages, so a
        list sorted by age has one page only.

        Args:
            kind: the kind of object.
            sort: a name of `SORTS`, with `-` in front for descending order. Objects with equal values are sorted by id in
                the same direction, and objects without a value come last. Sorting by a figure reads the statistics of all
                selected objects.
            filters: each object matches all of them. `LABEL=ID`, with a label of `OWNER_LABELS`, selects by owner or by
                part, and an agent also by the sessions of its kernels; any other text is searched in the ids of the object,
                its owners and its kernels, in any case.
            after: the `next_cursor` of the previous page, whose list had the same `sort`.
            limit: how many objects the page has at most; None means all.
            figures: whether the objects of the page have figures; a sort by a figure alone gives them none. If their
                statistics cannot be read, the figures have a problem.

        Raises:
            InputError: a sort, filter, cursor or limit cannot be used.
            StatcoreError: the inventory failed, or the store failed and the list is sorted by figures.
            Exception: what `count` raises.
        """
        Page.cut((), limit=limit, offset=0)  # raises before anything is read
        order = _Order.read(sort)
        start = None if after is None else order.key_of_cursor(after)
        is_selected = _selection(filters)
        objects = await kind.read(self.inventory)
        if filters:
            objects = [object_ async for part in in_turns(objects) for object_ in part if is_selected(object_)]
        first = _First(order, start, len(objects) if limit is None else limit + 1)
        is_by_figure = order.by in FIGURES
        if is_by_figure:
            await self._add_by_figure(kind, objects, first, figures=figures)
        else:
            async for part in in_turns(objects, size=_KEYS_PER_TURN):
                first.add([_Place(order.key(object_.object_id, object_.value(order.by)), object_) for object_ in part])
        places = first.in_order()
        more = limit is not None and len(places) > limit
        cursor = order.cursor(places[limit - 1].key) if more and limit and order.by != _AGE else None
        page = places[:limit]
        if figures and is_by_figure:
            items = await _with_figures(kind, ((place.object_, place.batch[place.ids]) for place in page))
        else:
            items = [place.object_ for place in page]
            if figures:
                items = await self._read_figures(kind, items)
        return ListPage(items=items, total_count=len(objects), next_cursor=cursor, without_value=first.without_value())

    async def _add_by_figure(
        self, kind: ObjectKind[_Record], objects: _Objects[_Record], first: _First, *, figures: bool
    ) -> None:
        """Add objects to a list that is sorted by a figure, with their entries if all figures are needed afterwards."""
        order = first.order

        async def read(part: Sequence[ListedObject[_Record]]) -> None:
            batch, of_objects = await self._fetch(kind, part)
            places: list[_Place] = []
            counted = 0
            for object_, ids in zip(part, of_objects, strict=True):
                figure, problem = kind.figure(order.by, object_, batch, ids)
                key = order.key(object_.object_id, figure)
                if figure is None and problem is not None:
                    first.add_problem(object_.object_id, problem)
                places.append(_Place(key, object_, batch, ids) if figures else _Place(key, object_))
                if ids.stop - counted >= _ENTRIES_PER_TURN:
                    counted = ids.stop
                    await give_way()
            first.add(places)
            await give_way()

        await map_concurrently(await self._counted_parts(kind, objects), read)

    async def _read_figures(self, kind: ObjectKind[_Record], objects: _Objects[_Record]) -> _Objects[_Record]:
        """Return objects with figures; where their statistics cannot be read, the figures have a problem."""

        async def read(part: Sequence[ListedObject[_Record]]) -> _Objects[_Record]:
            batch, of_objects = await self._fetch(kind, part)
            return await _with_figures(kind, [(object_, batch[ids]) for object_, ids in zip(part, of_objects, strict=True)])

        parts = await self._counted_parts(kind, objects)
        found: _Objects[_Record] = []
        for part, result in zip(parts, await map_keeping_errors(parts, read), strict=True):
            if isinstance(result, StatcoreError):
                failed = Figures(problem=describe(result))
                found += [attrs.evolve(object_, figures=failed) for object_ in part]
                await give_way()
            else:
                found += result
        return found

    async def _counted_parts(
        self, kind: ObjectKind[_Record], objects: _Objects[_Record]
    ) -> list[Sequence[ListedObject[_Record]]]:
        """Return objects in parts, each for one read of statistics; the ids of all these reads are counted first."""
        parts: list[Sequence[ListedObject[_Record]]] = []
        ids = 0
        async for part in in_turns(objects, size=_OBJECTS_PER_READ):
            ids += sum(map(kind.statistics_count, part))
            parts.append(part)
        self.count(ids)
        return parts

    async def _fetch(
        self, kind: ObjectKind[_Record], objects: Sequence[ListedObject[_Record]]
    ) -> tuple[StatisticsBatch, list[slice]]:
        """Return the entries that the statistics of objects are made of, and where those of each object are."""
        ids = [id_ for object_ in objects for id_ in kind.statistics_ids(object_)]
        batch = await kind.fetch(self.repository, ids)
        ends = accumulate(map(kind.statistics_count, objects), initial=0)
        return batch, [slice(start, end) for start, end in pairwise(ends)]


async def _with_figures(
    kind: ObjectKind[_Record], objects: Iterable[tuple[ListedObject[_Record], StatisticsBatch]]
) -> _Objects[_Record]:
    found: _Objects[_Record] = []
    entries = 0
    for object_, batch in objects:
        found.append(attrs.evolve(object_, figures=kind.all_figures(object_, batch)))
        entries += len(batch)
        if entries >= _SUMMED_PER_TURN:
            entries = 0
            await give_way()
    return found


@attrs.frozen
class _Order:
    by: str
    is_descending: bool

    @classmethod
    def read(cls, sort: str) -> Self:
        by = sort.removeprefix("-")
        if by not in SORTS:
            raise InputError(f"sort must be one of {', '.join(SORTS)}, with - in front to descend, not {sort!r:.100}")
        return cls(by, is_descending=by != sort)

    @property
    def _nothing(self) -> float | str:
        return "" if self.by == "id" or self.by in OWNER_LABELS else 0.0

    def key(self, id_: str, value: float | str | None) -> _Key:
        comes_last = (value is None) is not self.is_descending
        return comes_last, self._nothing if value is None else value, id_

    def has_value(self, key: _Key) -> bool:
        return key[0] is self.is_descending

    def is_after(self, key: _Key, start: _Key) -> bool:
        return key < start if self.is_descending else key > start

    def sorted(self, places: Iterable[_Place]) -> list[_Place]:
        return sorted(places, key=attrgetter("key"), reverse=self.is_descending)

    def cursor(self, key: _Key) -> str:
        return urlsafe_b64encode(json.dumps([self.by, self.is_descending, *key]).encode()).decode()

    def key_of_cursor(self, cursor: str) -> _Key:
        try:
            by, is_descending, comes_last, value, id_ = json.loads(urlsafe_b64decode(cursor))
        except (ValueError, TypeError, RecursionError):
            raise InputError(_UNREADABLE) from None
        if self.by == _AGE:
            raise InputError(
                f"a list sorted by {_AGE} has no further pages, because ages change; raise the limit, or filter"
            )
        if (by, is_descending) != (self.by, self.is_descending):
            raise InputError("the cursor is of a list with another sort; take the sort of the previous page")
        if type(comes_last) is not bool or type(value) is not type(self._nothing) or type(id_) is not str:
            raise InputError(_UNREADABLE)
        return comes_last, value, id_


class _Place(NamedTuple):
    """The place of an object in a list, with its entries if they are needed for its figures."""

    key: _Key
    object_: ListedObject[Any]
    batch: StatisticsBatch = StatisticsBatch()
    ids: slice = slice(0, 0)
    """Where the entries of the object are in the batch."""

    def alone(self) -> Self:
        """Return the place without the entries of other objects."""
        length = self.ids.stop - self.ids.start
        return self if length == len(self.batch) else self._replace(batch=self.batch[self.ids], ids=slice(0, length))


@attrs.define
class _First:
    """Collects the first objects of a list, and keeps no statistics of others."""

    order: _Order
    start: _Key | None
    count: int
    _places: list[_Place] = attrs.field(factory=list[_Place], init=False)
    _without_value: int = attrs.field(default=0, init=False)
    _problem_count: int = attrs.field(default=0, init=False)
    _first_problem: tuple[str, str] | None = attrs.field(default=None, init=False)
    """The smallest id of an object whose value is not known because of a problem, and the problem."""

    def add_problem(self, id_: str, problem: str) -> None:
        """Add the problem for which the value of an object is not known."""
        self._problem_count += 1
        self._first_problem = min(self._first_problem or (id_, problem), (id_, problem))

    def without_value(self) -> WithoutValue:
        """Return which of all objects that were added have no value."""
        first = self._first_problem
        return WithoutValue(
            count=self._without_value,
            problem_count=self._problem_count,
            first_problem=None if first is None else first[1],
        )

    def add(self, places: Sequence[_Place]) -> None:
        """Add objects in any order; those that are not after the start are left out."""
        self._without_value += sum(not self.order.has_value(place.key) for place in places)
        start = self.start
        after = places if start is None else [place for place in places if self.order.is_after(place.key, start)]
        self._places += self.order.sorted(after)  # parts that are in order are sorted faster at the end
        if len(self._places) > 2 * self.count:
            self._places = [place.alone() for place in self.in_order()]

    def in_order(self) -> list[_Place]:
        """Return the first objects, in order."""
        return self.order.sorted(self._places)[: self.count]


def _selection(filters: Sequence[str]) -> Callable[[ListedObject[Any]], bool]:
    owners: list[tuple[str, str]] = []
    texts: list[str] = []
    for text in filters:
        label, equals, id_ = text.partition("=")
        if equals and label not in OWNER_LABELS:
            raise InputError(f"a filter is text or LABEL=ID with a label of {', '.join(OWNER_LABELS)}, not {text!r:.100}")
        if not text or (equals and not id_):
            raise InputError("a filter is empty, which would select everything; leave it out")
        if equals:
            owners.append((label, id_.casefold()))
        else:
            texts.append(text.casefold())

    def is_selected(object_: ListedObject[Any]) -> bool:
        if not all(any(id_ == known.casefold() for known in _filtered_ids(object_, label)) for label, id_ in owners):
            return False
        if not texts:
            return True
        searched = "\n".join([object_.object_id, *(id_ for label in OWNER_LABELS for id_ in object_.ids(label))]).casefold()
        return all(text in searched for text in texts)

    return is_selected


def _filtered_ids(object_: ListedObject[Any], label: str) -> Iterable[str]:
    """Return the ids that a label selects an object by; for an agent, the sessions of its kernels count, too."""
    if label == "session_id" and not object_.ids(label):
        return {kernel.session_id for kernel in object_.kernels if kernel.session_id is not None}
    return object_.ids(label)


async def _read_sessions(inventory: InventoryPort) -> _Objects[SessionRecord]:
    objects: _Objects[SessionRecord] = []
    async for part in in_turns((await inventory.list_sessions()).items):
        for record in part:
            id_ = record.session_id
            objects.append(ListedObject(object_id=id_, record=record, kernels=record.kernels, own={"session_id": id_}))
    return objects


async def _read_kernels(inventory: InventoryPort) -> _Objects[KernelRecord]:
    """Return the kernels, with those that have no session if the inventory lists them."""
    objects: _Objects[KernelRecord] = []
    async for part in in_turns((await list_kernels(inventory)).items):
        objects += [ListedObject(object_id=record.kernel_id, record=record, kernels=(record,)) for record in part]
    return objects


async def _read_agents(inventory: InventoryPort) -> _Objects[AgentRecord]:
    """Return the agents, with their kernels, and with their owners where the inventory knows them."""
    records = (await list_agent_records(inventory)).items
    kernels_of: dict[str | None, list[KernelRecord]] = {}
    async for kernels in in_turns((await list_kernels(inventory)).items):
        for kernel in kernels:
            kernels_of.setdefault(kernel.agent_id, []).append(kernel)
    objects: _Objects[AgentRecord] = []
    async for part in in_turns(records):
        for record in part:
            id_ = record.agent_id
            own = {
                "agent_id": id_,
                "user_id": record.user_id,
                "project_id": record.project_id,
                "session_id": None,  # the sessions of its kernels are not its own
            }
            objects.append(ListedObject(object_id=id_, record=record, kernels=kernels_of.get(id_, ()), own=own))
    return objects


@attrs.frozen
class ReplicaKernels:
    """The kernels of the sessions of an endpoint's replicas, each once; their statistics are the endpoint's.

    Args:
        kernels: the kernels.
        problem: *incomplete* if the inventory does not know one of the sessions, otherwise None.
    """

    kernels: Sequence[KernelRecord]
    problem: Problem | None


async def kernels_of_replicas(
    inventory: InventoryPort, sessions_of: Mapping[str, Sequence[str]]
) -> dict[str, ReplicaKernels]:
    """Return the kernels of each endpoint.

    Args:
        inventory: which kernels a session has.
        sessions_of: by endpoint, the ids of the sessions of its replicas.

    Raises:
        StatcoreError: the inventory failed.
    """
    sessions = await find_records(inventory.find_sessions, chain.from_iterable(sessions_of.values()))
    kernels_of: dict[str, ReplicaKernels] = {}
    async for part in in_turns(list(sessions_of.items())):
        for endpoint_id, session_ids in part:
            known = [sessions[id_] for id_ in session_ids if id_ in sessions]
            kernels = {kernel.kernel_id: kernel for session in known for kernel in session.kernels}
            unknown = [id_ for id_ in session_ids if id_ not in sessions]
            message = "; ".join(f"session {id_} of a replica is not known" for id_ in unknown)
            problem = Problem(ProblemKind.INCOMPLETE, message=message, key=unknown[0]) if unknown else None
            kernels_of[endpoint_id] = ReplicaKernels(list(kernels.values()), problem)
    return kernels_of


async def _read_endpoints(inventory: InventoryPort) -> _Objects[EndpointRecord]:
    """Return the endpoints, with the kernels of the sessions of their replicas."""
    records = (await inventory.list_endpoints()).items
    sessions_of: dict[str, Sequence[str]] = {}
    async for part in in_turns(records):
        sessions_of.update((record.endpoint_id, record.session_ids) for record in part)
    kernels_of = await kernels_of_replicas(inventory, sessions_of)
    objects: _Objects[EndpointRecord] = []
    async for part in in_turns(records):
        for record in part:
            id_, owners = record.endpoint_id, {"user_id": record.user_id, "project_id": record.project_id}
            own = {label: owner for label, owner in owners.items() if owner is not None}
            of_replicas = kernels_of[id_]
            problem = None if of_replicas.problem is None else of_replicas.problem.message
            objects.append(
                ListedObject(object_id=id_, record=record, kernels=of_replicas.kernels, own=own, problem=problem)
            )
    return objects


def _is_nothing(_: str) -> bool:
    return False


async def _of_kernels(repository: StatisticsRepository, ids: Sequence[str]) -> StatisticsBatch:
    return await repository.get_kernel_statistics_batch(ids)


async def _of_agents(repository: StatisticsRepository, ids: Sequence[str]) -> StatisticsBatch:
    return await repository.get_agent_statistics_batch(ids)


SESSIONS: Final = ObjectKind("sessions", _read_sessions, _of_kernels, sums_kernels=True)
KERNELS: Final = ObjectKind("kernels", _read_kernels, _of_kernels)
AGENTS: Final = ObjectKind("agents", _read_agents, _of_agents, Figures.of_agent, node_of)
ENDPOINTS: Final = ObjectKind("endpoints", _read_endpoints, _of_kernels, sums_kernels=True)
